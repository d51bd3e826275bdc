"""Room for new connections: kept ones that are idle give way, those in a request never; and what the log says of it."""

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import h2.events
import pytest
import trio

from edged.server import TLS
from edged.server.tally import TELL_EVERY_S, Tally
from tests.support.certificates import Certificates, make_certificates
from tests.support.server_kit import ANY, QUICK, Message, Running, answer, http2, read_all, serving

TWO = replace(QUICK, connections=2)
GET = b"GET %s HTTP/1.1\r\nHost: box\r\n\r\n"


@dataclass
class Slow:
    """Answers at once, but /slow only when it may."""

    asked: trio.Event = field(default_factory=trio.Event)
    may: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, scope: Message, _: Any, send: Any) -> None:
        if scope["path"] == "/slow":
            self.asked.set()
            await self.may.wait()
        await answer(send)


@asynccontextmanager
async def kept(running: Running) -> AsyncIterator[trio.SocketStream]:
    """A connection that has been used, and waits for what comes next."""
    async with await running.open() as stream:
        assert await ask(stream)
        await trio.testing.wait_all_tasks_blocked()
        yield stream


async def ask(stream: trio.SocketStream, path: bytes = b"/") -> bool:
    """Whether a request was answered."""
    await stream.send_all(GET % path)
    octets = b""
    while not octets.endswith(b"ok"):
        more = await stream.receive_some()
        if not more:
            return False
        octets += more
    return octets.startswith(b"HTTP/1.1 200 ")


async def test_of_kept_connections_that_which_waited_longest_gives_way() -> None:
    async with serving(Slow(), limits=TWO) as running, kept(running) as first, kept(running) as second:
        async with await running.open() as new:
            assert await ask(new)
            assert await read_all(first) == b""
            assert await ask(second)
        counters = running.server.counters
        assert (counters.refused, counters.failed, counters.slow) == (0, 0, 0)


async def test_a_connection_in_a_request_or_without_one_yet_does_not_give_way() -> None:
    slow = Slow()
    async with serving(slow, limits=TWO) as running, kept(running) as busy, await running.open() as fresh:
        await busy.send_all(GET % b"/slow")
        await slow.asked.wait()
        async with await running.open() as new:
            assert b" 503 " in await read_all(new)
        slow.may.set()
        assert (await busy.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert await ask(fresh)
        assert running.server.counters.refused == 1


async def test_half_a_head_does_not_give_way() -> None:
    async with serving(Slow(), limits=replace(TWO, connections=1)) as running, kept(running) as stream:
        await stream.send_all(b"GET /")
        await trio.testing.wait_all_tasks_blocked()
        async with await running.open() as new:
            assert b" 503 " in await read_all(new)
        await stream.send_all(b" HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")


CROWDED = replace(QUICK, connections=6, connections_per_address=4, crowd=2, leaving=3)
ATTACKERS = ("127.0.0.2", "127.0.0.3")


@pytest.fixture
def _loopback_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses of loopback are like others: a test has no others to come from."""
    for module in ("serving", "peer"):
        monkeypatch.setattr(f"edged.server.{module}.address_of", lambda peer: peer.getpeername()[0])


async def come_from(address: str, running: Running) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", running.port, local_address=address)


@pytest.mark.usefixtures("_loopback_counts")
@pytest.mark.parametrize("octets", [b"", b"GET /", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\4" + bytes(5)])
async def test_half_a_head_of_a_crowd_gives_way_when_there_is_no_room(
    octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(Slow(), limits=CROWDED) as running, AsyncExitStack() as held:
        few = await held.enter_async_context(await come_from("127.0.0.9", running))
        await few.send_all(b"GET ")
        for address in ATTACKERS * 3:
            stream = await held.enter_async_context(await come_from(address, running))
            await stream.send_all(octets)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert running.server.counters.open == CROWDED.connections
        honest = await held.enter_async_context(await come_from("127.0.1.1", running))
        assert await ask(honest)
        await few.send_all(b"/ HTTP/1.1\r\nHost: box\r\n\r\n")
        assert (await few.receive_some()).startswith(b"HTTP/1.1 200 ")
        assert (running.server.counters.slow, running.server.counters.failed) == (0, 0)
    assert len([text for text in caplog.messages if "ended a connection without a whole request" in text]) == 1


@pytest.mark.usefixtures("_loopback_counts")
async def test_a_crowd_in_handshakes_gives_way_when_there_is_no_room(certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    trust = ssl.create_default_context(cafile=str(certificates.authority))
    async with (
        serving(Slow(), [ANY.replace("http", "https")], tls=tls, limits=CROWDED) as running,
        AsyncExitStack() as held,
    ):
        for address in ATTACKERS * 3:
            await held.enter_async_context(await come_from(address, running))
        await trio.testing.wait_all_tasks_blocked(0.01)
        plain = await held.enter_async_context(await come_from("127.0.1.1", running))
        honest = trio.SSLStream(plain, trust, server_hostname="localhost", https_compatible=True)
        await honest.send_all(GET % b"/")
        assert (await honest.receive_some(1000)).startswith(b"HTTP/1.1 200 ")


async def test_an_idle_http2_connection_gives_way_with_a_goaway() -> None:
    async with serving(Slow(), limits=replace(TWO, connections=1)) as running, http2(running) as wire:
        assert (await wire.finish(await wire.request()))[0] == 200
        await trio.testing.wait_all_tasks_blocked()
        async with await running.open() as new:
            assert await ask(new)
        events = []
        while (event := await wire.next_event()) is not None:
            events.append(event)
        assert any(isinstance(event, h2.events.ConnectionTerminated) for event in events)


async def test_an_http2_connection_with_a_stream_does_not_give_way() -> None:
    slow = Slow()
    async with serving(slow, limits=replace(TWO, connections=1)) as running, http2(running) as wire:
        assert (await wire.finish(await wire.request()))[0] == 200
        stream_id = await wire.request(b"/slow")
        await slow.asked.wait()
        async with await running.open() as new:
            assert b" 503 " in await read_all(new)
        slow.may.set()
        assert (await wire.finish(stream_id))[0] == 200


def test_the_log_tells_once_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("edged.server.tally.time.monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    strangers = Tally("a stranger came")
    for _ in range(100):
        strangers.count()
    now = TELL_EVERY_S
    strangers.count()
    assert caplog.messages == [
        "a stranger came (1 since this was last told)",
        "a stranger came (100 since this was last told)",
    ]


async def test_strangers_do_not_fill_the_log(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pair = make_certificates(tmp_path_factory.mktemp("certificates")).server
    tls = TLS(pair.certificate, pair.private_key)
    full = replace(QUICK, connections=0)
    async with serving(Slow(), ["https://127.0.0.1:0"], tls=tls) as running:
        for _ in range(20):
            async with await running.open() as stream:
                await stream.send_all(b"no TLS at all")
                await read_all(stream)
    async with serving(Slow(), [ANY], limits=full) as running:
        for _ in range(20):
            async with await running.open() as stream:
                await read_all(stream)
        assert running.server.counters.refused == 20
    assert len([text for text in caplog.messages if "handshake" in text]) == 1
    assert len([text for text in caplog.messages if "refused a connection" in text]) == 1
