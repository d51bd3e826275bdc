"""Every wait on a client has an end: each limit alone, injected short, over real sockets."""

import contextlib
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
import trio

from edged.server import TLS, Disconnected, Limits
from tests.conftest import ExpectedLogs
from tests.support.certificates import Certificates
from tests.support.server_kit import ANY, Message, Running, answer, curl, http2, read_all, read_body, serving, sink

SHORT_S = 0.15
GET = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 10\r\n\r\n"


def only(**limits: float) -> Limits:
    """Short only where it is said."""
    return Limits(linger_s=SHORT_S, drain_s=SHORT_S, **limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("octets", "status"), [(b"", b""), (b"GET / HT", b"408"), (b"\r\n", b""), (b"PRI * HT", b"408")]
)
async def test_a_head_that_does_not_come(octets: bytes, status: bytes) -> None:
    async with serving(sink, limits=only(head_s=SHORT_S)) as running, await running.open() as stream:
        await stream.send_all(octets)
        seen = await read_all(stream)
        assert seen[9:12] == status


async def test_http2_without_a_request() -> None:
    async with serving(sink, limits=only(head_s=SHORT_S)) as running, http2(running) as wire:
        while await wire.next_event() is not None:
            pass


async def test_an_idle_connection_ends() -> None:
    async with serving(sink, limits=only(idle_s=SHORT_S)) as running:
        async with await running.open() as stream:
            await stream.send_all(GET)
            assert (await read_all(stream)).endswith(b"\r\n\r\n0")
        async with http2(running) as wire:
            await wire.finish(await wire.request())
            while await wire.next_event() is not None:
                pass


async def test_a_second_head_has_its_own_deadline() -> None:
    async with serving(sink, limits=only(head_s=SHORT_S)) as running, await running.open() as stream:
        await stream.send_all(GET + GET[:10])
        assert b"\r\n\r\n0HTTP/1.1 408 " in await read_all(stream)


