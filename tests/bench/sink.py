"""A fast archive for the sections on forwarding: `python -m tests.bench.sink` prints its port and stores nothing.

A thread a connection reads each Store request whole, finds the SOP Instance UID in the file meta information of each
part, and answers that all are stored (PS3.18 Annex I). Whatever else it is asked it has not got. It speaks HTTP/1.1 and
HTTP/2 (`sink_http2`), over TLS by ALPN, else by prior knowledge.
"""

import argparse
import json
import re
import socket
import ssl
import threading
from pathlib import Path

from tests.bench.sink_http2 import PREFACE, WINDOW_BYTES, serve_http2

SOP_CLASS = "1.2.840.10008.5.1.4.1.1.2"
LARGEST_BODY = 1 << 30
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_META_INSTANCE = re.compile(rb"DICM.{0,120}?\x02\x00\x03\x00UI(..)", re.DOTALL)
_ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STORED = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: %d\r\n\r\n%b"


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", type=Path, nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--window", type=int, default=WINDOW_BYTES, help="of HTTP/2 connections and streams, in bytes")
    arguments = parser.parse_args()
    context = _context(*arguments.tls) if arguments.tls else None
    with socket.create_server(("127.0.0.1", arguments.port), backlog=64) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            stream, _ = listener.accept()
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_serve, args=(stream, context, arguments.window), daemon=True).start()


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def _serve(stream: socket.socket, context: ssl.SSLContext | None, window: int) -> None:
    if context is not None:
        stream = context.wrap_socket(stream, server_side=True)
    with stream:
        begun = bytearray(stream.recv(1 << 16))
        if begun.startswith(PREFACE[:3]):
            serve_http2(stream, bytes(begun), stored, window=window)
        else:
            _serve_http1(stream, begun)


def _serve_http1(stream: socket.socket, buffer: bytearray) -> None:
    while True:
        while (end := buffer.find(_HEAD_END)) < 0:
            data = stream.recv(1 << 16)
            if not data:
                return
            buffer += data
        head = bytes(buffer[:end])
        if b"100-continue" in head.lower():
            stream.sendall(_CONTINUE)
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
    method, target, _ = head.split(b" ", 2)
    said = stored(method, target, body)
    return _ABSENT if said is None else _STORED % (len(said), said)


def stored(method: bytes, target: bytes, body: bytearray) -> bytes | None:
    """Say that all is stored that a request carries; None for anything but a Store request."""
    if method != b"POST" or not target.endswith(b"/studies"):
        return None
    uids = [_uid(body, found) for found in _META_INSTANCE.finditer(body)]
    items = [
        {
            "00081150": {"vr": "UI", "Value": [SOP_CLASS]},
            "00081155": {"vr": "UI", "Value": [uid]},
            "00081190": {"vr": "UR"},
        }
        for uid in uids
    ]
    return json.dumps({"00081190": {"vr": "UR"}, "00081199": {"vr": "SQ", "Value": items}}).encode()


def _uid(body: bytearray, found: re.Match[bytes]) -> str:
    length = int.from_bytes(found[1], "little")
    return body[found.end() : found.end() + length].rstrip(b"\0").decode()


if __name__ == "__main__":
    main()
