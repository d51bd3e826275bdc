"""What ended the whole process in hypercorn as shipped: none of it may reach another connection, or end the server."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from tests.conftest import ExpectedLogs
from tests.support.server_kit import Running, curl, exchange_raw, http2, read_all, serving, sink

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: box\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def early_answer(running: Running) -> None:
    async with http2(running) as wire:
        stream_id = await wire.request(b"/early", b"POST", end=False)
        assert await wire.finish(stream_id) == (413, b"too large")
        for _ in range(8):  # DATA for a stream whose answer is complete
            wire.codec.send_data(stream_id, bytes(8000))
            await wire.flush()
        assert await wire.finish(await wire.request()) == (200, b"0")


async def exception_while_data_arrives(running: Running) -> None:
    async with http2(running) as wire:
        stream_id = await wire.request(b"/", b"POST", end=False)
        wire.codec.send_data(stream_id, bytes(1000))
        await wire.stream.send_all(wire.codec.data_to_send() + b"\x00\x00\x05\x08\x00\x00\x00\x00\x00wrong")
        assert await read_all(wire.stream) != b""


async def connect_without_path(running: Running) -> None:
    async with http2(running) as wire:
        assert (await wire.finish(await wire.request(b"", b"CONNECT")))[0] in {0, 501}


async def path_not_ascii(running: Running) -> None:
    async with http2(running) as wire:
        assert (await wire.finish(await wire.request("/é".encode())))[0] in {0, 400}


async def method_not_ascii(running: Running) -> None:
    async with http2(running) as wire:
        assert (await wire.finish(await wire.request(b"/", "GÉT".encode())))[0] in {0, 400}


async def octet_after_upgrade(running: Running) -> None:
    async with await running.open() as stream:
        await stream.send_all(HANDSHAKE + b"\x81\x82\x00\x00\x00\x00hi")  # a masked text frame, too early
        octets = b""
        while not octets.endswith(b"\x81\x02hi"):
            octets += await stream.receive_some()
        assert octets.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")


async def garbage_after_upgrade(running: Running) -> None:
    assert (await exchange_raw(running, HANDSHAKE + b"x" * 1000)).startswith(b"HTTP/1.1 101")


TRIGGERS = [
    early_answer,
    exception_while_data_arrives,
    connect_without_path,
    path_not_ascii,
    method_not_ascii,
    octet_after_upgrade,
    garbage_after_upgrade,
]


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_the_server_lives(trigger: Callable[[Running], Awaitable[None]]) -> None:
    async with serving(sink) as running, http2(running) as other:
        assert await other.finish(await other.request()) == (200, b"0")
        await trigger(running)
        assert await other.finish(await other.request()) == (200, b"0")
        assert await curl(running.url) == "0"
        assert running.server.counters.failed == 0


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_curl_sees_the_413_of_an_upload(version: str, tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_bytes(bytes(4 << 20))
    async with serving(sink) as running:
        for expect in ("Expect: 100-continue", "Expect:"):
            seen = await curl(version, "-H", expect, "-T", str(file), f"{running.url}/early", "-w", " %{http_code}")
            assert seen == "too large 413"
        assert await curl(version, "-T", str(file), running.url) == str(4 << 20)


async def test_an_error_of_ours_ends_one_connection_only(
    monkeypatch: pytest.MonkeyPatch, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("a connection failed: ZeroDivisionError")

    async def broken(self: object, length: int) -> None:
        raise ZeroDivisionError

    async with serving(sink) as running:
        with monkeypatch.context() as patch:
            patch.setattr("edged.server.http1.HTTP1Connection._serve", broken)
            assert await exchange_raw(running, b"GET / HTTP/1.1\r\nHost: box\r\n\r\n") == b""
        assert await curl(running.url) == "0"
        assert running.server.counters.failed == 1


async def test_an_error_of_the_application_is_a_500(expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("the application failed")

    async def app(scope: object, receive: object, send: object) -> None:
        async with trio.open_nursery():
            raise ZeroDivisionError

    async with serving(app) as running, http2(running) as wire:
        assert (await wire.finish(await wire.request()))[0] == 500
        octets = await exchange_raw(running, b"GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
        assert octets.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
