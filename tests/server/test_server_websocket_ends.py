"""How a WebSocket ends when its client does not do its part, and what it is over HTTP/2 (RFC 6455 5.5, 7; RFC 8441)."""

from typing import Any

import pytest
import trio
import wsproto.connection
import wsproto.events

from edged.server import Disconnected, Limits
from tests.support.http2_raw import (
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    RST_STREAM,
    RawHTTP2,
    data,
    headers,
    raw_http2,
    rst_stream,
    window_update,
)
from tests.support.server_kit import Message, Running, exchange_raw, read_all, serving, sink

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CONNECT = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
OPEN = headers(1, CONNECT, END_HEADERS)
CLOSE_1000 = b"\x88\x82\0\0\0\0\x03\xe8"


async def open_raw(running: Running) -> trio.SocketStream:
    """A session whose client does nothing by itself."""
    stream = await running.open()
    await stream.send_all(HANDSHAKE)
    seen = b""
    while not seen.endswith(b"\r\n\r\n"):
        seen += bytes(await stream.receive_some(1))
    assert seen.startswith(b"HTTP/1.1 101 ")
    return stream


async def test_a_silent_client_is_asked_and_then_let_go() -> None:
    codes = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])
        with pytest.raises(Disconnected):
            await send({"type": "websocket.send", "text": "into the void"})

    limits = Limits(websocket_ping_s=0.1, websocket_pong_s=0.1, linger_s=0.1)
    async with serving(app, limits=limits) as running, await open_raw(running) as stream:
        assert (await read_all(stream))[:2] == b"\x89\x00"  # a ping
        assert codes == [1006]


async def test_a_client_that_answers_pings_is_not_let_go() -> None:
    limits = Limits(websocket_ping_s=0.05, websocket_pong_s=5, linger_s=0.1)
    async with serving(sink, limits=limits) as running, await open_raw(running) as stream:
        for _ in range(5):
            assert await stream.receive_some(2) == b"\x89\x00"
            await stream.send_all(b"\x8a\x80\0\0\0\0")
        await stream.send_all(CLOSE_1000)
        assert await read_all(stream) == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize("over", ["HTTP/1", "HTTP/2"])
async def test_a_follower_that_does_not_read_is_let_go(over: str) -> None:
    gone = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        except Disconnected:
            gone.set()
            raise

    limits = Limits(write_s=0.2, linger_s=0.1, drain_s=0.1)
    async with serving(app, limits=limits) as running:
        if over == "HTTP/1":
            async with await open_raw(running):
                await gone.wait()
        else:
            async with raw_http2(running) as wire:
                await wire.send(OPEN)
                await gone.wait()
                assert (await wire.wait_for(RST_STREAM)) is not None
                await wire.send(window_update(0, 100), headers(3, CONNECT, END_HEADERS))
                assert await wire.status(3) == 200
                running.shutdown.set()


async def test_a_client_that_does_not_answer_the_close_has_its_time() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})

    async with serving(app, limits=Limits(linger_s=0.1)) as running, await open_raw(running) as stream:
        assert await read_all(stream) == b"\x88\x08\x0f\xa0enough"


async def test_an_application_that_takes_nothing_holds_its_client_back_and_does_not_ping_it() -> None:
    go = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        size = 0
        while (message := await receive())["type"] == "websocket.receive":
            size += len(message["bytes"])
        assert (message["code"], size) == (1000, 300 * 1000)

    limits = Limits(websocket_ping_s=0.1, websocket_pong_s=0.05, linger_s=0.1)
    async with serving(app, limits=limits) as running, await open_raw(running) as stream:
        message = b"\x82\xfe\x03\xe8\0\0\0\0" + bytes(1000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, message * 300 + CLOSE_1000)
            with trio.move_on_after(0.4) as patience:
                await stream.receive_some()
            assert patience.cancelled_caught
            go.set()
            assert await read_all(stream) == b"\x88\x02\x03\xe8"


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x85\0\0\0\0hello\xc1\x80\0\0\0\0", 1002),  # a reserved bit
        (b"\x80\x80\0\0\0\0", 1002),  # a continuation of nothing
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),
        (b"\x82\xff" + (2**40).to_bytes(8, "big") + bytes(4), 0),  # nothing is made of the length alone
        (b"\x02\xfe\x03\xe8\0\0\0\0" + bytes(1000) + b"\x80\x81\0\0\0\0x", 1009),
    ],
)
async def test_what_breaks_the_protocol_is_told_by_its_code(octets: bytes, code: int) -> None:
    limits = Limits(message_bytes=1000, websocket_ping_s=0.1, websocket_pong_s=0.1, linger_s=0.1)
    async with serving(sink, limits=limits) as running:
        seen = (await exchange_raw(running, HANDSHAKE + octets)).partition(b"\r\n\r\n")[2]
        frames = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        frames.receive_data(seen)
        codes = [each.code for each in frames.events() if isinstance(each, wsproto.events.CloseConnection)]
        assert codes == ([code] if code else [])
        assert running.server.counters.failed == 0


