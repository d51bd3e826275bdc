"""Answers that are taken slowly: whoever keeps the floor gets them whole, the others are let go, and that is counted.

The sockets are real and hold little, the time is the test's: the client makes it pass as it reads.
"""

import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import h2.events
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from edged.server import TLS, Disconnected, Limits
from edged.server.http2_settings import FIRST_WINDOW_BYTES
from edged.server.pace import Part
from tests.support.certificates import Certificates
from tests.support.server_kit import ANY, H2Wire, Message, Running, answer, read_all, serving

LIMITS = Limits()
SIZE = 400_000  # more than the server's kernel holds back
STEP = 1000
GET = b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
HONEST = [LIMITS.floor_bytes_per_s * 3 // 2, 1000, 2000]
"""Bytes a second: all of them below one write's 64 KiB in a `write_s`."""


@dataclass
class Narrow(trio.abc.HalfCloseableStream):
    """A client's end, which takes time to read."""

    stream: trio.SocketStream
    clock: trio.testing.MockClock
    bytes_per_s: float

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        octets = bytes(await self.stream.receive_some(min(max_bytes or STEP, STEP)))
        await trio.testing.wait_all_tasks_blocked()
        self.clock.jump(len(octets) / self.bytes_per_s)
        return octets

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()


@dataclass
class Sender:
    """An application with a long answer; who has not taken it."""

    gone: int = 0
    over: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, scope: Message, _: Any, send: Any) -> None:
        try:
            await answer(send, 200, bytes(SIZE))
        except Disconnected:
            self.gone += 1
        finally:
            self.over.set()


@asynccontextmanager
async def narrow(running: Running, clock: trio.testing.MockClock, bytes_per_s: float) -> AsyncIterator[Narrow]:
    """A connection whose kernel takes 2 KiB ahead, in small segments."""
    opened = trio.socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, STEP)
    await opened.connect(("127.0.0.1", running.port))
    async with Narrow(trio.SocketStream(opened), clock, bytes_per_s) as stream:
        yield stream


@pytest.mark.parametrize("option", [b"close", b"keep-alive"])
@pytest.mark.parametrize("bytes_per_s", HONEST)
async def test_an_honest_reader_gets_its_whole_answer(
    mock_clock: trio.testing.MockClock, bytes_per_s: int, option: bytes
) -> None:
    app = Sender()
    async with serving(app, limits=LIMITS) as running, narrow(running, mock_clock, bytes_per_s) as stream:
        await stream.send_all(GET.replace(b"close", option))
        seen = await read_all(stream)
        assert len(seen.partition(b"\r\n\r\n")[2]) == SIZE
        assert (app.gone, running.server.counters.slow) == (0, 0)


@pytest.mark.parametrize("bytes_per_s", HONEST)
async def test_over_tls(mock_clock: trio.testing.MockClock, bytes_per_s: int, certificates: Certificates) -> None:
    app, tls = Sender(), TLS(certificates.server.certificate, certificates.server.private_key)
    trust = ssl.create_default_context(cafile=str(certificates.authority))
    async with (
        serving(app, [ANY.replace("http", "https")], tls=tls, limits=LIMITS) as running,
        narrow(running, mock_clock, bytes_per_s) as plain,
    ):
        plain.bytes_per_s = 1e9
        stream = trio.SSLStream(plain, trust, server_hostname="localhost", https_compatible=True)
        await stream.send_all(GET)
        plain.bytes_per_s = bytes_per_s
        seen = await read_all(stream)
        assert len(seen.partition(b"\r\n\r\n")[2]) == SIZE
        assert (app.gone, running.server.counters.slow) == (0, 0)


@pytest.mark.parametrize("bytes_per_s", HONEST)
@pytest.mark.parametrize("streams", [1, 4])
async def test_over_http2(mock_clock: trio.testing.MockClock, bytes_per_s: int, streams: int) -> None:
    app = Sender()
    async with serving(app, limits=LIMITS) as running, narrow(running, mock_clock, 1e9) as stream:
        wire, size, ended = H2Wire(stream), 0, 0
        for _ in range(streams):
            await wire.request()
        stream.bytes_per_s = bytes_per_s * streams
        while ended < streams:
            event = await wire.next_event()
            assert event is not None
            assert not isinstance(event, h2.events.StreamReset)
            if isinstance(event, h2.events.DataReceived):
                size += len(event.data)
                wire.codec.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await wire.flush()
            ended += isinstance(event, h2.events.StreamEnded)
        assert size == streams * SIZE
        assert (app.gone, running.server.counters.slow) == (0, 0)


@pytest.mark.parametrize("bytes_per_s", [LIMITS.floor_bytes_per_s // 2, 20])
async def test_who_stays_below_the_floor_is_let_go(
    mock_clock: trio.testing.MockClock, bytes_per_s: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    app = Sender()
    async with serving(app, limits=LIMITS) as running, narrow(running, mock_clock, bytes_per_s) as stream:
        await stream.send_all(GET)
        seen = await read_all(stream)
        assert len(seen) < SIZE // 2
        assert (app.gone, running.server.counters.slow) == (1, 1)
    assert [text for text in caplog.messages if "took its answer, too slowly" in text]


async def test_who_takes_nothing_is_let_go(mock_clock: trio.testing.MockClock) -> None:
    app = Sender()
    async with serving(app, limits=LIMITS) as running, narrow(running, mock_clock, 1) as stream:
        await stream.send_all(GET)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pass_time, mock_clock)
            await app.over.wait()
            nursery.cancel_scope.cancel()
        assert LIMITS.write_s <= trio.current_time() - began < 4 * LIMITS.write_s
        assert (app.gone, running.server.counters.slow) == (1, 1)


async def pass_time(clock: trio.testing.MockClock) -> None:
    while True:
        await trio.testing.wait_all_tasks_blocked(0.01)
        clock.jump(LIMITS.write_s / 2)


async def test_an_http2_stream_without_windows_is_let_go(mock_clock: trio.testing.MockClock) -> None:
    app = Sender()
    async with serving(app, limits=LIMITS) as running, narrow(running, mock_clock, 1e9) as stream:
        wire, size = H2Wire(stream), 0
        await wire.request()
        while size < FIRST_WINDOW_BYTES:
            event = await wire.next_event()
            size += len(event.data) if isinstance(event, h2.events.DataReceived) else 0
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pass_time, mock_clock)
            assert isinstance(await wire.next_event(), h2.events.StreamReset)
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 4 * LIMITS.write_s
        assert (app.gone, running.server.counters.slow) == (1, 1)


puts = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(0, 60), st.booleans()), max_size=40)


@given(puts)
def test_a_part_is_never_less_taken_than_it_is(steps: list[tuple[int, int, int, bool]]) -> None:
    parts, line = [Part() for _ in range(3)], list[int]()
    seen, taken = [0, 0, 0], 0
    for which, size, more, asked in steps:
        line += [which] * size
        parts[which].put(size, len(line))
        taken = min(len(line), taken + more)
        if asked:
            seen[which] += parts[which].taken(taken)
            assert line[:taken].count(which) <= seen[which] <= line.count(which)
    for which, part in enumerate(parts):
        assert seen[which] + part.taken(len(line)) == line.count(which)
        assert part.taken(len(line) + 1) == 0
