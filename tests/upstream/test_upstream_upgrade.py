"""HTTP/2 without TLS: by prior knowledge, else by Upgrade, else HTTP/1.1."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts, dial
from edged.upstream.endpoint import Endpoint
from edged.upstream.http2 import Http2Connection
from edged.upstream.message import NoAnswer
from edged.upstream.shared import ASK_AGAIN_S
from edged.upstream.upgrade import MAX_HEAD_BYTES, upgrade
from tests.support.server_kit import serving, sink
from tests.support.upstream_body import GET, post
from tests.support.upstream_peer import Http2Wire, Wire, listen
from tests.upstream.test_upstream_client import real_server

TWO = ClientSettings(http=HttpChoice.TWO, timeouts=Timeouts(tls_s=2))
PREFACE = b"PRI * HTTP/2.0"


async def prior_knowledge_refused(wire: Wire) -> bytes:
    """Turn the client away that begins in HTTP/2; gives the head of the one that does not."""
    head = await wire.head()
    if head.startswith(PREFACE):
        await wire.answer(400, b"what?")
        raise trio.BrokenResourceError
    return head


async def serve_http2(peer: Http2Wire) -> None:
    while True:
        stream_id, _, size = await peer.request()
        await peer.answer(stream_id, body=b"%d" % size)


async def accepting(wire: Wire, heads: list[bytes], cut: int = 0) -> None:
    """Accept, with an answer that comes in two pieces, the second of so many bytes."""
    heads.append(await prior_knowledge_refused(wire))
    fields = dict(line.split(b": ", 1) for line in heads[-1].split(b"\r\n")[1:])
    peer = Http2Wire(wire)
    peer.protocol.initiate_upgrade_connection(fields[b"HTTP2-Settings"])
    head = b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    octets = head + peer.protocol.data_to_send()
    await wire.send(octets[: len(octets) - cut])
    await trio.testing.wait_all_tasks_blocked()
    await wire.send(octets[len(octets) - cut :])
    await peer.answer(1, body=b"<application/>")
    await serve_http2(peer)


async def test_an_upgrade_that_is_accepted() -> None:
    heads: list[bytes] = []

    async def script(wire: Wire) -> None:
        await accepting(wire, heads)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        for size in (0, 1, 300_000):
            response = await client.request(post(size))
            assert (response.body, response.http_version) == (b"%d" % size, "2")
        assert (client.http_version, peer.accepted) == ("2", 2)  # one of them was turned away
        await client.request(GET, fresh=True)
        assert peer.accepted == 3  # what was learned is known
    for head in heads:
        line, *fields = head.split(b"\r\n")
        assert line == b"OPTIONS /dicom-web HTTP/1.1"
        names = [field.split(b":")[0].lower() for field in fields]
        assert names == [b"host", b"connection", b"upgrade", b"http2-settings"]


@pytest.mark.parametrize("status", [200, 204, 401, 404, 405, 501])
async def test_an_upgrade_that_is_refused_is_answered_in_http_1_1(
    status: int, mock_clock: trio.testing.MockClock
) -> None:
    asked: list[bytes] = []

    async def script(wire: Wire) -> None:
        head = await prior_knowledge_refused(wire)
        while True:
            asked.append(head.partition(b" ")[0])
            if asked[-1] == b"OPTIONS":
                await wire.answer(status)
            else:
                await wire.exactly(10)
                await wire.answer(body=b"stored")
            head = await wire.head()

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        for _ in range(3):
            response = await client.request(post(10))
            assert (response.body, response.http_version) == (b"stored", "1.1")
        assert (asked, client.http_version) == ([b"OPTIONS", b"POST", b"POST", b"POST"], "1.1")
        mock_clock.jump(ASK_AGAIN_S)
        assert (await client.request(post(10))).http_version == "1.1"
        assert asked[4:] == [b"OPTIONS", b"POST"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"", "closed the connection when it was asked"),
        (b"HTTP/1.1 101", "closed the connection when it was asked"),
        (b"SSH-2.0\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 X\r\nA: " + b"a" * MAX_HEAD_BYTES, "malformed"),
        (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "closed the connection"),
        (b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 X\r\n\r\n", "localhost"),
    ],
    ids=["closed", "cut", "no HTTP", "endless", "closed after 101", "no HTTP/2"],
)
async def test_an_upgrade_that_fails_is_no_answer_and_not_remembered(said: bytes, text: str) -> None:
    async def script(wire: Wire) -> None:
        await prior_knowledge_refused(wire)
        await wire.send(said)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        for accepted in (2, 4):
            with pytest.raises(NoAnswer, match=text) as caught:
                await client.request(post(10))
            assert (caught.value.phase, caught.value.not_processed) == (Phase.HTTP, True)
            assert (client.http_version, peer.accepted) == (None, accepted)


async def test_a_peer_that_says_nothing_to_either() -> None:
    async def script(wire: Wire) -> None:
        await wire.closed()

    settings = replace(TWO, timeouts=Timeouts(tls_s=0.1))
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        with pytest.raises(NoAnswer, match="no answer to an upgrade") as caught:
            await client.request(post(10))
        assert (caught.value.phase, caught.value.not_processed) == (Phase.HTTP, True)


@pytest.mark.parametrize("from_end", range(0, 60, 7))
async def test_the_settings_may_come_with_the_101_or_cut_anywhere(from_end: int) -> None:
    async def script(wire: Wire) -> None:
        await accepting(wire, [], from_end)

    async with listen(script) as peer, open_client(peer.endpoint, TWO) as client:
        assert (await client.request(post(100_000))).body == b"100000"
        assert peer.accepted == 2


async def upgraded(endpoint: Endpoint, ask: Callable[[Http2Connection], Awaitable[None]]) -> None:
    transport = await dial(endpoint, None, Timeouts())
    protocol = await upgrade(transport, endpoint, Timeouts())
    assert protocol is not None
    connection = Http2Connection(transport, endpoint, Timeouts(), upgraded=protocol)
    async with trio.open_nursery() as nursery:
        await nursery.start(connection.run)
        await ask(connection)
        connection.close()


@pytest.mark.parametrize("real", ["edged", "hypercorn"])
async def test_real_servers_take_an_upgrade(real: str) -> None:
    async def ask(connection: Http2Connection) -> None:
        for size in (0, 1, 300_000):
            response = await connection.exchange(post(size))
            assert str(size) in response.body.decode()

    async with real_server(None) if real == "hypercorn" else own_server() as endpoint:
        await upgraded(endpoint, ask)
        async with open_client(endpoint, TWO) as client:  # and prior knowledge, which comes first
            assert (await client.request(GET)).http_version == "2"
            assert client.connections_opened == 1


@asynccontextmanager
async def own_server() -> AsyncIterator[Endpoint]:
    async with serving(sink) as running:
        yield Endpoint("http", "127.0.0.1", running.port)
