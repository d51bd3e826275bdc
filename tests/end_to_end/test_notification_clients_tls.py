"""Notification connections over TLS: a page in Chromium over HTTP/2 (RFC 8441), trio-websocket over HTTP/1.1.

All on one port. Chromium opens a WebSocket on a connection of HTTP/2 that it has; others offer no ALPN for one.
"""

import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio_websocket import open_websocket

from edged.server import TLS
from tests.support.box_kit import Box, opened_box
from tests.support.browser import browser
from tests.support.certificates import Certificates, make_certificates
from tests.support.followers import Page
from tests.support.server_kit import Message, Running, serving
from tests.support.stow_kit import made, named

ANYBODY = '[access]\nanonymous = ["store", "read", "monitor"]\n'
"""A page of the box's own origin has no credential."""

Versions = list[str]


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return make_certificates(tmp_path)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, ANYBODY) as opened:
        yield opened


@pytest.fixture
def versions() -> Versions:
    """Of HTTP, of the WebSockets that were asked for."""
    return []


@pytest.fixture
async def running(box: Box, certificates: Certificates, versions: Versions) -> AsyncIterator[Running]:
    async def noting(scope: Message, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            versions.append(scope["http_version"])
        await box.application(scope, receive, send)

    pair = certificates.server
    tls = TLS(pair.certificate, pair.private_key)
    async with serving(noting, ["https://127.0.0.1:0"], tls=tls) as server:
        yield server


async def test_a_page_follows_over_http2(box: Box, running: Running, versions: Versions) -> None:
    where = f"localhost:{running.port}"
    async with browser() as window:
        page = Page(window, f"https://{where}/healthz")
        extensions = await page.open(f"wss://{where}/subscribers/viewer?granularity=instance")
        assert extensions.startswith("permessage-deflate")
        await box.stow(*(made(named(number), size=600) for number in range(3)))
        for number in range(3):
            assert named(number).instance in str(await page.next())
            await page.say("1")
        assert await page.close(4000) == 4000
        assert versions == ["2"]
        await page.open(f"wss://{where}/subscribers/viewer?granularity=instance")
        await box.stow(made(named(3), size=600))
        assert named(3).instance in str(await page.next())
        running.shutdown.set()
        assert await page.next() == 1001
    assert versions == ["2", "2"]


async def test_others_follow_over_http1(
    box: Box, running: Running, versions: Versions, certificates: Certificates
) -> None:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    host, port = "localhost", running.port
    with trio.fail_after(20):
        async with open_websocket(host, port, "/?granularity=instance", use_ssl=context) as session:
            await box.stow(made(named(1)))
            assert named(1).instance in json.dumps(json.loads(await session.get_message()))
    assert versions == ["1.1"]
