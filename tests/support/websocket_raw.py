"""WebSockets written by hand, frame by frame, over HTTP/1.1 and over HTTP/2: for what no client library would send.

What may live here: making frames without any checks, and what a server says as values. The octets are made here and
not by the server's own code or codec, so that a mistake there is not made twice. `over` is one of PROTOCOLS.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from tests.support.http2_raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    RST_STREAM,
    Opens,
    RawHTTP2,
    data,
    headers,
    raw_http2,
    window_update,
)

HTTP1, HTTP2 = PROTOCOLS = ("HTTP/1.1", "HTTP/2")
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
KEY = b"\x01\x02\x03\x04"
DEFLATE = (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits")
DATA_BYTES = 16_384

Fields = Iterable[tuple[bytes, bytes]]


def frame(first: int, payload: bytes = b"", *, size: bytes | None = None, masked: bool = True) -> bytes:
    """A frame by its first octet; `size` is how its length is written, other than as it should be."""
    if size is None:
        size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    if not masked:
        return bytes([first]) + size + payload
    octets = bytes(octet ^ KEY[index % 4] for index, octet in enumerate(payload))
    return bytes([first, size[0] | 0x80]) + size[1:] + KEY + octets


def text(payload: bytes) -> bytes:
    return frame(FIN | TEXT, payload)


def ping(payload: bytes = b"") -> bytes:
    return frame(FIN | PING, payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


@dataclass(frozen=True, slots=True)
class Said:
    """A frame of the server; `first` has its opcode and the bits beside it."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        return self.first & 0x0F

    @property
    def code(self) -> int | None:
        """Of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


class Line(Protocol):
    """What carries the frames."""

    async def send(self, octets: bytes) -> None:
        """Send octets of the session."""

    async def receive(self) -> bytes:
        """The next octets of the session, b"" when the server has ended it."""


class Raw:
    """A session whose client says what it is told to, and answers nothing by itself."""

    def __init__(self, line: Line, answered: dict[bytes, bytes]) -> None:
        self._line = line
        self._octets = b""
        self.answered = answered
        """The fields of the answer that has opened it."""

    async def send(self, *pieces: bytes) -> None:
        await self._line.send(b"".join(pieces))

    async def next(self) -> Said | None:
        """The next frame, None at the end."""
        while (found := self._whole()) is None:
            octets = await self._line.receive()
            if not octets:
                return None
            self._octets += octets
        size, said = found
        self._octets = self._octets[size:]
        return said

    async def rest(self) -> list[Said]:
        """All frames until the end; what is cut off is none."""
        said = []
        while (found := await self.next()) is not None:
            said.append(found)
        return said

    def _whole(self) -> tuple[int, Said] | None:
        octets = self._octets
        if len(octets) < 2:
            return None
        assert octets[1] < 0x80, "a server's frame is not masked"
        begin = {126: 4, 127: 10}.get(octets[1], 2)
        size = octets[1] if begin == 2 else int.from_bytes(octets[2:begin], "big")
        end = begin + size
        return (end, Said(octets[0], octets[begin:end])) if len(octets) >= end and len(octets) >= begin else None


class _Line1:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream

    async def send(self, octets: bytes) -> None:
        await self._stream.send_all(octets)

    async def receive(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some())
        except trio.BrokenResourceError:
            return b""


class _Line2:
    def __init__(self, wire: RawHTTP2) -> None:
        self._wire = wire
        self._ended = False

    async def send(self, octets: bytes) -> None:
        pieces = (octets[begin : begin + DATA_BYTES] for begin in range(0, len(octets), DATA_BYTES))
        await self._wire.send(*(data(1, piece, 0) for piece in pieces))

    async def receive(self) -> bytes:
        while not self._ended:
            seen = await self._wire.wait_for(DATA, RST_STREAM)
            if seen is None or seen.kind == RST_STREAM:
                break
            self._ended = bool(seen.flags & END_STREAM)
            if seen.payload:
                await self._give_window(len(seen.payload))
                return seen.payload
        return b""

    async def _give_window(self, size: int) -> None:
        with suppress(trio.BrokenResourceError):
            await self._wire.send(window_update(0, size), window_update(1, size))


@asynccontextmanager
async def raw_websocket(
    running: Opens, over: str, path: str = "/", *, fields: Fields = (), octets: bytes = b""
) -> AsyncIterator[Raw]:
    """A session that the server has accepted; `octets` leave together with its request."""
    more = [(b"sec-websocket-version", b"13"), *fields]
    if over == HTTP2:
        async with raw_http2(running) as wire:
            asked = [(b":method", b"CONNECT"), (b":scheme", b"http"), (b":authority", b"localhost")]
            asked += [(b":path", path.encode()), (b":protocol", b"websocket")]
            await wire.send(headers(1, [*asked, *more], END_HEADERS), data(1, octets, 0) if octets else b"")
            seen = await wire.next()
            while seen is not None and not seen.fields:
                seen = await wire.next()
            assert seen is not None
            assert seen.fields[b":status"] == b"200"
            yield Raw(_Line2(wire), seen.fields)
        return
    key = (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")
    asked = [(b"host", b"localhost"), (b"upgrade", b"websocket"), (b"connection", b"Upgrade"), key, *more]
    async with await running.open() as stream:
        lines = b"".join(b"%s: %s\r\n" % each for each in asked)
        await stream.send_all(b"GET %s HTTP/1.1\r\n%s\r\n" % (path.encode(), lines) + octets)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            octet = await stream.receive_some(1)
            assert octet, head
            head += bytes(octet)
        status, *rest = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        assert status.startswith(b"HTTP/1.1 101 "), head
        yield Raw(_Line1(stream), dict(line.split(b": ", 1) for line in rest))
