"""The end of an HTTP/2 connection that has served enough, and streams whose client does not keep up."""

import re
from typing import Any

import pytest
import trio

from edged.server import Limits
from tests.support.http2_raw import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PING,
    POST,
    RST_STREAM,
    data,
    frame,
    headers,
    raw_http2,
    rst_stream,
    settings,
    window_update,
)
from tests.support.server_kit import Message, answer, http2, serving, sink

NO_ERROR, REFUSED_STREAM, CANCEL = 0, 7, 8
LARGEST = 2**31 - 1


class Held:
    """An application that answers when told to."""

    def __init__(self) -> None:
        self.go = trio.Event()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            await self.go.wait()
        await answer(send)


async def test_a_long_connection_ends_in_two_steps_without_cutting_a_stream() -> None:
    held = Held()
    limits = Limits(connection_requests=5, linger_s=0.3, drain_s=0.3)
    async with serving(held, limits=limits) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*GET[:3], (b":path", b"/held")]))
        for number in (3, 5, 7, 9):
            await wire.send(headers(number))
            assert await wire.status(number) == 200 if number < 9 else True
        first = await wire.wait_for(GOAWAY)
        assert first is not None
        assert (first.payload, first.code) == (LARGEST.to_bytes(4, "big") + bytes(4), NO_ERROR)
        ping = await wire.wait_for(PING)
        assert ping is not None
        await wire.send(headers(11))  # under way when the client saw it
        assert await wire.status(11) == 200
        await wire.send(frame(PING, ACK, 0, ping.payload))
        last = await wire.wait_for(GOAWAY)
        assert last is not None
        assert last.payload[:4] == (11).to_bytes(4, "big")
        await wire.send(headers(13))
        refused = await wire.wait_for(RST_STREAM)
        assert refused is not None
        assert (refused.stream_id, refused.code) == (13, REFUSED_STREAM)
        held.go.set()
        assert await wire.status(1) == 200
        rest = await wire.read_to_end()
        assert [seen.kind for seen in rest if seen.kind in {GOAWAY, RST_STREAM}] == []


async def test_an_old_connection_is_asked_to_end() -> None:
    limits = Limits(connection_age_s=0.05, linger_s=0.1, drain_s=0.1)
    async with serving(sink, limits=limits) as running, raw_http2(running) as wire:
        await wire.send(headers(1))
        assert await wire.status(1) == 200
        await trio.testing.wait_all_tasks_blocked(0.06)
        await wire.send(headers(3))
        seen = await wire.wait_for(GOAWAY)
        assert seen is not None
        assert seen.code == NO_ERROR
        await wire.read_to_end()  # nothing runs: it ends though the client says nothing


@pytest.mark.parametrize("requests", [10_000, 200])
async def test_h2load_loses_nothing_that_has_arrived(requests: int) -> None:
    """What it counts as started may be waiting in it still when it reads that the connection ends."""
    arrived = 0

    async def counted(scope: Message, receive: Any, send: Any) -> None:
        nonlocal arrived
        arrived += 1
        await sink(scope, receive, send)

    async with serving(counted, limits=Limits(connection_requests=requests, linger_s=0.5)) as running:
        command = ["h2load", "-n", "5000", "-c", "2", "-m", "32", running.url]
        done = await trio.run_process(command, capture_stdout=True)
        found = re.search(rb"(\d+) started, (\d+) done, (\d+) succeeded, (\d+) failed", done.stdout)
        assert found is not None
        _, _, succeeded, failed = map(int, found.groups())
        assert succeeded == arrived
        assert failed == 5000 - arrived  # it makes no second connection
        assert (arrived == 5000) is (requests == 10_000)
        assert arrived >= min(5000, 2 * requests)


async def test_a_client_that_leaves_gets_what_it_waits_for() -> None:
    held = Held()
    async with serving(held, limits=Limits(linger_s=0.2)) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*GET[:3], (b":path", b"/held")]), frame(GOAWAY, 0, 0, bytes(8)))
        await wire.send(frame(PING, 0, 0, bytes(8)))
        await wire.wait_for(PING)
        held.go.set()
        assert await wire.status(1) == 200
        rest = await wire.read_to_end()
        assert rest[-1].kind == GOAWAY


async def test_a_client_that_leaves_with_an_error_gets_nothing_more() -> None:
    async with serving(Held(), limits=Limits(linger_s=0.2, drain_s=0.2)) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*GET[:3], (b":path", b"/held")]), frame(GOAWAY, 0, 0, bytes(7) + b"\x01"))
        assert await wire.status(1) is None
        running.shutdown.set()


async def large(scope: Message, receive: Any, send: Any) -> None:
    if scope["path"] == "/":
        await answer(send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100):
        await send({"type": "http.response.body", "body": bytes(10_000), "more_body": True})


