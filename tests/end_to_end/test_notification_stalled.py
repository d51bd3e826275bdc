"""Two hundred followers that do not read, and a flood of events: what they cost is bounded, and another sees it all.

They follow in all the ways that make a difference to what is held: single events and studies, compressed and not, over
HTTP/1.1 and HTTP/2. Their receive buffers are small, so that the box stands behind full ones early.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from tests.support.daemon import Daemon, anonymous_mib, daemon, peak_anonymous
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, made, multipart, named
from tests.support.websocket_raw import DEFLATE, HTTP1, HTTP2, Fields, Raw, raw_websocket

log = logging.getLogger(__name__)

STALLED, OVER_HTTP2 = 200, 40
EVENTS, AT_ONCE, STUDIES = 20_000, 500, 3
RECEIVED_BYTES = 4096

MOST_EACH_KIB = 64
"""Of anonymous memory for one that is connected and silent, its connection and tasks."""

MOST_MIB = 32
"""Of anonymous memory for the flood beyond that. What is on its way to them is a hundred times as much."""


class Stalling:
    """Opens connections that take hardly anything."""

    def __init__(self, url: str) -> None:
        self._where = urlsplit(url)

    async def open(self) -> trio.SocketStream:
        opened = trio.socket.socket()
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        await opened.connect((self._where.hostname, self._where.port))
        return trio.SocketStream(opened)


def ways() -> Iterator[tuple[str, str, Fields]]:
    for number in range(STALLED):
        over = HTTP2 if number < OVER_HTTP2 else HTTP1
        yield over, "/?granularity=instance" if number % 2 else "/", [DEFLATE] if number % 4 < 2 else []


async def flood(box: Daemon, first: int, count: int) -> None:
    """So many events, of a few studies in turn."""
    async with connected(box.url) as connection:
        for begin in range(first, first + count, AT_ONCE):
            names = (named(number, study=f"1.2.{number % STUDIES}") for number in range(begin, begin + AT_ONCE))
            body = multipart([made(each, size=600) for each in names])
            assert (await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)).status == 200


async def read(reader: Raw, count: int) -> None:
    for _ in range(count):
        said = await reader.next()
        assert said is not None


@pytest.mark.timeout(240)
async def test_what_does_not_read_costs_a_bounded_buffer(tmp_path: Path) -> None:
    async with daemon(tmp_path / "box", capacity="1GiB") as box, AsyncExitStack() as stack:
        server = Stalling(box.url)
        reader = await stack.enter_async_context(raw_websocket(server, HTTP1, "/?granularity=instance"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read, reader, AT_ONCE)
            await flood(box, 0, AT_ONCE)
        before = anonymous_mib(box.pid)
        for over, path, fields in ways():
            await stack.enter_async_context(raw_websocket(server, over, path, fields=fields))
        silent = anonymous_mib(box.pid)
        async with peak_anonymous(box.pid) as peak, trio.open_nursery() as nursery:
            nursery.start_soon(read, reader, EVENTS)
            await flood(box, AT_ONCE, EVENTS)
        each_kib = (silent - before) * 1024 / STALLED
        log.info("%d KiB for each of %d, %.1f MiB for the flood", each_kib, STALLED, peak.mib - silent)
        assert each_kib < MOST_EACH_KIB
        assert peak.mib - silent < MOST_MIB
        assert "a connection failed" not in box.logged
