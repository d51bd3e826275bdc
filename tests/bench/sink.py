"""A fast archive for the forwarding section: `python -m tests.bench.sink` prints its port and stores nothing.

A thread a connection reads each Store request whole, finds the SOP Instance UID in the file meta information of each
part, and answers that all are stored (PS3.18 Annex I). Whatever else it is asked it has not got.
"""

import json
import re
import socket
import threading

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.2"
LARGEST_BODY = 1 << 30
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_META_INSTANCE = re.compile(rb"DICM.{0,120}?\x02\x00\x03\x00UI(..)", re.DOTALL)
_ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_STORED = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: %d\r\n\r\n%b"


def main() -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            stream, _ = listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(stream,), daemon=True).start()


def _serve(stream: socket.socket) -> None:
    buffer = bytearray()
    with stream:
        while True:
            while (end := buffer.find(_HEAD_END)) < 0:
                data = stream.recv(1 << 16)
                if not data:
                    return
                buffer += data
            head = bytes(buffer[:end])
            length = _LENGTH.search(head)
            body = _body(stream, buffer[end + len(_HEAD_END) :], int(length[1]) if length else 0)
            buffer = bytearray()
            stream.sendall(answer(head, body))


def _body(stream: socket.socket, begun: bytearray, size: int) -> bytearray:
    if size > LARGEST_BODY:
        raise ValueError("a body that is larger than any batch of the bench")
    body = bytearray(size)
    body[: len(begun)] = begun
    view, at = memoryview(body), len(begun)
    while at < size:
        got = stream.recv_into(view[at:])
        if not got:
            raise ConnectionError("the box broke off")
        at += got
    return body


def answer(head: bytes, body: bytearray) -> bytes:
    """Answer one request."""
    if not head.startswith(b"POST ") or b"/studies " not in head:
        return _ABSENT
    uids = [_uid(body, found) for found in _META_INSTANCE.finditer(body)]
    items = [
        {
            "00081150": {"vr": "UI", "Value": [SOP_CLASS]},
            "00081155": {"vr": "UI", "Value": [uid]},
            "00081190": {"vr": "UR"},
        }
        for uid in uids
    ]
    said = json.dumps({"00081190": {"vr": "UR"}, "00081199": {"vr": "SQ", "Value": items}}).encode()
    return _STORED % (len(said), said)


def _uid(body: bytearray, found: re.Match[bytes]) -> str:
    length = int.from_bytes(found[1], "little")
    return body[found.end() : found.end() + length].rstrip(b"\0").decode()


if __name__ == "__main__":
    main()
