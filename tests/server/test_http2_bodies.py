"""Request bodies over HTTP/2: credit that comes back whatever happens, windows of uploads and of WebSockets."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.server import Limits
from edged.server.exchange import Application, Service
from edged.server.http1 import ToHTTP2
from edged.server.http2 import HTTP2Connection
from edged.server.http2_settings import FIRST_WINDOW_BYTES
from edged.server.peer import peer_of
from edged.server.wire import Wire
from tests.support import http2_raw
from tests.support.http2_raw import (
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    POST,
    PREFACE,
    RST_STREAM,
    WINDOW_UPDATE,
    RawHTTP2,
    data,
    headers,
    raw_http2,
    rst_stream,
)
from tests.support.server_kit import Message, answer, serving, sink

WEBSOCKET = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]


@asynccontextmanager
async def connection(app: Application, limits: Limits) -> AsyncIterator[tuple[HTTP2Connection, RawHTTP2]]:
    """A connection alone, over a pair of sockets that hold little."""
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    stream, client = (trio.SocketStream(trio.socket.from_stdlib_socket(each)) for each in (ours, theirs))
    wire = Wire(stream, write_s=limits.write_s)
    served = HTTP2Connection(wire, peer_of(stream), Service.of(app, limits))
    async with client, stream, trio.open_nursery() as nursery:
        nursery.start_soon(served.run, ToHTTP2(b""))
        raw = RawHTTP2(client)
        await raw.send(PREFACE, http2_raw.settings())
        yield served, raw
        nursery.cancel_scope.cancel()


async def read_on(wire: RawHTTP2) -> None:
    await wire.read_to_end()


STEPS = st.sampled_from(
    [
        "request",
        "open",
        "early",
        "unread",
        "slow",
        "data",
        "padding",
        "only padding",
        "end",
        "reset",
        "fault",
        "trail",
        "wait",
    ]
)


@settings(max_examples=60)
@given(st.lists(st.tuples(STEPS, st.integers(0, 3), st.integers(0, 3000)), max_size=25))
def test_every_octet_is_given_back_once(steps: list[tuple[str, int, int]]) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["path"] == "/unread":
            await trio.sleep(0.001)
        await sink(scope, receive, send)

    async def run() -> None:
        limits = Limits(body_s=0.002, linger_s=0.1)
        async with connection(app, limits) as (served, wire), trio.open_nursery() as nursery:
            nursery.start_soon(read_on, wire)
            begun = [1]
            await wire.send(headers(1))
            for step, which, size in steps:
                await wire.send(octets_of(step, begun, which, size))
                if step == "wait":
                    await trio.testing.wait_all_tasks_blocked(0.004)
            await wire.send(*(rst_stream(number) for number in begun))
            await trio.testing.wait_all_tasks_blocked(0.004)
            flow = served._codec._connection
            assert flow.receive_bytes + flow.owed_bytes == flow.window_bytes == limits.connection_window_bytes
            assert served._service.windows.free_bytes == limits.windows_bytes
            assert not served._streams
            nursery.cancel_scope.cancel()

    trio.run(run)


def octets_of(step: str, begun: list[int], which: int, size: int) -> bytes:
    """What a client sends for a step; `begun` are its streams, the latest ones are spoken of."""
    stream_id = begun[-1 - which % len(begun)]
    match step:
        case "request" | "open" | "early" | "unread" | "slow":
            begun.append(begun[-1] + 2)
            path = [(b":path", {"early": b"/early", "unread": b"/unread"}.get(step, b"/"))]
            flags = END_HEADERS | END_STREAM if step == "request" else END_HEADERS
            return headers(begun[-1], [*POST[:3], *path], flags)
        case "data":
            return data(stream_id, bytes(size), 0)
        case "padding" | "only padding":
            padding = size % 256
            return data(stream_id, bytes([padding]) + bytes(size if step == "padding" else 0) + bytes(padding), PADDED)
        case "end":
            return data(stream_id, bytes(size))
        case "reset":
            return rst_stream(stream_id)
        case "fault":
            return http2_raw.window_update(stream_id, 0)
        case "trail":
            return headers(stream_id, [(b"a", b"b")])
        case _:
            return b""


async def test_a_body_that_was_given_up_may_end_its_stream_before_the_answer() -> None:
    given_up, go = trio.Event(), trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["path"] == "/":
            while (await receive())["type"] == "http.request":
                pass
            given_up.set()
            await go.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    limits = Limits(body_s=0.05, stream_window_bytes=FIRST_WINDOW_BYTES)
    async with serving(app, limits=limits) as running, raw_http2(running) as wire:
        await wire.send(headers(1, POST, END_HEADERS))
        await given_up.wait()
        seen = None
        while seen is None or seen.kind != RST_STREAM:
            await wire.send(data(1, bytes(16_384), 0), data(1, bytes(16_384), 0))
            seen = await wire.wait_for(WINDOW_UPDATE, RST_STREAM, stream_id=1)
            assert seen is not None
        assert seen.code == 0
        go.set()
        await wire.send(headers(3, [*GET[:3], (b":path", b"/other")]))
        answered = await wire.wait_for(HEADERS, GOAWAY)
        assert answered is not None
        assert (answered.kind, answered.stream_id) == (HEADERS, 3)
        assert running.server.counters.failed == 0


async def test_continue_is_not_sent_after_the_answer_has_begun() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await receive()
        await send({"type": "http.response.body"})

    async with serving(app) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*POST, (b"expect", b"100-continue")], END_HEADERS))
        assert await wire.status(1) == 200
        seen = None
        while seen is None or (seen.kind, seen.stream_id) != (WINDOW_UPDATE, 1):  # the application reads
            seen = await wire.next()
            assert seen is not None
            assert seen.kind != HEADERS


async def test_the_bodies_of_a_connection_share_what_moves() -> None:
    async with connection(sink, Limits()) as (served, wire):  # so one may wait for the other: test_server_inbox.py
        await wire.send(headers(1, POST, END_HEADERS), headers(3, POST, END_HEADERS), data(1, b"abc", 0))
        await trio.testing.wait_all_tasks_blocked(0.01)
        paces = [stream.inbox._pace for stream in served._streams.values()]
        assert [pace.moved_bytes for pace in paces if pace is not None] == [3, 3]


async def keep_credit(wire: RawHTTP2, credit: dict[int, int]) -> None:
    while (seen := await wire.next()) is not None:
        if seen.kind == WINDOW_UPDATE:
            credit[seen.stream_id] = credit.get(seen.stream_id, FIRST_WINDOW_BYTES) + int.from_bytes(
                seen.payload, "big"
            )


async def test_many_uploads_on_a_connection_all_have_large_windows() -> None:
    limits, count, size = Limits(), 20, 2 << 20
    async with connection(sink, limits) as (served, wire), trio.open_nursery() as nursery:
        credit = {0: FIRST_WINDOW_BYTES} | dict.fromkeys(range(1, 2 * count, 2), FIRST_WINDOW_BYTES)
        left = dict.fromkeys(range(1, 2 * count, 2), size)
        nursery.start_soon(keep_credit, wire, credit)
        await wire.send(*(headers(number, POST, END_HEADERS) for number in left))
        while any(left.values()):
            for number in left:
                piece = min(left[number], credit[number], credit[0], 16_384)
                left[number] -= piece
                credit[number] -= piece
                credit[0] -= piece
                await wire.send(data(number, bytes(piece), 0) if piece else b"")
        await trio.testing.wait_all_tasks_blocked(0.01)
        flows = [flow.window_bytes for flow in served._codec._streams]
        assert min(flows) > 400_000
        assert len(flows) == count
        assert sum(flows) == limits.windows_bytes - served._service.windows.free_bytes
        await wire.send(*(data(number, b"") for number in left))
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert served._service.windows.free_bytes == limits.windows_bytes
        nursery.cancel_scope.cancel()


async def test_websockets_take_nothing_of_what_uploads_need() -> None:
    limits = Limits(websocket_windows_bytes=2 * FIRST_WINDOW_BYTES, linger_s=0.1, drain_s=0.2)
    async with serving(sink, limits=limits) as running, raw_http2(running) as wire:
        pool = running.server._service.windows
        for stream_id, status in ((1, 200), (3, 200), (5, 503)):
            await wire.send(headers(stream_id, WEBSOCKET, END_HEADERS))
            assert await wire.status(stream_id) == status
        assert pool.free_bytes == limits.windows_bytes
        await wire.send(headers(7, POST, END_HEADERS))
        seen = await wire.wait_for(WINDOW_UPDATE, stream_id=7)
        assert seen is not None
        assert int.from_bytes(seen.payload, "big") == limits.stream_window_bytes - FIRST_WINDOW_BYTES
        await wire.send(rst_stream(1), data(7, b"abc"))
        assert await wire.status(7) == 200
        await trio.testing.wait_all_tasks_blocked(0.01)
        await wire.send(headers(9, WEBSOCKET, END_HEADERS))
        assert await wire.status(9) == 200


async def test_a_websocket_keeps_its_first_window() -> None:
    async with serving(sink, limits=Limits(linger_s=0.1, drain_s=0.2)) as running, raw_http2(running) as wire:
        await wire.send(headers(1, WEBSOCKET, END_HEADERS))
        assert await wire.status(1) == 200
        await wire.send(data(1, b"\x81\x82\x00\x00\x00\x00hi", 0))
        seen = await wire.next()
        assert seen is not None
        assert (seen.kind, seen.payload) == (http2_raw.DATA, b"\x81\x02hi")  # and no WINDOW_UPDATE before


class Patient:
    """An application that works for a while; how many of its requests run, and have run."""

    def __init__(self) -> None:
        self.running = 0
        self.begun = 0

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await answer(send)
            return
        self.running += 1
        self.begun += 1
        try:
            await trio.sleep_forever()
        finally:
            self.running -= 1


@pytest.mark.parametrize(("method", "stopped"), [(b"GET", True), (b"HEAD", True), (b"OPTIONS", True), (b"POST", False)])
async def test_a_request_that_changes_nothing_is_stopped_when_it_is_given_up(method: bytes, stopped: bool) -> None:
    app, rounds, streams = Patient(), 3 if stopped else 1, 20
    async with serving(app, limits=Limits(streams=streams, drain_s=0.1)) as running, raw_http2(running) as wire:
        for number in range(rounds):
            stream_ids = range(1 + 2 * streams * number, 1 + 2 * streams * (number + 1), 2)
            await wire.send(*(headers(stream_id, [(b":method", method), *GET[1:]]) for stream_id in stream_ids))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert app.running == streams
            await wire.send(*(rst_stream(stream_id) for stream_id in stream_ids))
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert app.running == (0 if stopped else streams)
        assert app.begun == rounds * streams
        await wire.send(headers(1001, [*GET[:3], (b":path", b"/other")]))
        assert await wire.status(1001) == 200
        if stopped:
            await wire.send(headers(1003, [(b":method", method), *GET[1:]]))
            await wire.stream.aclose()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert (app.begun, app.running) == (rounds * streams + 1, 0)


async def test_a_client_that_leaves_may_take_its_last_answer_slowly() -> None:
    size = 100_000

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await answer(send, 200, bytes(size))

    async with connection(app, Limits(linger_s=0.05)) as (served, wire):
        windows = http2_raw.settings((4, 1 << 20)), http2_raw.window_update(0, 1 << 20)
        await wire.send(*windows, headers(1), http2_raw.frame(GOAWAY, 0, 0, bytes(8)))
        await trio.testing.wait_all_tasks_blocked(0.2)  # longer than it lingers, with all but a little still unsent
        seen = await wire.read_to_end()
        assert not served._streams
        assert sum(len(each.payload) for each in seen if each.kind == http2_raw.DATA) == size
        assert [each.kind for each in seen if each.kind == RST_STREAM] == []


@pytest.mark.parametrize(("count", "status"), [(5, 200), (6, None)])
async def test_trailers_are_counted(count: int, status: int | None) -> None:
    async with serving(sink, limits=Limits(fields=5, drain_s=0.1)) as running, raw_http2(running) as wire:
        await wire.send(headers(1, POST, END_HEADERS), headers(1, [(b"a", b"b")] * count))
        assert await wire.status(1) == status
