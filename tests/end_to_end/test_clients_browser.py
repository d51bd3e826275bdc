"""Headless Chromium against a box: pages of other origins by CORS, Status Reports for people, WebSockets.

A page of an origin that the settings name may use the service as any client; to another page the browser gives nothing.
The box is told of one origin; both origins are servers on loopback, told apart by their ports.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, ScriptError, browser, page_server
from tests.support.daemon import Daemon, daemon
from tests.support.http_client import connected
from tests.support.stow_kit import MULTIPART, made, multipart, named

ONE, TWO = named(1), named(2)
DATA = made(ONE, size=50_000)
TOKEN = "a token of this test"
TOO_LONG = "/" + "a" * 10_000

FETCH = """
    const [url, options] = arguments;
    if (options.body) options.body = Uint8Array.from(options.body, (octet) => octet.charCodeAt(0));
    const answer = await fetch(url, options);
    const body = await answer.blob();
    return {
        status: answer.status,
        headers: Object.fromEntries(answer.headers),
        size: body.size,
        text: body.size < 5000 ? await body.text() : "",
    };
"""
LISTEN = """
    const socket = new WebSocket(arguments[0]);
    window.reports = [];
    socket.onmessage = (message) => window.reports.push(JSON.parse(message.data));
    await new Promise((opened, failed) => { socket.onopen = opened; socket.onerror = () => failed("refused"); });
    return socket.readyState;
"""
FIRST_REPORT = """
    while (window.reports.length === 0) await new Promise((turn) => setTimeout(turn, 20));
    return window.reports[0];
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A box, a browser, and the URLs of a page that may use the box and of one that may not."""

    box: Daemon
    browser: Browser
    viewer: str
    stranger: str

    async def fetch(self, path: str, **options: object) -> Any:
        """Let the page that is open fetch something of the box; raises ScriptError when it gets nothing."""
        return await self.browser.run(FETCH, self.box.url + path, options)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with page_server() as viewer, page_server() as stranger:
        origin = f'[origin]\nbind = ["http://127.0.0.1:0"]\ncors = ["{viewer.url}"]\n'
        access = '[access]\nanonymous = ["store", "monitor"]\n[[access.token]]\nname = "viewer"\nroles = ["read"]\n'
        config = f'{origin}{access}sha256 = "{sha256(TOKEN.encode()).hexdigest()}"\n'
        async with daemon(tmp_path / "box", config) as box, browser() as window:
            await store(box, DATA)
            yield Scene(box, window, viewer.url, stranger.url)


async def store(box: Daemon, *instances: bytes) -> None:
    async with connected(box.url) as connection:
        answered = await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart(instances))
    assert answered.status == 200


READER = {"Authorization": f"Bearer {TOKEN}"}


async def test_a_page_of_an_allowed_origin_uses_the_service(scene: Scene) -> None:
    await scene.browser.open(scene.viewer)
    description = await scene.fetch("/", method="OPTIONS", headers={"Accept": "application/vnd.sun.wadl+xml"})
    assert (description["status"], description["headers"]["content-type"]) == (200, "application/vnd.sun.wadl+xml")
    assert {"etag", "x-request-id"} <= set(description["headers"])

    wanted = {"Accept": "application/dicom", **READER}
    whole = await scene.fetch(ONE.path, headers=wanted)
    assert (whole["status"], whole["size"]) == (200, len(DATA))
    part = await scene.fetch(ONE.path, headers={**wanted, "Range": "bytes=0-131"})
    assert (part["status"], part["size"]) == (206, 132)
    assert part["headers"]["content-range"] == f"bytes 0-131/{len(DATA)}"

    refused = await scene.fetch(ONE.path, headers={"Accept": "application/dicom"})
    assert refused["status"] == 401
    assert "Bearer" in refused["headers"]["www-authenticate"]
    missing = await scene.fetch(TWO.path, headers={**wanted, "Accept": "application/json"})
    assert (missing["status"], missing["headers"]["content-type"]) == (404, "application/problem+json")
    too_long = await scene.fetch(TOO_LONG)  # the server's own refusal, before the application
    assert (too_long["status"], too_long["headers"]["content-type"]) == (414, "text/html; charset=utf-8")
    assert too_long["headers"]["x-request-id"] in too_long["text"]


async def test_a_page_stores(scene: Scene) -> None:
    await scene.browser.open(scene.viewer)
    octets = multipart([made(TWO, fill=b"a")]).decode("latin-1")
    answer = await scene.fetch("/studies", method="POST", headers={"Content-Type": MULTIPART}, body=octets)
    assert answer["status"] == 200
    assert answer["headers"]["location"] == f"{scene.box.url}/studies/{TWO.study}"


async def test_a_page_of_another_origin_gets_nothing(scene: Scene) -> None:
    await scene.browser.open(scene.stranger)
    for options in (
        {"method": "OPTIONS", "headers": {"Accept": "application/json"}},
        {"headers": {"Accept": "*/*"}},
        {"headers": {"Accept": "application/dicom", **READER}},
    ):
        with pytest.raises(ScriptError, match="Failed to fetch"):
            await scene.fetch(ONE.path, **options)
    with pytest.raises(ScriptError, match="Failed to fetch"):
        await scene.fetch(TOO_LONG)
    with pytest.raises(ScriptError, match="refused"):
        await scene.browser.run(LISTEN, scene.box.url.replace("http", "ws"))


async def test_a_person_is_shown_a_status_report(scene: Scene) -> None:
    await scene.browser.open(scene.box.url + "/studies/1.2.3/series/1.2.3.4/instances/1.2.3.4.5")
    shown = await scene.browser.run("return [document.contentType, document.title, document.body.innerText]")
    assert shown[:2] == ["text/html", "401 Unauthorized"]
    assert "permanent" in shown[2]
    await scene.browser.open(scene.box.url + "/nothing/here")
    assert await scene.browser.run("return document.title") == "404 Not Found"


async def test_a_link_asks_by_the_accept_parameter_for_what_a_browser_would_not(scene: Scene) -> None:
    await scene.browser.open(scene.viewer)
    navigation = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
    answer = await scene.fetch(f"{ONE.path}?accept=application/dicom", headers={"Accept": navigation, **READER})
    assert (answer["status"], answer["size"]) == (200, len(DATA))
    wildcard = await scene.fetch(f"{ONE.path}?accept=application/*", headers={"Accept": navigation, **READER})
    assert wildcard["status"] == 400


async def test_a_page_follows_the_event_reports(scene: Scene) -> None:
    await scene.browser.open(scene.viewer)
    assert await scene.browser.run(LISTEN, scene.box.url.replace("http", "ws")) == 1
    await store(scene.box, made(TWO))
    report = await scene.browser.run(FIRST_REPORT)
    assert TWO.instance in str(report)