@pytest.mark.parametrize("dribble", [False, True])
async def test_a_client_that_opens_no_window_loses_its_stream_and_no_other(dribble: bool) -> None:
    limits = Limits(write_s=0.3, pace_window_s=0.5, floor_bytes_per_s=1000, linger_s=0.1, drain_s=0.1)
    async with serving(large, limits=limits) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*GET[:3], (b":path", b"/large")]))

        async def open_a_little() -> None:
            while dribble:
                await wire.send(window_update(1, 1), window_update(0, 1))
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_a_little)
            seen = await wire.wait_for(RST_STREAM, GOAWAY)
            nursery.cancel_scope.cancel()
        assert seen is not None
        assert (seen.kind, seen.stream_id, seen.code) == (RST_STREAM, 1, CANCEL)
        await wire.send(window_update(0, 1000), headers(3))
        assert await wire.status(3) == 200
        assert running.server.counters.slow == 1


@pytest.mark.parametrize("dribble", [False, True])
async def test_a_body_that_does_not_come_is_a_408_and_no_error(dribble: bool) -> None:
    limits = Limits(body_s=0.3, pace_window_s=0.5, floor_bytes_per_s=1000, linger_s=0.1, drain_s=0.1)
    async with serving(sink, limits=limits) as running, raw_http2(running) as wire:
        await wire.send(headers(1, POST, END_HEADERS), data(1, b"x", 0))

        async def send_a_little() -> None:
            while dribble:
                await wire.send(data(1, b"x", 0))
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_a_little)
            assert await wire.status(1) == 408
            seen = await wire.wait_for(DATA)
            while seen is not None and not seen.flags & END_STREAM:
                seen = await wire.wait_for(DATA)
            reset = await wire.wait_for(RST_STREAM)
            nursery.cancel_scope.cancel()
        assert reset is not None
        assert (reset.stream_id, reset.code) == (1, NO_ERROR)
        await wire.send(headers(3))
        assert await wire.status(3) == 200
        assert running.server.counters.slow == 1


async def test_the_pools_bound_what_is_lent_and_refuse_the_rest() -> None:
    held = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["method"] == "POST":
            await receive()
            await held.wait()
        await answer(send)

    limits = Limits(windows_bytes=4 * 65_535, stream_window_bytes=100_000, linger_s=0.2)
    async with serving(app, limits=limits) as running, raw_http2(running) as wire, raw_http2(running) as other:
        pool = running.server._service.windows
        for number in (1, 3):
            await wire.send(headers(number, POST, END_HEADERS), data(number, b"x", 0))
            await other.send(headers(number, POST, END_HEADERS), data(number, b"x", 0))
        await other.send(frame(PING, 0, 0, bytes(8)))
        await other.wait_for(PING)
        for each in (wire, other):
            await each.send(headers(5, POST, END_HEADERS), headers(7))
        assert await wire.status(5) == 503
        assert await wire.status(7) == 200
        assert pool.free_bytes >= 0
        held.set()
        for each in (wire, other):
            await each.send(rst_stream(1), data(3, b""))
        await wire.send(headers(9))
        assert await wire.status(9) == 200
        await other.send(headers(9))
        assert await other.status(9) == 200
        for each in (wire, other):
            await each.stream.aclose()
        await running.stop()
        assert pool.free_bytes == limits.windows_bytes


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
@pytest.mark.parametrize("status", [200, 204, 304])
async def test_answers_without_a_body_have_no_data(method: bytes, status: int) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"abc"})

    async with serving(app) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [(b":method", method), *GET[1:]]))
        seen = await wire.wait_for(HEADERS)
        assert seen is not None
        assert bool(seen.flags & END_STREAM) is (status != 200 or method == b"HEAD")
        assert (b"content-length" in seen.fields) is (status != 204)  # RFC 9110 8.6


async def test_continue_is_sent_when_the_application_reads() -> None:
    async with serving(sink) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*POST, (b"expect", b"100-continue")], END_HEADERS))
        assert await wire.status(1) == 100
        await wire.send(data(1, b"abc"))
        assert await wire.status(1) == 200
        await wire.send(headers(3, [*POST[:3], (b":path", b"/early"), (b"expect", b"100-continue")], END_HEADERS))
        assert await wire.status(3) == 413


@pytest.mark.parametrize("fields", [[(b"a", b"b\r\nc: d")], [(b"a b", b"c")], [(b"content-length", b"1")] * 2])
async def test_an_answer_that_is_none_is_an_internal_error(fields: Any, expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": fields})

    async with serving(app) as running, http2(running) as wire:
        assert (await wire.finish(await wire.request()))[0] == 500


async def test_an_answer_is_as_long_as_it_says(expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async with serving(app) as running, raw_http2(running) as wire:
        await wire.send(settings(), headers(1))
        seen = await wire.wait_for(RST_STREAM)
        assert seen is not None
        assert seen.stream_id == 1