async def test_a_tls_handshake_that_does_not_come(certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    async with serving(sink, ["https://127.0.0.1:0"], tls=tls, limits=only(handshake_s=SHORT_S)) as running:
        for octets in (b"", b"\x16\x03", b"GET / HTTP/1.1\r\n\r\n"):
            async with await running.open() as stream:
                await stream.send_all(octets)
                await read_all(stream)
        assert await curl("--cacert", str(certificates.authority), running.url) == "0"
        assert running.server.counters.failed == 0


async def test_a_body_that_does_not_come() -> None:
    async with serving(sink, limits=only(body_s=SHORT_S)) as running:
        async with await running.open() as stream:
            await stream.send_all(POST)
            assert (await read_all(stream)).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        async with http2(running) as wire:
            assert (await wire.finish(await wire.request(b"/", b"POST", end=False)))[0] == 408
            assert await wire.finish(await wire.request()) == (200, b"0")


async def test_the_body_deadline_holds_only_while_the_application_waits() -> None:
    async def app(scope: Message, receive: Any, send: Any) -> None:
        await trio.sleep(3 * SHORT_S)
        await sink(scope, receive, send)

    async with serving(app, limits=only(body_s=SHORT_S, idle_s=SHORT_S, head_s=SHORT_S)) as running:
        assert await curl("-d", "abc", running.url) == "3"
        assert await curl("--http2-prior-knowledge", "-d", "abc", running.url) == "3"


async def test_a_client_that_stops_reading() -> None:
    gone = 0

    async def app(scope: Message, receive: Any, send: Any) -> None:
        nonlocal gone
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        except Disconnected:
            gone += 1

    async with serving(app, limits=only(write_s=SHORT_S)) as running:
        async with await running.open() as stream, http2(running) as wire:
            await stream.send_all(GET)
            await wire.request()
            while running.server.counters.open > 1:  # HTTP/1 ends with its connection, HTTP/2 with the stream
                await trio.testing.wait_all_tasks_blocked(SHORT_S / 4)
        await running.stop()
    assert (gone, running.server.counters.slow) == (2, 2)


async def dribble(stream: trio.SocketStream, octets: bytes) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        for octet in octets:
            await stream.send_all(bytes([octet]))
            await trio.testing.wait_all_tasks_blocked(SHORT_S / 8)


async def test_a_body_that_comes_below_the_floor() -> None:
    limits = only(body_s=20, pace_window_s=SHORT_S, floor_bytes_per_s=1000)
    async with serving(sink, limits=limits) as running, await running.open() as stream:
        await stream.send_all(POST.replace(b"10\r", b"1000\r"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble, stream, bytes(1000))
            seen = await read_all(stream)
            nursery.cancel_scope.cancel()
        assert seen.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert running.server.counters.slow == 1


async def test_only_waiting_counts_against_the_floor(tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(bytes(700_000))

    async def app(scope: Message, receive: Any, send: Any) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            size += len(message["body"])
            await trio.sleep(SHORT_S)
        await answer(send, 200, b"%d" % (size + len(message["body"])))

    limits = only(body_s=20, pace_window_s=2 * SHORT_S, floor_bytes_per_s=1 << 20)
    async with serving(app, limits=limits) as running:
        assert await curl("-T", str(file), running.url) == "700000"


async def test_an_answer_that_is_taken_below_the_floor() -> None:
    gone = trio.Event()

    async def app(scope: Message, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": bytes(1000), "more_body": True})
        except Disconnected:
            gone.set()

    limits = only(write_s=20, pace_window_s=SHORT_S, floor_bytes_per_s=1 << 30)
    async with serving(app, limits=limits) as running, await running.open() as stream:
        await stream.send_all(GET)
        with trio.fail_after(20):
            while not gone.is_set():
                await stream.receive_some(1 << 16)
                await trio.testing.wait_all_tasks_blocked(SHORT_S / 20)
        assert running.server.counters.slow == 1


async def test_connections_over_the_cap_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "edged.server")
    async with (
        serving(sink, limits=only(connections=2)) as running,
        http2(running),
        http2(running),
        await running.open() as third,
    ):
        seen = await read_all(third)
        assert seen.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: " in seen
        assert b"\r\nconnection: close\r\n" in seen
        assert "refused a connection: too many" in caplog.messages
        assert (running.server.counters.refused, running.server.counters.crowded) == (1, 0)


async def test_few_are_told_that_they_are_refused() -> None:
    async with serving(sink, limits=only(connections=1, refusals=1)) as running, http2(running):
        async with await running.open() as told, await running.open() as untold:
            assert await read_all(untold) == b""
            assert (await read_all(told)).startswith(b"HTTP/1.1 503 ")
        async with await running.open() as later:
            assert (await read_all(later)).startswith(b"HTTP/1.1 503 ")


async def test_over_tls_a_refused_connection_just_ends(certificates: Certificates) -> None:
    tls = TLS(certificates.server.certificate, certificates.server.private_key)
    async with (
        serving(sink, ["https://127.0.0.1:0"], tls=tls, limits=only(connections=0)) as running,
        await running.open() as stream,
    ):
        assert await read_all(stream) == b""


async def test_a_unix_socket_is_outside_the_cap(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    async with (
        serving(sink, [ANY, f"unix:{path}"], limits=only(connections=1)) as running,
        http2(running),
        await running.open() as second,
        await trio.open_unix_socket(path) as probe,
    ):
        assert (await read_all(second)).startswith(b"HTTP/1.1 503 ")
        await probe.send_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await read_all(probe)).startswith(b"HTTP/1.1 200")


async def open_for_ever(running: Running, streams: list[trio.SocketStream]) -> None:
    while True:
        streams.append(await running.open())


async def test_a_lack_of_descriptors_is_waited_out(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("cannot accept connections")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(sink) as running:
        streams = [await running.open()]
        resource.setrlimit(resource.RLIMIT_NOFILE, (streams[0].socket.fileno() + 6, before[1]))
        try:
            with pytest.raises(OSError, match="all attempts to connect"):
                await open_for_ever(running, streams)
            await trio.testing.wait_all_tasks_blocked(0.02)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        for stream in streams:
            await stream.aclose()
        assert await curl(running.url) == "0"
