"""An answer's body that goes into a sink: as it comes, no faster than it is taken, over HTTP/1.1 and HTTP/2."""

from collections.abc import Mapping
from dataclasses import replace

import h2.events
import h2.exceptions
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.http2_protocol import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES
from edged.upstream.message import NoAnswer
from tests.support.upstream_body import GET
from tests.support.upstream_peer import Http2Wire, Script, Wire, listen

BODY = bytes(range(256)) * (20 << 10)
HTTPS = [HttpChoice.ONE, HttpChoice.TWO]


class RefusedError(Exception):
    """What a sink of these tests raises."""


class Taking:
    """A sink: takes bytes once `gate` is open, and only of a 200; raises after `refuse_after` of them."""

    def __init__(self, refuse_after: int | None = None) -> None:
        self.got = bytearray()
        self.begun = trio.Event()
        self.gate = trio.Event()
        self.gate.set()
        self._refuse_after = refuse_after

    def wants(self, status: int, headers: Mapping[str, str]) -> bool:
        assert "content-length" in headers
        return status == 200

    async def add(self, data: bytes | bytearray) -> None:
        self.begun.set()
        await self.gate.wait()
        self.got += data
        if self._refuse_after is not None and len(self.got) > self._refuse_after:
            raise RefusedError


class Answering:
    """A script that answers every request; `sent` counts what it could send of the bodies."""

    def __init__(self, body: bytes, status: int = 200, *, cut_at: int | None = None) -> None:
        self._body = body
        self._status = status
        self._end = len(body) if cut_at is None else cut_at
        self.sent = 0

    def script(self, http: HttpChoice) -> Script:
        return self._http1 if http is HttpChoice.ONE else self._http2

    async def _http1(self, wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (self._status, len(self._body)))
            for at in range(0, self._end, 1 << 16):
                await wire.send(self._body[at : at + (1 << 16)])
                self.sent += 1 << 16
            if self._end < len(self._body):
                return

    async def _http2(self, wire: Wire) -> None:
        peer, running = Http2Wire(wire), dict[int, int]()
        await peer.hello()
        while True:
            event = await peer.until(h2.events.Event)
            if isinstance(event, h2.events.RequestReceived):
                headers = [(":status", str(self._status)), ("content-length", str(len(self._body)))]
                peer.protocol.send_headers(event.stream_id, headers)
                running[event.stream_id] = 0
            for stream_id, at in list(running.items()):
                try:
                    running[stream_id] = await self._send_window(peer, stream_id, at)
                except h2.exceptions.StreamClosedError:  # it was reset
                    running[stream_id] = len(self._body)
                if running[stream_id] >= self._end:
                    del running[stream_id]
                    if self._end < len(self._body):
                        return

    async def _send_window(self, peer: Http2Wire, stream_id: int, at: int) -> int:
        """Send what the windows allow from `at` on; where that ends."""
        while room := min(peer.protocol.local_flow_control_window(stream_id), 16_384, self._end - at):
            last = at + room == len(self._body)
            peer.protocol.send_data(stream_id, self._body[at : at + room], end_stream=last)
            at += room
            self.sent += room
            await peer.flush()
        return at


@pytest.mark.parametrize("http", HTTPS)
async def test_a_large_body_goes_into_the_sink(http: HttpChoice) -> None:
    sink = Taking()
    async with listen(Answering(BODY).script(http)) as peer, open_client(peer.endpoint, _only(http)) as client:
        for _ in range(2):
            sink.got.clear()
            response = await client.request(replace(GET, sink=sink))
            assert (response.status, response.body, response.truncated) == (200, b"", False)
            assert sink.got == BODY
        assert client.connections_opened == 1


@pytest.mark.parametrize("http", HTTPS)
async def test_what_the_sink_does_not_want_is_in_the_response(http: HttpChoice) -> None:
    sink = Taking()
    script = Answering(b"nowhere", 404).script(http)
    async with listen(script) as peer, open_client(peer.endpoint, _only(http)) as client:
        response = await client.request(replace(GET, sink=sink))
        assert (response.status, response.body) == (404, b"nowhere")
        assert not sink.got


