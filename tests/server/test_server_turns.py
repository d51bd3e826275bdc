"""Other tasks have their turns, whatever work a client puts into few octets: counted where nothing is waited for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio

from edged.server.exchange import Application, Service
from edged.server.head_gate import check_head
from edged.server.http1 import HTTP1Connection
from edged.server.http1_answer import Fields
from edged.server.limits import Limits
from edged.server.peer import Peer
from edged.server.websocket import WebSocket
from edged.server.wire import Wire
from tests.support.server_kit import Message, answer, read_body, sink

PEER = Peer(None, None, False)
POST = b"POST / HTTP/1.1\r\nHost: box\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASK = bytes(4)


class Rival:
    """A task that always has something to do, and counts how often it could."""

    def __init__(self) -> None:
        self.turns = 0

    async def run(self) -> None:
        while True:
            self.turns += 1
            await trio.lowlevel.checkpoint()


@asynccontextmanager
async def rival() -> AsyncIterator[Rival]:
    async with trio.open_nursery() as nursery:
        beside = Rival()
        nursery.start_soon(beside.run)
        yield beside
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Wire, trio.SocketStream]]:
    """A wire, and its client."""
    ours, theirs = map(trio.SocketStream, trio.socket.socketpair())
    async with ours, theirs:
        yield Wire(ours, write_s=1), theirs


@pytest.mark.parametrize("piece", [b"x", b"xyz" * 20])
async def test_tiny_chunks(piece: bytes) -> None:
    turns: list[int] = []
    chunk = b"%x\r\n%s\r\n" % (len(piece), piece)
    count = 120_000 // len(chunk)
    async with connected() as (wire, client), rival() as beside:

        async def app(scope: Message, receive: Any, send: Any) -> None:
            began = beside.turns
            assert await read_body(receive) == (count * len(piece), True)
            turns.append(beside.turns - began)
            await answer(send)

        await client.send_all(POST + chunk * count + b"0\r\n\r\n")
        await client.send_eof()
        await HTTP1Connection(wire, PEER, Service.of(app, Limits())).run()
    assert turns[0] >= 2 * count // 1000


class Frames:
    """A session's channel that has all its octets at once."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.sent = b""

    def enter(self) -> bool:
        return True

    async def begin(self, status: int, fields: Fields) -> None:
        pass

    async def deny(self, body: bytes, *, more: bool) -> None:
        pass

    async def send(self, octets: bytes) -> None:
        self.sent += octets

    async def receive(self) -> bytes:
        octets, self._octets = self._octets, b""
        return octets


async def run_session(app: Application, octets: bytes) -> tuple[int, bytes]:
    """How many turns another task had during a session, and what was sent."""
    frames = Frames(octets)
    session = WebSocket(Service.of(app, Limits()), PEER, check_head(HANDSHAKE), channel=frames)
    async with rival() as beside:
        await session.run()
    return beside.turns, frames.sent


@pytest.mark.parametrize(
    "frame",
    [
        b"\x8a\x80" + MASK,  # a pong
        b"\x02\x80" + MASK + b"\x80\x80" + MASK,  # an empty message of two fragments
        b"\x81\x81" + MASK + b"x",
    ],
)
async def test_small_frames(frame: bytes) -> None:
    count = 10_000

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass

    turns, _ = await run_session(app, frame * count)
    assert turns >= count // 100


async def test_empty_fragments() -> None:
    octets = b"\x02\x80" + MASK + (b"\x00\x80" + MASK) * 10_000 + b"\x80\x81" + MASK + b"x"
    seen = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        seen.append(await receive())

    turns, _ = await run_session(app, octets)
    assert turns >= 10_000 // 100
    assert seen == [{"type": "websocket.receive", "bytes": b"x"}]


async def test_after_a_fault_nothing_more_is_looked_at() -> None:
    too_long = b"\x02\xff" + (1 << 20).to_bytes(8) + MASK + bytes(1 << 20) + b"\x80\x81" + MASK + b"x"
    turns, sent = await run_session(sink, too_long + (b"\x8a\x80" + MASK) * 10_000)
    assert sent[:1] == b"\x88"
    assert turns < 50


async def dribble(client: trio.SocketStream, *, pause_s: float, times: int) -> None:
    for _ in range(times):
        await trio.sleep(pause_s)
        await client.send_all(b"x")
    await client.send_eof()


@pytest.mark.parametrize(
    ("pause_s", "times", "expected_s"),
    [(4, 5, 20), (6, 5, 5), (4, 20, 30)],  # the client ends; it is silent; it goes on for ever
)
async def test_lingering(pause_s: float, times: int, expected_s: float, autojump_clock: trio.abc.Clock) -> None:
    async with connected() as (wire, client), trio.open_nursery() as nursery:
        nursery.start_soon(partial(dribble, client, pause_s=pause_s, times=times))
        await wire.linger(5)
        assert trio.current_time() == pytest.approx(expected_s, abs=0.1)
        nursery.cancel_scope.cancel()