async def message(wire: RawHTTP2) -> bytes:
    seen = await wire.wait_for(DATA, RST_STREAM)
    assert seen is not None
    assert seen.kind == DATA
    return seen.payload


async def test_over_http2_a_session_ends_with_its_stream() -> None:
    async with serving(sink, limits=Limits(linger_s=0.2)) as running, raw_http2(running) as wire:
        await wire.send(OPEN, data(1, b"\x81\x82\0\0\0\0hi", 0))
        assert await wire.status(1) == 200
        assert await message(wire) == b"\x81\x02hi"
        await wire.send(data(1, CLOSE_1000, 0))
        assert await message(wire) == b"\x88\x02\x03\xe8"
        end = await wire.wait_for(DATA)
        assert end is not None
        assert end.flags & END_STREAM


@pytest.mark.parametrize("ending", [rst_stream(1), data(1)])
async def test_over_http2_an_end_without_close_is_abnormal(ending: bytes) -> None:
    codes = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])

    async with serving(app, limits=Limits(linger_s=0.1)) as running:
        async with raw_http2(running) as wire:
            await wire.send(OPEN)
            assert await wire.status(1) == 200
            await wire.send(ending)
        await running.stop()
    assert codes == [1006]


async def test_over_http2_an_application_may_refuse_with_an_answer() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/":
            await send({"type": "websocket.close"})
            return
        fields = [(b"content-length", b"4"), (b"Connection", b"close")]
        await send({"type": "websocket.http.response.start", "status": 409, "headers": fields})
        await send({"type": "websocket.http.response.body", "body": b"busy"})

    async with serving(app) as running, raw_http2(running) as wire:
        await wire.send(headers(1, [*CONNECT[:3], (b":path", b"/busy"), *CONNECT[4:]], END_HEADERS))
        assert await wire.status(1) == 409
        assert await message(wire) == b"busy"
        await wire.send(headers(3, CONNECT, END_HEADERS))
        assert await wire.status(3) == 403


async def test_a_subprotocol_is_one_of_those_offered() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        assert scope["subprotocols"] == ["a", "b"]
        await send({"type": "websocket.accept", "subprotocol": "b"})
        await send({"type": "websocket.close"})

    async with serving(app, limits=Limits(linger_s=0.1)) as running:
        offered = HANDSHAKE[:-2] + b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: , b\r\n\r\n"
        assert b"sec-websocket-protocol: b\r\n" in await exchange_raw(running, offered)


async def test_a_message_that_has_no_place_is_the_applications_fault(expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "websocket.send", "text": "too early"})

    async with serving(app) as running:
        assert (await exchange_raw(running, HANDSHAKE)).startswith(b"HTTP/1.1 500 ")


async def test_many_messages_in_both_directions_keep_their_order() -> None:
    async with serving(sink, limits=Limits(linger_s=0.2)) as running, await open_raw(running) as stream:
        frames = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        sent = [b"%d" % number * 50 for number in range(500)]

        async def say() -> None:
            for each in sent:
                octets = frames.send(wsproto.events.BytesMessage(each)) + frames.send(wsproto.events.Ping(b"p"))
                await stream.send_all(octets)

        found: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say)
            while len(found) < len(sent):
                frames.receive_data(bytes(await stream.receive_some()))
                found += [bytes(each.data) for each in frames.events() if isinstance(each, wsproto.events.BytesMessage)]
        assert found == sent


async def test_a_client_that_has_answered_the_close_is_not_waited_for() -> None:
    limits = Limits(linger_s=600, drain_s=1200)
    async with serving(sink, limits=limits) as running, await open_raw(running) as stream:
        running.shutdown.set()
        assert await stream.receive_some() == b"\x88\x02\x03\xe9"
        await stream.send_all(b"\x88\x82\0\0\0\0\x03\xe9")
        assert await read_all(stream) == b""
        await running.ended.wait()


@pytest.mark.parametrize(
    ("octets", "code", "reason"),
    [
        (CLOSE_1000, 1000, ""),
        (b"\x88\x80\0\0\0\0", 1005, ""),
        (b"\x88\x86\0\0\0\0\x0f\xa2C308", 4002, "C308"),
    ],
)
async def test_the_application_is_told_what_the_client_says_at_the_end(octets: bytes, code: int, reason: str) -> None:
    ends = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        ends.append(await receive())

    async with serving(app) as running:
        await exchange_raw(running, HANDSHAKE + octets)
    assert ends == [{"type": "websocket.disconnect", "code": code, "reason": reason}]
