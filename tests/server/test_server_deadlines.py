"""Every wait on a client has an end: each limit alone, injected short, over real sockets."""

import resource
from pathlib import Path
from typing import Any

import pytest
import trio

from edged.server import TLS, Disconnected, Limits
from tests.conftest import ExpectedLogs
from tests.support.certificates import Certificates
from tests.support.server_kit import ANY, Message, Running, curl, http2, read_all, read_body, serving, sink

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
            assert (await wire.finish(await wire.request(b"/", b"POST", end=False)))[0] == 0
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
    assert gone == 2


async def test_connections_over_the_cap_are_refused() -> None:
    async with (
        serving(sink, limits=only(connections=2)) as running,
        http2(running),
        http2(running),
        await running.open() as third,
    ):
        assert await read_all(third) == b""
        assert running.server.counters.refused == 1


async def test_a_unix_socket_is_outside_the_cap(tmp_path: Path) -> None:
    path = str(tmp_path / "control.sock")
    async with (
        serving(sink, [ANY, f"unix:{path}"], limits=only(connections=1)) as running,
        http2(running),
        await running.open() as second,
        await trio.open_unix_socket(path) as probe,
    ):
        assert await read_all(second) == b""
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
