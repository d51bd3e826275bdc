"""One shape of every refusal of the server itself: a Status Report in what the client prefers, with an id."""

import json
import logging
import re
from contextlib import suppress
from typing import Any

import pytest
import trio

from edged.server import Limits
from edged.telemetry.request import current_request_id
from tests.conftest import ExpectedLogs
from tests.support.server_kit import Message, answer, curl, exchange_raw, read_all, serving, sink

SHORT = Limits(head_s=0.15, body_s=0.15, linger_s=0.2, drain_s=0.5, target_bytes=500)
ID = re.compile(rb"\r\nx-request-id: ([a-z2-7]{8}-[0-9a-f]+)\r\n")
HOST = b"Host: box\r\n"
SILENT = "/silent"

REQUESTS = [
    (b"GET /\x00 HTTP/1.1\r\n%s%s\r\n\r\n", 400, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\nContent-Length: 1, 1\r\n\r\n", 400, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, False),
    (b"GET / HTTP/1.1\r\nHost: a, b\r\n%s%s\r\n\r\n", 400, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400, False),
    (b"POST / HTTP/1.1\r\n%s%s\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400, False),
    (b"POST / HTTP/1.1\r\n%s%s\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n", 400, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\nA: b", 408, True),
    (b"POST / HTTP/1.1\r\n%s%s\r\nContent-Length: 5\r\n\r\nabc", 408, True),
    (b"GET /" + b"a" * 500 + b" HTTP/1.1\r\n%s%s\r\n\r\n", 414, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\n" + b"A: b\r\n" * 100 + b"\r\n", 431, False),
    (b"GET / HTTP/1.1\r\n%s%s\r\nA: " + b"a" * 40_000 + b"\r\n\r\n", 431, False),
    (b"GET " + SILENT.encode() + b" HTTP/1.1\r\n%s%s\r\n\r\n", 500, True),
    (b"BREW / HTTP/1.1\r\n%s%s\r\n\r\n", 501, False),
    (b"CONNECT box:80 HTTP/1.1\r\n%s%s\r\n\r\n", 501, False),
    (b"GET / HTTP/3.0\r\n%s%s\r\n\r\n", 505, False),
]


async def app(scope: Message, receive: Any, send: Any) -> None:
    if scope["path"] != SILENT:
        await sink(scope, receive, send)


def parts(octets: bytes) -> tuple[bytes, bytes]:
    head, _, body = octets.partition(b"\r\n\r\n")
    assert int(re.findall(rb"\r\ncontent-length: (\d+)", head)[0]) == len(body)
    assert b"\r\nconnection: close" in head
    assert ID.search(head)
    assert b"\r\ndate: " in head
    return head, body


@pytest.mark.parametrize(("request_octets", "status", "temporary"), REQUESTS)
async def test_a_refusal_is_a_status_report(
    request_octets: bytes, status: int, temporary: bool, expected_logs: ExpectedLogs
) -> None:
    if status == 500:
        expected_logs.expect("the application gave no answer")
    async with serving(app, limits=SHORT) as running:
        seen = await exchange_raw(running, request_octets % (HOST, b"Accept: application/json"))
        head, body = parts(seen)
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\ncontent-type: application/problem+json\r\n" in head
        told = json.loads(body)
        assert (told["status"], told["temporary"]) == (status, temporary)
        assert told["detail"]
        assert told["request_id"].encode() in head
        head, body = parts(await exchange_raw(running, request_octets % (HOST, b"A: b")))
        assert b"\r\ncontent-type: text/html; charset=utf-8\r\n" in head
        assert body.startswith(b"<!DOCTYPE html>")
        head, body = parts(await exchange_raw(running, request_octets % (HOST, b"Accept: text/plain, */*;q=0.1")))
        assert b"\r\ncontent-type: text/plain; charset=utf-8\r\n" in head
        assert body.startswith(b"%d " % status)


async def test_a_refused_head_request_gets_a_head() -> None:
    async with serving(sink, limits=SHORT) as running:
        seen = await exchange_raw(running, b"HEAD / HTTP/1.1\r\nHost: a, b\r\n\r\n")
        assert seen.startswith(b"HTTP/1.1 400 ")
        assert seen.endswith(b"\r\n\r\n")


async def test_what_is_no_http_at_all_is_told_so_too() -> None:
    async with serving(sink, limits=SHORT) as running:
        head, _ = parts(await exchange_raw(running, b"\x16\x03\x01\x02\x00\x01\x00"))
        assert head.startswith(b"HTTP/1.1 400 ")
        assert running.server.counters.malformed == 1


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_every_answer_names_its_request_as_the_log_does(version: str) -> None:
    seen: list[str] = []

    async def app(scope: Message, receive: Any, send: Any) -> None:
        seen.append(current_request_id())
        await receive()
        seen.append(await trio.to_thread.run_sync(current_request_id))
        await answer(send, 200, b"")

    async with serving(app) as running:
        for _ in range(2):
            fields = await curl(version, "-D", "-", "-H", "X-Request-Id: mine", running.url)
            told = re.findall(r"(?i)\r\nx-request-id: (.*)\r\n", fields)
            assert told == [seen[-1]] == [seen[-2]]
    assert len(set(seen)) == 2
    assert "mine" not in seen


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_an_application_without_an_answer_is_the_same_500_everywhere(
    version: str, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("the application gave no answer")
    async with serving(app) as running:
        said = await curl(version, "-w", "\n%{http_code}", "-H", "Accept: text/plain", running.url + SILENT)
    assert said.startswith("500 Internal Server Error\n")
    assert said.endswith("\n500")


async def test_request_ids_of_kept_connections_differ() -> None:
    async with serving(sink) as running:
        get = b"GET / HTTP/1.1\r\nHost: box\r\n\r\n"
        seen = await exchange_raw(running, 3 * get + get.replace(b"box\r\n", b"box\r\nConnection: close\r\n"))
        assert len(set(ID.findall(seen))) == 4


POST = b"POST / HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("octets", [b"\xff", POST + b"x\r\n", POST + b"5\r\nabc", UPGRADE + b"\xff\xff"])
async def test_what_strangers_do_wrong_fills_no_log(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "edged.server")
    async with serving(sink, limits=SHORT) as running:
        for _ in range(5):
            async with await running.open() as stream:
                await stream.send_all(octets)
                await stream.send_eof()
                with suppress(trio.BrokenResourceError):
                    await read_all(stream)
        await running.stop()
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) == 1


async def test_a_websocket_has_an_id_too() -> None:
    async with serving(sink) as running, await running.open() as stream:
        await stream.send_all(UPGRADE + b"\x88\x80\x00\x00\x00\x00")
        seen = await read_all(stream)
        assert seen.startswith(b"HTTP/1.1 101 ")
        assert ID.search(seen)
