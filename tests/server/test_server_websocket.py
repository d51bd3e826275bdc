"""WebSockets over HTTP/1 and over HTTP/2 (RFC 6455, RFC 8441), with an independent client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import h2.events
import pytest
import trio
import trio_websocket
import wsproto.connection
import wsproto.events

from edged.server import Limits
from tests.support.server_kit import Message, Running, answer, echo, exchange_raw, http2, serving, sink

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)


@asynccontextmanager
async def connected(running: Running) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """A session of trio-websocket, closed in order."""
    async with await running.open() as stream, trio.open_nursery() as nursery:
        session = await trio_websocket.wrap_client_stream(nursery, stream, "box", "/")
        yield session
        with trio.move_on_after(2):
            await session.aclose()


async def test_messages_of_both_kinds() -> None:
    async with (
        serving(sink, limits=Limits(message_bytes=200_000, linger_s=0.5)) as running,
        connected(running) as session,
    ):
        for message in ("text, é", b"octets", "", b"x" * 200_000):
            await session.send_message(message)
            assert await session.get_message() == message
        await session.ping(b"still there?")


async def test_an_open_session_has_no_idle_limit() -> None:
    limits = Limits(idle_s=0.1, head_s=0.1, body_s=0.1, linger_s=0.2)
    async with serving(sink, limits=limits) as running, connected(running) as session:
        with trio.move_on_after(0.4):
            await session.get_message()
        await session.send_message("on")
        assert await session.get_message() == "on"


async def test_the_application_is_told_of_the_end() -> None:
    codes = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "headers": [(b"x-more", b"1")]})
        message = await receive()
        codes.append(message["code"])
        await send({"type": "websocket.send", "text": "into the void"})

    async with serving(app) as running:
        async with connected(running) as session:
            assert (b"x-more", b"1") in session.handshake_headers
        await running.stop()
    assert len(codes) == 1


async def test_shutdown_closes_with_going_away() -> None:
    async with serving(sink, limits=Limits(drain_s=5, linger_s=0.5)) as running:
        async with connected(running) as session:
            await session.send_message("first")
            await session.get_message()
            running.shutdown.set()
            with pytest.raises(trio_websocket.ConnectionClosed):
                await session.get_message()
            assert session.closed is not None
            assert session.closed.code == 1001
        await running.ended.wait()


async def test_shutdown_waits_for_no_client() -> None:
    async with serving(sink, limits=Limits(drain_s=5, linger_s=0.1)) as running, await running.open() as stream:
        await stream.send_all(HANDSHAKE % b"")
        assert b" 101 " in await stream.receive_some()
        await running.stop()


async def test_an_application_may_refuse_with_an_answer() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-length", b"4")]
        await send({"type": "websocket.http.response.start", "status": 409, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"busy"})

    async with serving(app) as running:
        seen = await exchange_raw(running, HANDSHAKE % b"")
        assert seen.startswith(b"HTTP/1.1 409 Conflict\r\n")
        assert seen.endswith(b"\r\n\r\nbusy")


async def test_a_plain_refusal_is_a_403() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    async with serving(app) as running:
        assert (await exchange_raw(running, HANDSHAKE % b"")).startswith(b"HTTP/1.1 403 Forbidden\r\n")


async def test_an_application_that_fails_closes_with_internal_error(expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        raise ZeroDivisionError

    async with serving(app) as running, connected(running) as session:
        with pytest.raises(trio_websocket.ConnectionClosed):
            await session.get_message()
        assert session.closed is not None
        assert session.closed.code == 1011


@pytest.mark.parametrize(
    "handshake",
    [
        HANDSHAKE.replace(b"Version: 13", b"Version: 12") % b"",
        HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X") % b"",
        HANDSHAKE.replace(b"Version: 13", b"Version: \xe9") % b"",
    ],
)
async def test_a_wrong_handshake_is_refused(handshake: bytes) -> None:
    async with serving(sink) as running:
        assert (await exchange_raw(running, handshake)).startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert running.server.counters.failed == 0


@pytest.mark.parametrize(
    "field",
    [
        b"Sec-WebSocket-Protocol: \xe9",
        b"Sec-WebSocket-Protocol: a b",
        b"Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol: a",
        b"Sec-WebSocket-Extensions: \xff",
        b"Sec-WebSocket-Extensions: a; =b",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",  # a second one
        b"Sec-WebSocket-Version: 13",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
    ],
)
async def test_a_field_of_a_handshake_that_breaks_the_rules(field: bytes) -> None:
    async with serving(sink) as running:
        seen = await exchange_raw(running, HANDSHAKE % (field + b"\r\n"))
        assert seen.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b"\r\nsec-websocket-version: 13\r\n" in seen
        assert running.server.counters.failed == 0


@pytest.mark.parametrize(
    "field", [b"Sec-WebSocket-Protocol: , a,", b"Sec-WebSocket-Extensions: x-of-mine; a=b", b"Content-Length: 0"]
)
async def test_what_is_allowed_of_a_handshake_and_not_known(field: bytes) -> None:
    async with serving(sink) as running, await running.open() as stream:
        await stream.send_all(HANDSHAKE % (field + b"\r\n"))
        seen = await stream.receive_some()
        assert b" 101 " in seen
        assert b"sec-websocket-protocol" not in seen
        assert b"sec-websocket-extensions" not in seen


async def test_a_message_that_is_too_large_ends_the_session() -> None:
    limits = Limits(message_bytes=1000, linger_s=0.2)
    async with serving(sink, limits=limits) as running, connected(running) as session:
        await session.send_message("x" * 1001)
        with pytest.raises(trio_websocket.ConnectionClosed):
            await session.get_message()
        assert session.closed is not None
        assert session.closed.code == 1009


@pytest.mark.parametrize("octets", [b"\xff" * 50, b"\x81\x02hi", b"\x81\x82\x00\x00\x00\x00\xff\xff"])
async def test_a_client_that_breaks_the_protocol_is_sent_a_close_frame(octets: bytes) -> None:
    async with serving(sink) as running:
        seen = await exchange_raw(running, (HANDSHAKE % b"") + octets)
        assert seen.partition(b"\r\n\r\n")[2][:1] == b"\x88"
        assert running.server.counters.failed == 0


async def test_over_http2() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send)
            return
        assert (scope["http_version"], scope["path"]) == ("2", "/chat")
        await echo(receive, send)

    async with serving(app) as running, http2(running) as wire:
        stream_id = await wire.request(b"/chat", b"CONNECT", end=False, **{":protocol": b"websocket"} | VERSION)
        session = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        wire.codec.send_data(stream_id, session.send(wsproto.events.TextMessage("over two")))
        await wire.flush()
        assert (await next_frame(wire, session)) == wsproto.events.TextMessage("over two")
        assert (await wire.finish(await wire.request()))[0] == 200
        wire.codec.send_data(stream_id, session.send(wsproto.events.CloseConnection(1000)))
        await wire.flush()
        assert isinstance(await next_frame(wire, session), wsproto.events.CloseConnection)
        while not isinstance(event := await wire.next_event(), h2.events.StreamEnded):
            assert event is not None


VERSION = {"sec-websocket-version": b"13"}


async def next_frame(wire: Any, session: wsproto.connection.Connection) -> wsproto.events.Event:
    while True:
        for event in session.events():
            return event
        if isinstance(event := await wire.next_event(), h2.events.DataReceived):
            session.receive_data(event.data)
