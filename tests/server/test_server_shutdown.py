"""The end of serving: nothing new, what runs may finish, then everything is cancelled; no socket is left."""

from typing import Any

import h2.events
import pytest
import trio

from edged.server import Limits
from tests.support.server_kit import Message, answer, http2, read_all, serving, sink

GET = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n"
LATE = [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http"), (b":authority", b"box")]
PATIENT = Limits(linger_s=0.2, drain_s=20)
HASTY = Limits(linger_s=0.2, drain_s=0.2)


class Slow:
    """An application that answers when told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = trio.Event()

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        self.begun += 1
        await self.go.wait()
        await answer(send, 200, b"finished")

    async def wait_begun(self, count: int) -> None:
        while self.begun < count:
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_idle_connections_end_at_once() -> None:
    async with (
        serving(sink, limits=PATIENT) as running,
        await running.open() as fresh,
        await running.open() as kept,
        http2(running) as wire,
    ):
        await kept.send_all(GET)
        assert (await kept.receive_some()).startswith(b"HTTP/1.1 200")
        await wire.finish(await wire.request())
        running.shutdown.set()
        assert await read_all(fresh) == b""
        assert await read_all(kept) == b""
        while await wire.next_event() is not None:
            pass
        await running.ended.wait()
        with pytest.raises(OSError, match=r"\S"):
            await running.open()


async def test_running_requests_finish() -> None:
    slow = Slow()
    async with serving(slow, limits=PATIENT) as running:
        async with await running.open() as stream, http2(running) as wire:
            await stream.send_all(GET)
            await wire.request()
            await slow.wait_begun(2)
            wire.codec.send_headers(
                3,
                [(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"http"), (b":authority", b"b")],
                end_stream=True,
            )
            late = wire.codec.data_to_send()
            running.shutdown.set()
            while not isinstance(await wire.next_event(), h2.events.ConnectionTerminated):
                pass
            await wire.stream.send_all(late)
            assert (await wire.stream.receive_some())[:9] == b"\x00\x00\x04\x03\x00\x00\x00\x00\x03"  # RST_STREAM
            slow.go.set()
            seen = await read_all(stream)
            assert seen.endswith(b"finished")
            assert b"connection: close\r\n" in seen.lower()
            assert b"finished" in await read_all(wire.stream)
        await running.ended.wait()


async def test_what_does_not_finish_is_cancelled() -> None:
    slow = Slow()
    async with serving(slow, limits=HASTY) as running:
        async with await running.open() as stream, http2(running) as wire:
            await stream.send_all(GET)
            await wire.request()
            await slow.wait_begun(2)
            running.shutdown.set()
            assert await read_all(stream) == b""
            while await wire.next_event() is not None:
                pass
            await running.ended.wait()
        assert running.server.counters.open == 0


async def test_a_client_that_does_not_read_cannot_hold_the_end() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})

    async with serving(app, limits=HASTY) as running, await running.open() as stream, http2(running) as wire:
        await stream.send_all(GET)
        await wire.request()
        await trio.testing.wait_all_tasks_blocked(0.05)
        running.shutdown.set()
        await running.ended.wait()


async def test_cancelling_the_server_closes_everything() -> None:
    slow = Slow()
    with trio.CancelScope() as scope:
        async with serving(slow, limits=PATIENT) as running, await running.open() as stream:
            await stream.send_all(GET)
            await slow.wait_begun(1)
            scope.cancel()
            await trio.sleep_forever()
    assert running.server.counters.open == 0
