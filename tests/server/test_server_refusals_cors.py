"""Which pages may read what the server refuses by itself: those that may read the application's answers (Fetch 3.2)."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import h2.events
import pytest

from edged.http.origin_policy import OriginPolicy
from edged.server import Limits
from tests.conftest import ExpectedLogs
from tests.support.server_kit import H2Wire, Message, Running, exchange_raw, http2, read_all, serving, sink

VIEWER, OTHER = b"https://viewer.example", b"https://evil.example"
NAMED, ANYBODY = OriginPolicy((VIEWER.decode(),)), OriginPolicy(("*",))
SHORT = Limits(head_s=0.15, body_s=0.15, linger_s=0.2, drain_s=0.5, target_bytes=500)
SILENT = "/silent"
Fields = dict[bytes, bytes]

HEADS = [
    (400, b"GET /\x00 HTTP/1.1\r\nHost: box\r\n%s\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: box\r\n%sContent-Length: 1, 1\r\n\r\n"),
    (400, b"POST / HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n%s\r\nx\r\n"),
    (408, b"GET / HTTP/1.1\r\nHost: box\r\n%sA: b"),
    (408, b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: 5\r\n%s\r\nabc"),
    (414, b"GET /" + b"a" * 500 + b" HTTP/1.1\r\nHost: box\r\n%s\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: box\r\n%s" + b"A: b\r\n" * 100 + b"\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: box\r\n%sA: " + b"a" * 40_000 + b"\r\n\r\n"),
    (500, b"GET /silent HTTP/1.1\r\nHost: box\r\n%s\r\n"),
    (501, b"BREW / HTTP/1.1\r\nHost: box\r\n%s\r\n"),
    (505, b"GET / HTTP/3.0\r\nHost: box\r\n%s\r\n"),
]


async def app(scope: Message, receive: Any, send: Any) -> None:
    if scope["path"] != SILENT:
        await sink(scope, receive, send)


@asynccontextmanager
async def refusing(policy: OriginPolicy, limits: Limits = SHORT) -> AsyncIterator[Running]:
    async with serving(app, limits=limits, origins=policy) as running:
        yield running


def require_readable(fields: Fields) -> None:
    assert fields[b"access-control-allow-origin"] == VIEWER
    assert fields[b"access-control-allow-credentials"] == b"true"
    assert b"X-Request-Id" in fields[b"access-control-expose-headers"]
    assert fields[b"vary"] == b"Origin"


def require_private(fields: Fields) -> None:
    """Nobody's but the client's: a page is not let in, and a cache keeps it for no other page."""
    assert not [name for name in fields if name.startswith(b"access-control-")]
    assert fields[b"vary"] == b"Origin"


@pytest.mark.parametrize(("status", "head"), HEADS)
async def test_over_http1(status: int, head: bytes, expected_logs: ExpectedLogs) -> None:
    if status == 500:
        expected_logs.expect("the application gave no answer")

    async def refused(running: Running, more: bytes = b"") -> Fields:
        seen, _, _ = (await exchange_raw(running, head % more)).partition(b"\r\n\r\n")
        assert seen.startswith(b"HTTP/1.1 %d " % status)
        return dict(re.findall(rb"\r\n([^:]+): ([^\r]*)", seen))

    async with refusing(NAMED) as running:
        require_readable(await refused(running, b"Origin: %s\r\n" % VIEWER))
        for more in (b"", b"Origin: %s\r\n" % OTHER, b"Origin: null\r\n", b"Origin: %s\r\n" % VIEWER * 2):
            require_private(await refused(running, more))


REQUESTS: list[tuple[int, dict[str, Any]]] = [
    (400, {"content-length": b"x"}),
    (408, {"method": b"POST", "end": False}),
    (414, {"path": b"/" + b"a" * 500}),
    (431, {f"a{number}": b"b" for number in range(105)}),
    (500, {"path": SILENT.encode()}),
    (501, {"method": b"BREW"}),
]


async def answered(wire: H2Wire, stream_id: int) -> tuple[int, Fields]:
    """Status and fields of the answer on a stream."""
    while (event := await wire.next_event()) is not None:
        if isinstance(event, h2.events.ResponseReceived) and event.stream_id == stream_id:
            fields: Fields = dict(event.headers)
            return int(fields.pop(b":status")), fields
    raise AssertionError("no answer")


@pytest.mark.parametrize(("status", "asked"), REQUESTS)
async def test_over_http2(status: int, asked: dict[str, Any], expected_logs: ExpectedLogs) -> None:
    if status == 500:
        expected_logs.expect("the application gave no answer")
    async with refusing(NAMED) as running, http2(running) as wire:
        for origin, require in ((VIEWER, require_readable), (OTHER, require_private)):
            stream_id = await wire.request(**asked, origin=origin)
            seen, fields = await answered(wire, stream_id)
            assert seen == status
            require(fields)


async def test_without_room_for_the_body() -> None:
    async with refusing(NAMED, replace(SHORT, windows_bytes=0)) as running, http2(running) as wire:
        status, fields = await answered(wire, await wire.request(method=b"POST", end=False, origin=VIEWER))
        assert status == 503
        require_readable(fields)


async def test_anybody_s_pages() -> None:
    async with refusing(ANYBODY) as running:
        seen = await exchange_raw(running, HEADS[0][1] % (b"Origin: %s\r\n" % OTHER))
        assert b"\r\naccess-control-allow-origin: *\r\n" in seen
        assert b"\r\nvary:" not in seen
        assert b"credentials" not in seen


async def test_without_the_setting_nothing_is_said() -> None:
    async with refusing(OriginPolicy()) as running:
        seen = await exchange_raw(running, HEADS[0][1] % (b"Origin: %s\r\n" % VIEWER))
        assert seen.startswith(b"HTTP/1.1 400 ")
        assert b"\r\naccess-control-" not in seen
        assert b"\r\nvary:" not in seen


async def test_a_head_request_of_a_page_gets_a_head() -> None:
    async with refusing(NAMED) as running:
        seen = await exchange_raw(running, b"HEAD / HTTP/1.1\r\nHost: a, b\r\nOrigin: %s\r\n\r\n" % VIEWER)
        assert b"\r\naccess-control-allow-origin: %s\r\n" % VIEWER in seen
        assert seen.endswith(b"\r\n\r\n")


async def test_who_is_turned_away_at_the_door_was_not_heard() -> None:
    async with refusing(NAMED, replace(SHORT, connections=1, head_s=30, leaving=0)) as running:
        async with await running.open() as inside:
            await inside.send_all(b"GET")
            async with await running.open() as outside:
                await outside.send_all(b"GET / HTTP/1.1\r\nHost: box\r\nOrigin: %s\r\n\r\n" % VIEWER)
                seen = await read_all(outside)
        assert seen.startswith(b"HTTP/1.1 503 ")
        assert b"\r\naccess-control-" not in seen
