"""Bodies in both directions: backpressure, early ends, 100 Continue, windows."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import h2.events
import h2.exceptions
import pytest
import trio

from edged.server import Disconnected, Limits
from tests.support.server_kit import H2Wire, Message, answer, curl, http2, read_all, read_body, serving, sink

MIB = 1 << 20
HEAD = b"POST / HTTP/1.1\r\nHost: box\r\n"


class Held:
    """An application that does not read before it is told to, and then tells what it got."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.go = trio.Event()
        self.done = trio.Event()
        self.found: tuple[int, bool] | None = None

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        if scope["path"] == "/other":
            await sink(scope, receive, send)
            return
        self.begun.set()
        await self.go.wait()
        self.found = await read_body(receive)
        self.done.set()
        if self.found[1]:
            await answer(send, 200, b"%d" % self.found[0])


async def send_until_blocked(stream: trio.abc.SendStream, piece: bytes, limit: int) -> int:
    """How much the server lets a client send that never stops."""
    sent = 0
    while sent < limit:
        with trio.move_on_after(0.3) as patience:
            await stream.send_all(piece)
            sent += len(piece)
        if patience.cancelled_caught:
            break
    return sent


@pytest.mark.parametrize("framing", [b"Content-Length: 200000000", b"Transfer-Encoding: chunked"])
async def test_http1_a_slow_application_holds_the_client_back(framing: bytes) -> None:
    held = Held()
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n" if b"chunked" in framing else bytes(0x10000)
    async with serving(held) as running, await running.open() as stream:
        await stream.send_all(HEAD + framing + b"\r\n\r\n")
        sent = await send_until_blocked(stream, chunk, 200_000_000)
        assert sent < 16 * MIB  # two socket buffers and an inbox
        await stream.aclose()
        held.go.set()
        await held.done.wait()
        assert held.found is not None
        assert not held.found[1]


@pytest.mark.parametrize("read", [False, True])
async def test_http2_a_stream_holds_no_more_than_its_window(read: bool) -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        if read:
            await receive()
        await trio.sleep_forever()

    async with serving(app) as running, http2(running) as wire:
        stream_id = await wire.request(b"/", b"POST", end=False)
        window = MIB if read else 65_535
        sent = await fill(wire, stream_id, window=window)
        assert window <= sent <= window + 16_384  # the piece that was taken at first
        running.shutdown.set()


async def use_window(wire: H2Wire, stream_id: int) -> int:
    """Send DATA as far as the window goes now."""
    sent = 0
    while (window := wire.codec.local_flow_control_window(stream_id)) > 0:
        size = min(window, wire.codec.max_outbound_frame_size, 16_384)
        wire.codec.send_data(stream_id, bytes(size))
        sent += size
        await wire.flush()
    return sent


async def fill(wire: H2Wire, stream_id: int, *, window: int) -> int:
    """Send DATA until at least `window` is sent and no more comes."""
    sent = 0
    while True:
        sent += await use_window(wire, stream_id)
        with trio.move_on_after(0.2 if sent >= window else 10) as patience:
            await wire.next_event()
        if patience.cancelled_caught:
            return sent


async def test_http2_unread_streams_do_not_stop_the_others() -> None:
    held = Held()
    async with serving(held) as running, http2(running) as wire:
        unread = [await wire.request(b"/", b"POST", end=False) for _ in range(40)]
        for stream_id in unread:
            assert await use_window(wire, stream_id) == 65_535
        other = await wire.request(b"/other", b"POST", end=False)
        for _ in range(8):
            wire.codec.send_data(other, bytes(8_000))
        wire.codec.end_stream(other)
        await wire.flush()
        assert await wire.finish(other) == (200, b"64000")
        held.go.set()
        for stream_id in unread:
            wire.codec.end_stream(stream_id)
            await wire.flush()
            assert await wire.finish(stream_id) == (200, b"65535")


async def test_http2_windows_come_back_to_the_pools() -> None:
    async with serving(sink) as running:
        pool = running.server._service.windows
        before = pool.free_bytes
        async with http2(running) as wire:
            for number in range(30):
                stream_id = await wire.request(b"/early" if number % 2 else b"/", b"POST", end=False)
                wire.codec.send_data(stream_id, bytes(10_000), end_stream=number % 3 != 0)
                await wire.flush()
                if number % 3 or number % 2:
                    await wire.finish(stream_id)
                else:
                    wire.codec.reset_stream(stream_id)
                    await wire.flush()
            assert await wire.finish(await wire.request()) == (200, b"0")
        await running.stop()
        assert pool.free_bytes == before


