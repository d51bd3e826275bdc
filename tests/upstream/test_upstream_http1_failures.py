"""HTTP/1.1 when there is no answer: malformed ones, deadlines, resets, broken bodies, cancellation."""

from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
import trio

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.http1 import IDLE_ENDED_BYTES
from edged.upstream.message import (
    BodyLengthError,
    NoAnswer,
    Request,
)
from tests.support.upstream_body import GET, Zeros, post
from tests.support.upstream_peer import Script, Wire, listen
from tests.upstream.conftest import Certificates

STORE = "/dicom-web/studies"
SHORT = ClientSettings(timeouts=Timeouts(send_s=0.2, answer_s=0.2, body_s=0.2))


class BrokenStoreError(Exception):
    """What a body raises when its bytes cannot be read."""


class BrokenBody:
    length = 1000

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        yield b"x" * 10
        raise BrokenStoreError


async def failure(script: Script, request: Request = GET, settings: ClientSettings | None = None) -> NoAnswer:
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        with pytest.raises(NoAnswer) as caught:
            await client.request(request)
        assert f"localhost:{peer.port}" in caught.value.text
        return caught.value


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("read", ["nothing", "the request"])
async def test_a_connection_that_ends_while_it_is_idle_costs_nothing(
    read: str, secure: bool, certificates: Certificates
) -> None:
    """The peer closes it before it has answered anything: the request is sent once more, on a new connection."""

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer(body=b"%d" % wire.number)
        if read == "the request":
            await wire.request()
        else:
            await wire.read_some()
            wire.reset()

    context = certificates.server_context("http/1.1") if secure else None
    settings = ClientSettings(tls=certificates.trusting)
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        assert [(await client.request(post(300_000))).body for _ in range(5)] == [b"1", b"2", b"3", b"4", b"5"]
        assert peer.accepted == 5


async def test_what_may_be_sent_once_only_is_not_sent_again() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()
        await wire.request()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        await client.request(GET)
        with pytest.raises(NoAnswer, match="without an answer"):
            await client.request(replace(post(10), once=True))
        assert peer.accepted == 1


async def test_a_new_connection_that_dies_unanswered_is_no_answer() -> None:
    """Also the one that took the place of an idle one: nothing is sent a third time."""

    async def script(wire: Wire) -> None:
        await wire.request()
        if wire.number == 1:
            await wire.answer()
            await wire.request()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        await client.request(GET)
        with pytest.raises(NoAnswer, match="without an answer") as caught:
            await client.request(post(10))
        assert (caught.value.phase, caught.value.not_processed, caught.value.sent_bytes) == (Phase.HTTP, False, 10)
        assert peer.accepted == 2


@pytest.mark.parametrize(
    ("said", "size"), [(b"HTTP/1.1 1", 10), (b"HTTP/1.1 102 Processing\r\n\r\n", 10), (b"", IDLE_ENDED_BYTES + 1)]
)
async def test_a_reused_connection_on_which_the_request_may_have_begun_is_no_answer(said: bytes, size: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()
        await wire.request()
        await wire.send(said)

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        await client.request(GET)
        with pytest.raises(NoAnswer, match="closed the connection"):
            await client.request(post(size))
        assert peer.accepted == 1


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        (b"", Phase.HTTP),
        (b"HTTP/1.1 200 O", Phase.HTTP),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Phase.HTTP),
        (b"HTTP/1.1 abc OK\r\n\r\n", Phase.HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Phase.HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Phase.HTTP),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", Phase.HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, Phase.HTTP),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", Phase.BODY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Phase.BODY),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", Phase.BODY),
    ],
)
async def test_a_malformed_answer_is_no_answer(answer: bytes, phase: Phase) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(answer)

    error = await failure(script, post(7))
    assert (error.phase, error.sent_bytes, error.not_processed) == (phase, 7, False)


async def test_deadline_for_sending() -> None:
    async def script(_: Wire) -> None:
        await trio.sleep_forever()

    error = await failure(script, post(64 << 20), SHORT)
    assert error.phase is Phase.BODY
    assert 0 < error.sent_bytes < 64 << 20


async def test_deadline_for_the_answer() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200")
        await trio.sleep_forever()

    error = await failure(script, post(10), SHORT)
    assert (error.phase, error.sent_bytes) == (Phase.HTTP, 10)


async def test_deadline_for_the_answers_body() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await trio.sleep_forever()

    assert (await failure(script, post(10), SHORT)).phase is Phase.BODY


async def test_a_reset_in_the_middle_of_the_upload() -> None:
    async def script(wire: Wire) -> None:
        await wire.exactly(1 << 20)
        wire.reset()

    error = await failure(script, post(64 << 20))
    assert error.phase is Phase.BODY
    assert error.sent_bytes < 64 << 20


async def test_a_body_that_cannot_be_read_comes_out_as_it_is() -> None:
    async def script(wire: Wire) -> None:
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        with pytest.raises(BrokenStoreError):
            await client.request(Request("POST", STORE, (), BrokenBody()))


@pytest.mark.parametrize("given", [99, 101])
async def test_a_body_that_breaks_its_word(given: int) -> None:
    async def script(wire: Wire) -> None:
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        with pytest.raises(BodyLengthError):
            await client.request(Request("POST", STORE, (), Zeros(100, given=given)))


@pytest.mark.parametrize("where", ["sending", "waiting", "reading"])
async def test_a_cancelled_request_closes_its_connection(where: str) -> None:
    reached, gone = trio.Event(), trio.Event()

    async def script(wire: Wire) -> None:
        if wire.number == 2:
            await wire.request()
            await wire.answer()
            await wire.closed()
            return
        await wire.head()
        if where != "sending":
            await wire.exactly(4 << 20)
        if where == "reading":
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        reached.set()
        try:
            await wire.closed()
        finally:
            gone.set()

    settings = ClientSettings(max_connections=1)
    async with listen(script) as peer, open_client(peer.endpoint, settings) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, post(4 << 20))
            await reached.wait()
            nursery.cancel_scope.cancel()
        await gone.wait()
        assert (await client.request(post(10))).status == 200


async def test_a_closed_client_takes_no_requests() -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint) as client:
        await client.request(GET)
        await client.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await client.request(GET)