@pytest.mark.parametrize("http", HTTPS)
async def test_a_body_that_is_cut_is_no_answer(http: HttpChoice) -> None:
    sink = Taking()
    script = Answering(BODY, cut_at=3 << 16).script(http)
    async with listen(script) as peer, open_client(peer.endpoint, _only(http)) as client:
        with pytest.raises(NoAnswer):
            await client.request(replace(GET, sink=sink))
        assert BODY.startswith(sink.got)


@pytest.mark.parametrize("http", HTTPS)
async def test_what_the_sink_raises_ends_the_exchange_and_nothing_else(http: HttpChoice) -> None:
    answering = Answering(BODY)
    async with listen(answering.script(http)) as peer, open_client(peer.endpoint, _only(http)) as client:
        with pytest.raises(RefusedError):
            await client.request(replace(GET, sink=Taking(refuse_after=100_000)))
        sink = Taking()
        await client.request(replace(GET, sink=sink))
        assert sink.got == BODY


@pytest.mark.parametrize("http", HTTPS)
async def test_a_sink_that_waits_holds_the_peer_and_does_not_blame_it(mock_clock: MockClock, http: HttpChoice) -> None:
    answering, sink = Answering(BODY), Taking()
    sink.gate = trio.Event()
    async with listen(answering.script(http)) as peer, open_client(peer.endpoint, _only(http)) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, replace(GET, sink=sink))
            await sink.begun.wait()
            for _ in range(2):
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(10 * Timeouts().body_s)
            assert answering.sent < len(BODY)
            if http is HttpChoice.TWO:
                assert answering.sent <= STREAM_WINDOW_BYTES + (64 << 10)
            sink.gate.set()
        assert sink.got == BODY


@pytest.mark.parametrize("http", HTTPS)
async def test_the_peer_has_its_time_anew_when_the_sink_has_taken(mock_clock: MockClock, http: HttpChoice) -> None:
    sink, resume = Taking(), trio.Event()
    sink.gate = trio.Event()

    async def halves(wire: Wire) -> None:
        if http is HttpChoice.ONE:
            await wire.request()
            await wire.send(b"HTTP/1.1 200 X\r\nContent-Length: 2\r\n\r\n1")
            await resume.wait()
            await wire.send(b"2")
            return
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        peer.protocol.send_headers(stream_id, [(":status", "200"), ("content-length", "2")])
        peer.protocol.send_data(stream_id, b"1")
        await peer.flush()
        await resume.wait()
        peer.protocol.send_data(stream_id, b"2", end_stream=True)
        await peer.flush()
        await wire.closed()

    async with (
        listen(halves) as peer,
        open_client(peer.endpoint, _only(http)) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.request, replace(GET, sink=sink))
        await sink.begun.wait()
        mock_clock.jump(10 * Timeouts().body_s)
        await trio.testing.wait_all_tasks_blocked()
        sink.gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert sink.got == b"1"
        resume.set()
    assert sink.got == b"12"


async def test_an_http2_connection_gets_back_the_credit_of_what_nobody_took() -> None:
    answering = Answering(bytes(2 * STREAM_WINDOW_BYTES))
    async with (
        listen(answering.script(HttpChoice.TWO)) as peer,
        open_client(peer.endpoint, _only(HttpChoice.TWO)) as client,
    ):
        for _ in range(CONNECTION_WINDOW_BYTES // STREAM_WINDOW_BYTES + 2):
            sink = Taking()
            sink.gate = trio.Event()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.request, replace(GET, sink=sink))
                await sink.begun.wait()
                await trio.testing.wait_all_tasks_blocked()  # a whole window has come by now
                nursery.cancel_scope.cancel()
        sink = Taking()
        await client.request(replace(GET, sink=sink))
        assert len(sink.got) == 2 * STREAM_WINDOW_BYTES
        assert client.connections_opened == 1


def _only(http: HttpChoice) -> ClientSettings:
    return ClientSettings(http=http)