@pytest.mark.parametrize(
    "octets",
    [
        HEAD + b"Content-Length: 10\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("half", [True, False])
async def test_http1_a_body_that_is_cut_ends_with_a_disconnect(octets: bytes, half: bool) -> None:
    held = Held()
    held.go.set()
    async with serving(held) as running:
        async with await running.open() as stream:
            await stream.send_all(octets)
            await held.begun.wait()
            if half:
                await stream.send_eof()
                assert await read_all(stream) == b""
        await held.done.wait()
        assert held.found == (3, False)


@pytest.mark.parametrize("how", ["close", "reset", "short", "goaway"])
async def test_http2_a_body_that_is_cut_ends_with_a_disconnect(how: str) -> None:
    held = Held()
    held.go.set()
    async with serving(held) as running:
        async with http2(running) as wire:
            stream_id = await wire.request(b"/", b"POST", end=False, **{"content-length": b"10"})
            wire.codec.send_data(stream_id, b"abc")
            await wire.flush()
            await held.begun.wait()
            match how:
                case "reset":
                    wire.codec.reset_stream(stream_id)
                case "short":
                    wire.codec.end_stream(stream_id)
                case "goaway":
                    wire.codec.close_connection()
            await wire.flush()
            if how in {"reset", "short"}:  # the connection goes on
                assert (await wire.finish(await wire.request(b"/other")))[0] == 200
        await held.done.wait()
        assert held.found is not None
        assert not held.found[1]


async def test_a_malformed_chunk_is_answered() -> None:
    async with serving(sink) as running, await running.open() as stream:
        await stream.send_all(HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


async def test_continue_is_sent_when_the_application_reads() -> None:
    held = Held()
    async with serving(held) as running, await running.open() as stream:
        await stream.send_all(HEAD + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        await held.begun.wait()
        with trio.move_on_after(0.2) as patience:
            await stream.receive_some()
        assert patience.cancelled_caught
        held.go.set()
        assert await stream.receive_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await stream.send_all(b"abc")
        assert (await read_all(stream)).endswith(b"\r\n\r\n3")


async def test_a_refusal_comes_without_continue() -> None:
    async with serving(sink) as running, await running.open() as stream:
        await stream.send_all(HEAD.replace(b"/ ", b"/early ") + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        seen = await read_all(stream)
        assert seen.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in seen


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_a_large_body_each_way(version: str, tmp_path: Path) -> None:
    size = 24 * MIB
    file = tmp_path / "upload"
    file.write_bytes(bytes(size))

    async def app(scope: Message, receive: Any, send: Any) -> None:
        if scope["method"] != "GET":
            await sink(scope, receive, send)
            return
        headers = [(b"content-length", b"%d" % size)] if scope["path"] == "/length" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for sent in range(0, size, MIB):
            await send({"type": "http.response.body", "body": bytes(MIB), "more_body": sent + MIB < size})

    async with serving(app) as running:
        assert await curl(version, "-T", str(file), running.url) == str(size)
        chunked = ["-H", "Transfer-Encoding: chunked"] if version == "--http1.1" else []
        assert await curl(version, *chunked, "-T", str(file), running.url) == str(size)
        for path in ("/length", "/stream"):
            received = await curl(version, "-o", "/dev/null", "-w", "%{size_download}", running.url + path)
            assert received == str(size)


@pytest.mark.parametrize("length", [b"10", None])
async def test_http1_an_answer_that_breaks_off_does_not_look_whole(length: bytes | None, expected_logs: Any) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: Message, receive: Any, send: Any) -> None:
        headers = [] if length is None else [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"abc", "more_body": True})
        raise ZeroDivisionError

    async with serving(app) as running, await running.open() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
        assert not (await read_all(stream)).endswith(b"0\r\n\r\n")
        async with http2(running) as wire:
            assert (await wire.finish(await wire.request()))[0] == 0


async def test_a_client_that_goes_away_is_told_by_receive_and_send() -> None:
    seen = []

    async def stream_for_ever(send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})

    async def app(scope: Message, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        with pytest.raises(Disconnected):
            await stream_for_ever(send)
        seen.append(scope["http_version"])

    async with serving(app) as running:
        async with await running.open() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: box\r\n\r\n")
        async with http2(running) as wire:
            await wire.request(method=b"POST")
        await running.stop()
    assert sorted(seen) == ["1.1", "2"]


async def test_the_head_can_be_sent_before_the_body() -> None:
    go = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"late"})

    async with serving(app) as running, await running.open() as stream, http2(running) as wire:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 OK\r\n")
        stream_id = await wire.request()
        while not isinstance(await wire.next_event(), h2.events.ResponseReceived):
            pass
        go.set()
        assert b"late" in await read_all(stream)
        assert (await wire.finish(stream_id))[1] == b"late"


async def test_http2_data_after_the_answer_ends_in_a_reset_without_error() -> None:
    async with (
        serving(sink, limits=Limits(stream_window_bytes=100_000, linger_s=0.5)) as running,
        http2(running) as wire,
    ):
        stream_id = await wire.request(b"/early", b"POST", end=False)
        assert await wire.finish(stream_id) == (413, b"too large")
        event = None
        while not isinstance(event, h2.events.StreamReset):
            with suppress(h2.exceptions.StreamClosedError):  # the codec knows it first
                await use_window(wire, stream_id)
            event = await wire.next_event()
        assert event.error_code == 0
        assert await wire.finish(await wire.request()) == (200, b"0")


async def test_http2_requests_that_are_abandoned_without_end_end_the_connection() -> None:
    async with serving(Held(), limits=Limits(streams=4, linger_s=0.1, drain_s=0.1)) as running, http2(running) as wire:
        with trio.move_on_after(10) as patience:
            while True:
                try:
                    wire.codec.reset_stream(await wire.request(method=b"POST"))  # which is not stopped for that
                    await wire.flush()
                except trio.BrokenResourceError:
                    break
                with trio.move_on_after(0.01):
                    if await wire.next_event() is None or wire.codec.state_machine.state.name == "CLOSED":
                        break
        assert not patience.cancelled_caught
        assert running.server.counters.failed == 0


def test_the_default_windows_leave_room_for_every_stream() -> None:
    limits = Limits()
    assert limits.streams * 65_535 + limits.stream_window_bytes < limits.connection_window_bytes
    assert math.isfinite(limits.windows_bytes)
