"""The ASGI contract over HTTP/1: what the application pulls, what it may answer, and what is left on the wire."""

from typing import Any

import pytest
import trio

from edged.server import Application, Limits
from tests.support.server_kit import (
    Message,
    answer,
    exchange_raw,
    http2,
    read_all,
    read_body,
    serving,
    sink,
)

GET = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: box\r\n"
FAILED = b"HTTP/1.1 500 Internal Server Error\r\n"


async def receive_until(stream: trio.SocketStream, end: bytes) -> bytes:
    octets = b""
    while not octets.endswith(end):
        more = await stream.receive_some()
        assert more, octets
        octets += more
    return octets


async def test_the_scope_is_that_of_http2() -> None:
    scopes: dict[str, Message] = {}

    async def app(scope: Message, receive: Any, send: Any) -> None:
        scopes[scope["http_version"]] = scope
        await answer(send)

    async with serving(app) as running, http2(running) as wire:
        await wire.finish(await wire.request(b"/a%20b?c=%5E"))
        await exchange_raw(running, b"GET /a%20b?c=%5E HTTP/1.1\r\nHost:  box \r\nConnection: close\r\nX-Y: Z\r\n\r\n")
    one, two = scopes["1.1"], scopes["2"]
    assert one.keys() == two.keys()
    differing = {"http_version", "headers", "client"}
    assert {name: one[name] for name in one.keys() - differing} == {name: two[name] for name in two.keys() - differing}
    assert (one["path"], one["raw_path"], one["query_string"]) == ("/a b", b"/a%20b", b"c=%5E")
    assert one["headers"] == [(b"host", b"box"), (b"connection", b"close"), (b"x-y", b"Z")]


async def test_octets_behind_a_body_are_the_next_request() -> None:
    bodies = POST + b"Content-Length: 3\r\n\r\nabc" + POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"
    async with serving(sink) as running:
        seen = await exchange_raw(running, bodies + b"\r\n" + LAST)
        assert [each[:1] for each in seen.split(b"\r\n\r\n")[1:]] == [b"3", b"4", b"0"]


async def test_a_pipelined_request_survives_a_wait_for_the_end() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
        with trio.move_on_after(0.05) as patience:
            await receive()
        assert patience.cancelled_caught
        await answer(send, 200, scope["path"].encode())

    async with serving(app) as running:
        seen = await exchange_raw(running, GET.replace(b"/ ", b"/1 ") + LAST.replace(b"/ ", b"/2 "))
        assert [each[:2] for each in seen.split(b"\r\n\r\n")[1:]] == [b"/1", b"/2"]


async def test_what_is_sent_during_a_wait_for_the_end_is_bounded() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await receive()

    async with serving(app) as running, await running.open() as stream:
        await stream.send_all(GET + b"GET ")
        with trio.move_on_after(0.3) as patience:
            while True:
                await stream.send_all(bytes(100_000))
        assert patience.cancelled_caught
        running.shutdown.set()


async def test_an_unread_body_that_has_come_does_not_cost_the_connection() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await answer(send, 404)

    async with serving(app) as running:
        for body in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
            seen = await exchange_raw(running, POST + body + LAST)
            assert seen.count(b"HTTP/1.1 404 ") == 2
        seen = await exchange_raw(running, POST + b"Content-Length: 4\r\n\r\nabc")
        assert b"\r\nconnection: close\r\n" in seen


async def test_an_early_answer_may_be_followed_by_reading() -> None:
    found = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await answer(send)
        found.append(await read_body(receive))

    async with serving(app) as running, await running.open() as stream:
        await stream.send_all(POST + b"Content-Length: 6\r\n\r\nabc")
        await receive_until(stream, b"ok")
        await stream.send_all(b"def")
        await read_all(stream)
    assert found == [(6, True)]


async def test_http10_ends_with_the_answer() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        await send({"type": "http.response.body"})

    async with serving(app) as running:
        seen = await exchange_raw(running, b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET)
        assert seen.endswith(b"\r\nconnection: close\r\n\r\nabc")
        assert b"transfer-encoding" not in seen


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
async def test_http10_is_kept_if_it_asks_and_the_answer_has_its_own_end(method: bytes) -> None:
    kept = method + b" / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    async with serving(sink) as running:
        seen = await exchange_raw(running, kept + kept + method + b" / HTTP/1.0\r\n\r\n" + GET)
    heads = [each for each in seen.split(b"HTTP/1.1 ") if each]
    assert len(heads) == 3
    assert [b"\r\nconnection: keep-alive\r\n" in head for head in heads] == [True, True, False]
    assert [b"\r\nconnection: close\r\n" in head for head in heads] == [False, False, True]


