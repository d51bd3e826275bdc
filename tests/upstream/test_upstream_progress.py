"""Peers that never quite stop: the floor under an answer, and the end of interim responses, in virtual time."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.progress import FLOOR_BYTES_PER_S, WINDOW_S, Progress
from tests.support.memory_wire import Half, connector
from tests.support.upstream_body import GET, post
from tests.support.upstream_peer import Http2Wire, PeerGoneError, Wire

HTTPS = [HttpChoice.ONE, HttpChoice.TWO]
ENDPOINT = Endpoint.parse("http://archive.example/")


class Speaker:
    """The peer's side of one request, in either version."""

    def __init__(self, wire: Wire, http: HttpChoice) -> None:
        self._wire = wire
        self._two = Http2Wire(wire) if http is HttpChoice.TWO else None
        self._stream_id = 0

    async def take(self) -> None:
        if self._two is None:
            await self._wire.request()
        else:
            await self._two.hello()
            self._stream_id, _, _ = await self._two.request()

    async def interim(self) -> None:
        if self._two is None:
            await self._wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        else:
            self._two.protocol.send_headers(self._stream_id, [(":status", "102")])
            await self._two.flush()

    async def begin(self, length: int) -> None:
        if self._two is None:
            await self._wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        else:
            self._two.protocol.send_headers(self._stream_id, [(":status", "200")])
            await self._two.flush()

    async def give(self, data: bytes, *, last: bool = False) -> None:
        if self._two is None:
            await self._wire.send(data)
        else:
            self._two.protocol.send_data(self._stream_id, data, end_stream=last)
            await self._two.flush()


class MemoryEnd(Wire):
    """A peer's wire without a socket."""

    def __init__(self, stream: Half) -> None:
        self.stream = stream
        self.number = 1
        self._buffer = bytearray()


Said = Callable[[Speaker], Awaitable[None]]


async def asked(said: Said, http: HttpChoice, request: Request = GET) -> Response:
    """The response of a peer that says so much once it has the request."""

    async def serve(stream: Half) -> None:
        speaker = Speaker(MemoryEnd(stream), http)
        try:
            await speaker.take()
            await said(speaker)
            await trio.sleep_forever()
        except (PeerGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async with trio.open_nursery() as nursery:
        settings = ClientSettings(http=http, connector=connector(nursery, serve))
        async with open_client(ENDPOINT, settings) as client:
            response = await client.request(request)
        nursery.cancel_scope.cancel()
    return response


async def refused(said: Said, http: HttpChoice, request: Request = GET) -> NoAnswer:
    """Why there was none."""
    with pytest.RaisesGroup(NoAnswer) as caught:
        await asked(said, http, request)
    error = caught.value.exceptions[0]
    assert isinstance(error, NoAnswer)
    return error


@pytest.mark.parametrize("http", HTTPS)
async def test_a_byte_a_minute_is_no_answer(http: HttpChoice, autojump_clock: MockClock) -> None:
    async def said(speaker: Speaker) -> None:
        await speaker.begin(10_000)
        for _ in range(10_000):
            await trio.sleep(59)
            await speaker.give(b"x")

    error = await refused(said, http)
    assert (error.phase, "less than 256 bytes/s" in error.text) == (Phase.BODY, True)
    assert trio.current_time() == pytest.approx(177, abs=1)


@pytest.mark.parametrize("http", HTTPS)
async def test_an_answer_at_the_floor_is_taken(http: HttpChoice, autojump_clock: MockClock) -> None:
    step_s = 40

    async def said(speaker: Speaker) -> None:
        pieces = 50
        await speaker.begin(pieces * step_s * FLOOR_BYTES_PER_S)
        for number in range(pieces):
            await trio.sleep(step_s)
            await speaker.give(bytes(step_s * FLOOR_BYTES_PER_S), last=number == pieces - 1)

    response = await asked(said, http)
    assert (len(response.body), response.truncated) == (50 * step_s * FLOOR_BYTES_PER_S, False)


class Slow:
    """A sink that takes an hour for a piece."""

    def __init__(self) -> None:
        self.got = bytearray()

    def wants(self, status: int, headers: Mapping[str, str]) -> bool:
        return status == 200

    async def add(self, data: bytes | bytearray) -> None:
        await trio.sleep(3600)
        self.got += data


@pytest.mark.parametrize("http", HTTPS)
async def test_the_time_of_a_sink_is_not_the_peers(http: HttpChoice, autojump_clock: MockClock) -> None:
    async def said(speaker: Speaker) -> None:
        await speaker.begin(5)
        for number in range(5):
            await trio.sleep(1)
            await speaker.give(b"x", last=number == 4)

    sink = Slow()
    await asked(said, http, replace(GET, sink=sink))
    assert sink.got == b"xxxxx"


@pytest.mark.parametrize("http", HTTPS)
@pytest.mark.parametrize("request_", [GET, post(70_000)])
async def test_interim_responses_are_not_for_ever(
    http: HttpChoice, request_: Request, autojump_clock: MockClock
) -> None:
    async def said(speaker: Speaker) -> None:
        while True:
            await speaker.interim()
            await trio.sleep(50)

    error = await refused(said, http, request_)
    assert (error.phase, error.text.startswith("no answer from archive.example:80 ")) == (Phase.HTTP, True)
    assert trio.current_time() == pytest.approx(Timeouts().interim_s, abs=1)


@pytest.mark.parametrize("http", HTTPS)
async def test_interim_responses_give_an_archive_time(http: HttpChoice, autojump_clock: MockClock) -> None:
    async def said(speaker: Speaker) -> None:
        for _ in range(10):
            await speaker.interim()
            await trio.sleep(100)
        await speaker.begin(1)
        await speaker.give(b"x", last=True)

    assert (await asked(said, http)).body == b"x"


@given(st.lists(st.tuples(st.floats(0.01, 500), st.floats(1, 3)), max_size=60))
def test_nobody_at_the_floor_is_slow(waits: list[tuple[float, float]]) -> None:
    progress = Progress()
    for waited_s, times in waits:
        assert not progress.is_slow_after(waited_s, int(waited_s * FLOOR_BYTES_PER_S * times) + 1)


@given(st.lists(st.floats(0.01, WINDOW_S / 2), min_size=1))
def test_nobody_below_the_floor_stays_for_two_windows(waits: list[float]) -> None:
    progress, slow = Progress(), False
    for waited_s in [*waits, *[WINDOW_S / 2] * 4]:
        slow |= progress.is_slow_after(waited_s, int(waited_s * FLOOR_BYTES_PER_S * 0.9))
    assert slow
