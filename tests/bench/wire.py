"""How the generator speaks: one blocking connection, HTTP/1.1 or HTTP/2, plain or over TLS, as light as Python allows.

HTTP/1.1 without TLS gathers its buffers in `sendmsg` and copies nothing. Over TLS the buffers go to OpenSSL one by one.
HTTP/2 is h2, one request at a time on a connection. An answer is read as far as its status and its end; an answer other
than 200, or one that is not understood, is a SendError. Nothing waits longer than the kernel's time-outs.
"""

import re
import socket
import ssl
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol as Interface

import h2.config
import h2.connection
import h2.events

GATHERED = 512
"""Buffers in one sendmsg; Linux takes 1024."""

WITHIN_S = 600
RECEIVE_BYTES = 1 << 16
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class SendError(Exception):
    """The server did not answer 200, or closed the connection, or speaks another way."""


class Protocol(StrEnum):
    """What a connection speaks."""

    HTTP1 = "HTTP/1.1"
    HTTP1_TLS = "HTTP/1.1 TLS"
    HTTP2 = "HTTP/2"
    HTTP2_TLS = "HTTP/2 TLS"


@dataclass(frozen=True, slots=True)
class Body:
    """The pieces of one request's body."""

    pieces: Sequence[bytes | memoryview]

    @property
    def length(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.pieces))


class Wire(Interface):
    """One connection."""

    def post(self, path: str, boundary: bytes, body: Body) -> None:
        """Send one Store request and read its answer; raises SendError."""

    def close(self) -> None:
        """Close it."""


def connect(protocol: Protocol, port: int, *, chunked: bool = False) -> Wire:
    """Open a connection to a port of this machine."""
    stream = socket.create_connection(("127.0.0.1", port))
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # so that the socket itself stays blocking
        stream.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", WITHIN_S, 0))
    if protocol in {Protocol.HTTP1_TLS, Protocol.HTTP2_TLS}:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2" if protocol is Protocol.HTTP2_TLS else "http/1.1"])
        stream = context.wrap_socket(stream, server_hostname="localhost")
    if protocol in {Protocol.HTTP2, Protocol.HTTP2_TLS}:
        return Http2Wire(stream)
    return Http1Wire(stream, chunked=chunked)


class Http1Wire:
    """HTTP/1.1, kept alive."""

    def __init__(self, stream: socket.socket, *, chunked: bool) -> None:
        self._stream = stream
        self._chunked = chunked

    def post(self, path: str, boundary: bytes, body: Body) -> None:
        """As Wire.post."""
        framing = b"Transfer-Encoding: chunked" if self._chunked else b"Content-Length: %d" % body.length
        head = (
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
            b'Content-Type: multipart/related; type="application/dicom"; boundary=%b\r\n%b\r\n\r\n'
        )
        pieces = _chunks(body.pieces) if self._chunked else body.pieces
        _send(self._stream, [head % (path.encode(), boundary, framing), *pieces])
        self._read()

    def close(self) -> None:
        """As Wire.close."""
        self._stream.close()

    def _read(self) -> None:
        got = bytearray()
        while (end := got.find(b"\r\n\r\n")) < 0:
            got += self._more()
        head = bytes(got[:end])
        if not head.startswith(b"HTTP/1.1 200"):
            raise SendError(f"answered {bytes(got[:1000])!r}")
        length = _LENGTH.search(head)
        if length is None:
            raise SendError(f"an answer without a length: {head!r}")
        left = end + 4 + int(length[1]) - len(got)
        while left > 0:
            left -= len(self._more())

    def _more(self) -> bytes:
        data = self._stream.recv(RECEIVE_BYTES)
        if not data:
            raise SendError("the server closed the connection")
        return data


def _chunks(pieces: Sequence[bytes | memoryview]) -> list[bytes | memoryview]:
    """Frame each piece as a chunk (RFC 9112 7.1)."""
    framed: list[bytes | memoryview] = []
    for piece in pieces:
        framed += [b"%x\r\n" % len(piece), piece, b"\r\n"]
    return [*framed, b"0\r\n\r\n"]


def _send(stream: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    if isinstance(stream, ssl.SSLSocket):
        for piece in pieces:
            stream.sendall(piece)
        return
    for at in range(0, len(pieces), GATHERED):
        _gather(stream, pieces[at : at + GATHERED])


def _gather(stream: socket.socket, pieces: Sequence[bytes | memoryview]) -> None:
    """Send with as few calls as there may be; a call may take less than it was given."""
    left = [memoryview(piece) for piece in pieces]
    while left:
        sent = stream.sendmsg(left)
        done = 0
        while done < len(left) and sent >= len(left[done]):
            sent -= len(left[done])
            done += 1
        left = left[done:]
        if left and sent:
            left[0] = left[0][sent:]


class Http2Wire:
    """HTTP/2 by prior knowledge or by ALPN, one stream after the other."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream
        self._protocol = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._protocol.initiate_connection()
        self._status: bytes | None = None
        self._ended = False
        self._flush()

    def post(self, path: str, boundary: bytes, body: Body) -> None:
        """As Wire.post."""
        number = self._protocol.get_next_available_stream_id()
        self._status, self._ended = None, False
        self._protocol.send_headers(
            number,
            [
                (b":method", b"POST"),
                (b":path", path.encode()),
                (b":scheme", b"http"),
                (b":authority", b"localhost"),
                (b"accept", b"application/dicom+json"),
                (b"content-type", b'multipart/related; type="application/dicom"; boundary=' + boundary),
                (b"content-length", b"%d" % body.length),
            ],
        )
        for piece in body.pieces:
            self._send_piece(number, memoryview(piece))
        self._protocol.end_stream(number)
        self._flush()
        while not self._ended:
            self._receive()
        if self._status != b"200":
            raise SendError(f"answered {self._status!r}")

    def close(self) -> None:
        """As Wire.close."""
        self._stream.close()

    def _send_piece(self, number: int, piece: memoryview) -> None:
        while piece:
            room = self._protocol.local_flow_control_window(number)
            if room <= 0:
                self._receive()
                continue
            size = min(room, self._protocol.max_outbound_frame_size, len(piece))
            self._protocol.send_data(number, bytes(piece[:size]))
            piece = piece[size:]
            self._flush()

    def _flush(self) -> None:
        if data := self._protocol.data_to_send():
            self._stream.sendall(data)

    def _receive(self) -> None:
        data = self._stream.recv(RECEIVE_BYTES)
        if not data:
            raise SendError("the server closed the connection")
        for event in self._protocol.receive_data(data):
            self._take(event)
        self._flush()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived(headers=headers):
                self._status = dict(headers)[b":status"]
            case h2.events.DataReceived(flow_controlled_length=length, stream_id=number):
                self._protocol.acknowledge_received_data(length, number)
            case h2.events.StreamEnded():
                self._ended = True
            case h2.events.StreamReset() | h2.events.ConnectionTerminated():
                raise SendError(f"the server ended the stream: {event}")