async def test_http10_gets_no_continue() -> None:
    async with serving(sink) as running, await running.open() as stream:
        await stream.send_all(b"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.02)
        await stream.send_all(b"abc")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200 OK\r\n")


START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]}
BODY = {"type": "http.response.body", "body": b"abc"}
MORE = {"type": "http.response.body", "body": b"a", "more_body": True}


def saying(*messages: Message) -> Application:
    """An application that sends these messages."""

    async def app(scope: Message, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


@pytest.mark.parametrize(
    "messages",
    [
        [BODY],
        [START, START],
        [{"type": "http.response.start", "status": 103, "headers": []}],
        [START | {"headers": [(b"a", b"b\r\nc: d")]}],
        [START, BODY | {"body": b"ab"}],
        [START, BODY | {"body": b"abcd"}],
        [{"type": "http.response.trailers", "headers": []}],
        [{"type": "websocket.send", "text": "x"}],
    ],
)
async def test_what_is_no_answer_is_a_500(messages: list[Message], expected_logs: Any) -> None:
    expected_logs.expect("the application failed")
    async with serving(saying(*messages)) as running:
        seen = await exchange_raw(running, GET)
        assert seen.startswith(FAILED)
        assert b"\r\nconnection: close\r\n" in seen
        assert b"The origin server met an unexpected condition." in seen


@pytest.mark.parametrize("messages", [[], [START]])
async def test_no_answer_is_a_500(messages: list[Message], expected_logs: Any) -> None:
    expected_logs.expect("the application gave no answer")
    async with serving(saying(*messages)) as running:
        assert (await exchange_raw(running, GET)).startswith(FAILED)
        seen = await exchange_raw(running, GET.replace(b"GET", b"HEAD"))
        assert seen.startswith(FAILED)
        assert seen.endswith(b"\r\n\r\n")


async def receive_all(stream: trio.SocketStream) -> None:
    while await stream.receive_some():
        pass


@pytest.mark.parametrize("messages", [[START, MORE], [START, MORE, MORE | {"more_body": False}], [START, MORE, START]])
async def test_an_answer_that_goes_wrong_is_cut(messages: list[Message], expected_logs: Any) -> None:
    if len(messages) > 2:
        expected_logs.expect("the application failed")
    async with serving(saying(*messages)) as running, await running.open() as stream:
        await stream.send_all(GET)
        with pytest.raises(trio.BrokenResourceError):
            await receive_all(stream)


async def test_a_failure_after_the_answer_costs_nothing(expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await answer(send)
        await send(BODY)

    async with serving(app) as running:
        assert (await exchange_raw(running, GET + LAST)).count(b"HTTP/1.1 200 OK") == 2


async def test_the_head_of_a_second_request_has_its_time_from_its_first_octet() -> None:
    limits = Limits(head_s=0.2, idle_s=20, linger_s=0.1, drain_s=0.5)
    async with serving(sink, limits=limits) as running, await running.open() as stream:
        await stream.send_all(GET)
        await receive_until(stream, b"\r\n\r\n0")
        with trio.move_on_after(0.4):
            await stream.receive_some()
        await stream.send_all(LAST[:10])
        await trio.testing.wait_all_tasks_blocked(0.02)
        await stream.send_all(LAST[10:])
        assert b" 200 OK" in await read_all(stream)


async def test_framing_without_octets_of_the_body_is_no_progress() -> None:
    limits = Limits(body_s=0.3, linger_s=0.1, drain_s=0.5)
    async with serving(sink, limits=limits) as running, await running.open() as stream:
        await stream.send_all(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        seen = b""
        async with trio.open_nursery() as nursery:

            async def dribble() -> None:
                for octet in b"1;" + b"a" * 200:
                    await stream.send_all(bytes([octet]))
                    await trio.testing.wait_all_tasks_blocked(0.02)

            nursery.start_soon(dribble)
            seen = await stream.receive_some()
            nursery.cancel_scope.cancel()
        assert seen.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked", b"400"),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"400"),
        (b"Transfer-Encoding: xchunked", b"400"),
        (b"Transfer-Encoding: chunked, identity", b"400"),
        (b"Content-Length: 3\r\nContent-Length: 4", b"400"),
        (b"Content-Length: 3\r\nContent-Length: 3", b"400"),
        (b"Content-Length: 0x3", b"400"),
        (b"Content-Length: 3 3", b"400"),
        (b"Content-Length : 3", b"400"),
        (b"A: b\r\n Content-Length: 3", b"400"),
        (b"A: b\rContent-Length: 3", b"400"),
        (b"A: b\nContent-Length: 3", b"400"),
    ],
)
async def test_no_second_request_is_read_out_of_an_ambiguous_one(fields: bytes, status: bytes) -> None:
    async with serving(sink) as running:
        seen = await exchange_raw(running, POST + fields + b"\r\n\r\n" + GET)
        assert seen.startswith(b"HTTP/1.1 " + status)
        assert seen.count(b"HTTP/1.1 ") == 1
