"""HTTP/1.1 against scripted peers: reuse, early answers, long answers, interim responses."""

from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.message import (
    ANSWER_LIMIT_BYTES,
    DRAIN_LIMIT_BYTES,
    BytesBody,
    Request,
)
from tests.support.upstream_body import GET, post
from tests.support.upstream_peer import Wire, listen

STORE = "/dicom-web/studies"


async def test_a_request_and_its_answer() -> None:
    heads: list[bytes] = []

    async def script(wire: Wire) -> None:
        head, body = await wire.request()
        heads.append(head)
        await wire.answer(200, body[:3] + b"done", extra=b"Content-Type: application/dicom+json\r\n")

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        response = await client.request(Request("POST", STORE, (("X-One", "1"),), BytesBody(b"abcdef")))
        assert client.http_version == "1.1"
    assert (response.status, response.body, response.truncated, response.http_version) == (
        200,
        b"abcdone",
        False,
        "1.1",
    )
    assert ("content-type", "application/dicom+json") in response.headers
    assert heads[0].split(b"\r\n") == [
        b"POST /dicom-web/studies HTTP/1.1",
        b"Host: localhost:%d" % peer.port,
        b"X-One: 1",
        b"Content-Length: 6",
    ]


async def test_a_connection_is_used_again() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(body=b"%d" % wire.number)

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        bodies = [(await client.request(post(300_000))).body for _ in range(20)]
        assert bodies == [b"1"] * 20
        assert client.connections_opened == peer.accepted == 1


async def test_no_more_connections_than_allowed() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer()

    settings = ClientSettings(max_connections=3)
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(30):
                nursery.start_soon(client.request, post(1000))
        assert peer.accepted <= 3


@pytest.mark.parametrize("farewell", ["close", "reset", "junk"])
async def test_a_stale_connection_is_noticed_before_it_is_written_to(farewell: str) -> None:
    said = trio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()
        if wire.number == 1:
            if farewell == "reset":
                wire.reset()
            elif farewell == "junk":
                await wire.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            else:
                wire.close()
            said.set()
        if farewell == "junk" or wire.number > 1:
            await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        await client.request(GET)
        await said.wait()
        assert (await client.request(post(100))).status == 200
        assert peer.accepted == 2


async def test_an_old_idle_connection_is_not_used() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer()

    settings = ClientSettings(timeouts=Timeouts(idle_s=-1))
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            await client.request(GET)
        assert peer.accepted == 3


@pytest.mark.parametrize("ending", ["stays", "closes", "resets"])
async def test_an_early_answer_is_read_and_not_lost(ending: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.answer(413, b"too large")
        if ending == "resets":
            wire.reset()
        elif ending == "stays":
            await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        for _ in range(10):
            response = await client.request(post(40 << 20))
            assert (response.status, response.body) == (413, b"too large")
        assert peer.accepted == 10


async def test_an_early_answer_from_a_peer_that_does_not_read() -> None:
    async def script(wire: Wire) -> None:
        await wire.answer(503, b"busy", extra=b"Retry-After: 5\r\n")
        await trio.sleep_forever()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        response = await client.request(post(64 << 20))
    assert response.status == 503
    assert ("retry-after", "5") in response.headers


async def test_a_2xx_that_begins_early_does_not_stop_the_upload() -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await wire.exactly(20 << 20)
        await wire.send(b"good")
        await wire.request()
        await wire.answer()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        assert (await client.request(post(20 << 20))).body == b"good"
        assert (await client.request(GET)).status == 200
        assert peer.accepted == 1


async def test_an_answer_that_begins_early_does_not_hurry_the_upload(mock_clock: MockClock) -> None:
    begun = trio.Event()

    class LateBody:
        length = 2

        async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
            yield b"1"
            await begun.wait()
            await wait_all_tasks_blocked()
            mock_clock.jump(3600)
            yield b"2"

    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        begun.set()
        await wire.send(await wire.exactly(2))

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        assert (await client.request(Request("POST", STORE, (), LateBody()))).body == b"12"


async def test_interim_responses_are_skipped() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        await wire.answer(200, b"x")

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        assert (await client.request(post(5))).body == b"x"


async def test_a_close_delimited_answer_of_http_1_0() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.0 200 OK\r\n\r\nto the end")

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        response = await client.request(GET)
        assert (response.body, response.http_version) == (b"to the end", "1.0")
        await client.request(GET)
        assert peer.accepted == 2


async def test_head_has_no_body() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await wire.request()
        await wire.answer()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        assert (await client.request(Request("HEAD", STORE))).body == b""
        await client.request(GET)
        assert peer.accepted == 1


async def test_a_long_answer_is_cut_and_the_connection_kept() -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer(200, b"a" * (ANSWER_LIMIT_BYTES + 1000))

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        for _ in range(2):
            response = await client.request(GET)
            assert response.truncated
            assert len(response.body) == ANSWER_LIMIT_BYTES
        assert peer.accepted == 1


async def test_an_endless_answer_is_left() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await wire.send(bytes(1 << 20))

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        response = await client.request(GET)
        assert response.truncated
        await client.request(GET)
        assert peer.accepted == 2
    assert DRAIN_LIMIT_BYTES > ANSWER_LIMIT_BYTES


async def test_bytes_after_the_answer_end_the_connection() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n")
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        for _ in range(2):
            assert (await client.request(GET)).body == b"x"
        assert peer.accepted == 2


async def test_an_answer_byte_by_byte() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n":
            await wire.send(bytes([byte]))

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        assert (await client.request(GET)).body == b"hello"
