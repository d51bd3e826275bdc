"""HTTP/2 written by hand, frame by frame: for what no client library would send.

What may live here: making frames and field blocks without any checks, and reading what a server answers. The
octets are made here and not by the server's own code, so that a mistake there is not made twice.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import hpack
import trio

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_GIVEN = 0x1, 0x1, 0x4, 0x8, 0x20
WHOLE = END_STREAM | END_HEADERS

Fields = Iterable[tuple[bytes, bytes]]
GET: list[tuple[bytes, bytes]] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"box"),
    (b":path", b"/"),
]
POST: list[tuple[bytes, bytes]] = [(b":method", b"POST"), *GET[1:]]


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def block(fields: Fields) -> bytes:
    """A field block that leaves no trace in the tables."""
    octets = b""
    for name, value in fields:
        octets += b"\x00" + _string(name) + _string(value)
    return octets


def headers(stream_id: int, fields: Fields = GET, flags: int = WHOLE) -> bytes:
    return frame(HEADERS, flags, stream_id, block(fields))


def data(stream_id: int, payload: bytes = b"", flags: int = END_STREAM) -> bytes:
    return frame(DATA, flags, stream_id, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in pairs))


def window_update(stream_id: int, size: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream_id, size.to_bytes(4, "big"))


def rst_stream(stream_id: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


class Opens(Protocol):
    """A server, as far as clients need it."""

    async def open(self) -> trio.SocketStream:
        """A new connection."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of the server."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes
    fields: dict[bytes, bytes]  # of HEADERS

    @property
    def code(self) -> int:
        """Of RST_STREAM and GOAWAY."""
        return int.from_bytes(self.payload[:4] if self.kind == RST_STREAM else self.payload[4:8], "big")


class RawHTTP2:
    """A connection whose client says what it is told to."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._octets = b""
        self._decoder = hpack.Decoder()

    async def send(self, *pieces: bytes) -> None:
        await self.stream.send_all(b"".join(pieces))

    async def next(self) -> Seen | None:
        """The next frame, None at the end of the connection."""
        while len(self._octets) < 9 or len(self._octets) < 9 + int.from_bytes(self._octets[:3], "big"):
            try:
                more = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not more:
                return None
            self._octets += bytes(more)
        head, size = self._octets[:9], int.from_bytes(self._octets[:3], "big")
        payload, self._octets = self._octets[9 : 9 + size], self._octets[9 + size :]
        whole = head[3] == HEADERS and head[4] & END_HEADERS
        fields = dict(self._decoder.decode(payload, raw=True)) if whole else {}
        return Seen(head[3], head[4], int.from_bytes(head[5:], "big"), payload, fields)

    async def wait_for(self, *kinds: int, stream_id: int | None = None) -> Seen | None:
        """The next frame of one of these kinds, on this stream if one is named; None at the end."""
        while (seen := await self.next()) is not None:
            if seen.kind in kinds and stream_id in {None, seen.stream_id}:
                return seen
        return None

    async def status(self, stream_id: int) -> int | None:
        """The status of the answer on a stream; None if it is reset or the connection ends."""
        while (seen := await self.next()) is not None:
            if seen.kind == HEADERS and seen.stream_id == stream_id:
                return int(seen.fields[b":status"])
            if seen.kind == GOAWAY or (seen.kind == RST_STREAM and seen.stream_id == stream_id):
                return None
        return None

    async def read_to_end(self) -> list[Seen]:
        """All frames until the connection ends."""
        seen = []
        while (found := await self.next()) is not None:
            seen.append(found)
        return seen


@asynccontextmanager
async def raw_http2(running: Opens, *, begin: bool = True) -> AsyncIterator[RawHTTP2]:
    """A connection by prior knowledge, with the preface sent unless told otherwise."""
    async with await running.open() as stream:
        wire = RawHTTP2(stream)
        if begin:
            await wire.send(PREFACE, settings())
        yield wire


def _string(value: bytes) -> bytes:
    size = len(value)
    if size < 127:
        return bytes([size]) + value
    octets, size = b"\x7f", size - 127
    while size >= 128:
        octets, size = octets + bytes([size % 128 | 128]), size >> 7
    return octets + bytes([size]) + value
