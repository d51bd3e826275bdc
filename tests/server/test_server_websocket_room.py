"""What followers may take: their own share of the connections, little of the memory, one linger at the end."""

import contextlib
from typing import Any

import pytest
import trio
import trio.testing

from edged.server import Limits, websocket_frames
from edged.server.crowd import Crowd
from edged.server.exchange import Service
from edged.server.head_gate import check_head
from edged.server.http1_websocket import serve_websocket
from edged.server.limits import KIB
from edged.server.peer import Peer
from edged.server.websocket import WebSocket
from tests.support.http2_raw import DATA, END_HEADERS, headers, raw_http2, rst_stream, window_update
from tests.support.http2_raw import GET as GET_FIELDS
from tests.support.server_kit import TO_WEBSOCKET, Message, Running, exchange_raw, serving, sink

CONNECT = [(b":method", b"CONNECT"), *GET_FIELDS[1:], (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
WINDOW_BYTES = 65_535  # the first one (RFC 9113 6.9.2)
PEER = Peer(None, None, False)
GET = b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"


async def follow(running: Running) -> trio.SocketStream:
    """The connection of a session that was accepted."""
    stream = await running.open()
    await stream.send_all(TO_WEBSOCKET)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += bytes(await stream.receive_some(1))
    assert head.startswith(b"HTTP/1.1 101 ")
    return stream


async def settled(running: Running, count: int) -> None:
    """Until no more than `count` connections are open."""
    while running.server.counters.open > count:
        await trio.lowlevel.checkpoint()


async def test_sessions_leave_the_places_of_the_connections_to_requests() -> None:
    limits = Limits(connections=1, websockets=3, linger_s=0.1, drain_s=0.5)
    async with serving(sink, limits=limits) as running, contextlib.AsyncExitStack() as streams:
        followers = [await streams.enter_async_context(await follow(running)) for _ in range(3)]
        assert (await exchange_raw(running, GET)).startswith(b"HTTP/1.1 200 ")
        await settled(running, 3)
        refused = await exchange_raw(running, TO_WEBSOCKET)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in refused.lower()
        assert b"too many WebSockets" in refused
        await followers[0].aclose()
        await settled(running, 2)
        await streams.enter_async_context(await follow(running))
        service = running.server._service
        assert (service.connections.total, service.websockets.total, running.server.counters.open) == (0, 3, 3)
        await running.stop()
        assert (service.connections.total, service.websockets.total, running.server.counters.open) == (0, 0, 0)


def test_one_address_has_its_share() -> None:
    crowd = Crowd(4, 2)
    crowd.enter("a")
    crowd.enter("a")
    assert crowd.crowded("a")
    assert not crowd.crowded("b")
    crowd.enter("")
    crowd.enter("")
    assert crowd.full
    for each in ("a", "", "a", ""):
        crowd.leave(each)
    assert (crowd.total, crowd.by_address) == (0, {})


@pytest.mark.parametrize("over", [0, 1])
async def test_a_message_may_be_as_long_as_an_acknowledgement(over: int) -> None:
    size = 64 * KIB + over
    async with serving(sink, limits=Limits(linger_s=0.1)) as running:
        frame = b"\x82\xff" + size.to_bytes(8, "big") + bytes(4) + bytes(size) + b"\x88\x80\0\0\0\0"
        seen = (await exchange_raw(running, TO_WEBSOCKET + frame)).partition(b"\r\n\r\n")[2]
        assert seen.endswith(b"\x88\x02\x03\xf1") == bool(over)  # 1009


class SilentWire:
    """The wire of a client that says nothing; what it is lingered on is noted."""

    def __init__(self) -> None:
        self.lingered: list[float] = []

    async def send(self, pieces: Any) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self) -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    async def linger(self, pause_s: float) -> None:
        self.lingered.append(pause_s)


@pytest.mark.parametrize("busy_s", [0, 3])
async def test_a_client_that_does_not_answer_the_close_is_waited_for_once(
    autojump_clock: trio.testing.MockClock, busy_s: float
) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close"})
        await trio.sleep(busy_s)

    wire, service, limits = SilentWire(), Service.of(app, Limits()), Limits()
    head = check_head(TO_WEBSOCKET)
    began = trio.current_time()
    await serve_websocket(service, PEER, wire, head=head, octets=b"")  # type: ignore[arg-type]
    assert trio.current_time() - began == pytest.approx(limits.linger_s)
    assert wire.lingered == pytest.approx([0])


async def test_the_answer_that_denies_a_session_is_lingered_on(autojump_clock: trio.testing.MockClock) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    wire, service = SilentWire(), Service.of(app, Limits())
    await serve_websocket(service, PEER, wire, head=check_head(TO_WEBSOCKET), octets=b"")  # type: ignore[arg-type]
    assert wire.lingered == [Limits().linger_s]


class StuckChannel:
    """The channel of a client that reads nothing after the head."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def enter(self) -> bool:
        return True

    async def begin(self, status: int, fields: Any) -> None:
        await trio.lowlevel.checkpoint()

    async def deny(self, body: bytes, *, more: bool) -> None:
        raise AssertionError

    async def send(self, octets: bytes) -> None:
        self.held.append(octets)
        await trio.sleep_forever()

    async def receive(self) -> bytes:
        await trio.sleep_forever()
        raise AssertionError


async def test_clients_that_do_not_read_hold_one_frame_together(
    monkeypatch: pytest.MonkeyPatch, nursery: trio.Nursery
) -> None:
    monkeypatch.setattr(websocket_frames, "KEPT_BYTES", 0)

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "a report " * 1000})

    service, head = Service.of(app, Limits()), check_head(TO_WEBSOCKET)
    channels = [StuckChannel() for _ in range(3)]
    for channel in channels:
        nursery.start_soon(WebSocket(service, PEER, head, channel=channel).run)
    await trio.testing.wait_all_tasks_blocked()
    first, *others = [channel.held[0] for channel in channels]
    assert all(each is first for each in others)
    nursery.cancel_scope.cancel()


async def test_over_http2_a_large_message_is_held_by_its_session_until_it_is_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket_frames, "KEPT_BYTES", 0)
    sent = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": bytes(100_000)})
        sent.set()
        await receive()

    async with serving(app, limits=Limits(linger_s=0.1, drain_s=0.1)) as running, raw_http2(running) as wire:
        await wire.send(headers(1, CONNECT, END_HEADERS))
        assert await wire.status(1) == 200
        seen = 0
        while seen < WINDOW_BYTES:
            frame = await wire.wait_for(DATA)
            assert frame is not None
            seen += len(frame.payload)
        frames = running.server._service.frames
        assert len(frames._held) == 1
        assert not sent.is_set()
        await wire.send(window_update(1, WINDOW_BYTES), window_update(0, WINDOW_BYTES))
        await sent.wait()
        assert not frames._held
        await wire.send(rst_stream(1))
