"""Headless Chromium, driven by Debian's chromedriver over the WebDriver protocol, without a library in between.

What may live here: starting and ending a browser, and the few commands that tests use (W3C WebDriver 10.1, 13.2). It
has a profile of its own that is thrown away, and talks to nobody but the pages that a test opens. `page_server` serves
pages from an origin that is not the box's. A failure of a script is raised, never returned.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from tests.support.http_client import connected
from tests.support.server_kit import Message, Running, serving

CHROMIUM = "/usr/bin/chromium"
READY_WITHIN_S = 30.0
SCRIPT_MS = 15_000
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One window of one browser."""

    def __init__(self, url: str, session: str) -> None:
        self._url = url
        self._session = f"/session/{session}"

    async def open(self, url: str) -> None:
        """Navigate, and wait until the page is loaded."""
        await self._command("url", {"url": url})

    async def run(self, script: str, *arguments: object) -> Any:
        """Run the body of an asynchronous function in the page and return what it returns, as JSON."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async () => {{ {script} }})().then(value => done([value]), error => done(String(error)));"
        )
        value = await self._command("execute/async", {"script": wrapped, "args": arguments})
        if isinstance(value, str):
            raise ScriptError(value)
        return value[0]

    async def quit(self) -> None:
        """Close the window, and the browser with it."""
        await _ask(self._url, "DELETE", self._session)

    async def _command(self, name: str, content: object) -> Any:
        return await _ask(self._url, "POST", f"{self._session}/{name}", content)


class ScriptError(Exception):
    """A script of the page threw this."""


async def _ask(url: str, method: str, path: str, content: object = None) -> Any:
    body = b"" if content is None else json.dumps(content).encode()
    async with connected(url) as connection:
        answered = await connection.ask(method, path, {"Content-Type": "application/json"}, body)
    value = json.loads(answered.body)["value"]
    if answered.status != 200:
        raise RuntimeError(f"{method} {path}: {value['error']}: {value['message'][:500]}")
    return value


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A browser with a fresh profile; at the end it and its driver are gone, and the profile.

    The profile stands under a short path, because a Unix socket in it has to fit into 107 bytes.
    """
    profile = Path(tempfile.mkdtemp(prefix="chromium-"))
    driver = await trio.to_thread.run_sync(_start_driver, profile)
    try:
        url = await trio.to_thread.run_sync(_url_of, driver)
        window = await _open_window(url, profile)
        try:
            yield window
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + READY_WITHIN_S):
                await window.quit()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + READY_WITHIN_S):
            await trio.to_thread.run_sync(_end_driver, driver)
            await trio.to_thread.run_sync(lambda: shutil.rmtree(profile, ignore_errors=True))


def _start_driver(profile: Path) -> subprocess.Popen[bytes]:
    program = shutil.which("chromedriver")
    if program is None or not Path(CHROMIUM).exists():
        raise RuntimeError("install the Debian packages chromium and chromium-driver")
    environment = {**os.environ, "TMPDIR": str(profile)}  # what they leave behind goes with the profile
    with (profile / "chromedriver.log").open("wb") as errors:
        return subprocess.Popen([program, "--port=0"], env=environment, stdout=subprocess.PIPE, stderr=errors)


def _url_of(driver: subprocess.Popen[bytes]) -> str:
    """Read where the driver listens from what it prints."""
    assert driver.stdout is not None
    for line in driver.stdout:
        _, found, port = line.decode().strip().rstrip(".").rpartition("started successfully on port ")
        if found:
            return f"http://127.0.0.1:{port}"
    raise RuntimeError("chromedriver did not start")


def _end_driver(driver: subprocess.Popen[bytes]) -> None:
    driver.terminate()
    driver.wait()
    assert driver.stdout is not None
    driver.stdout.close()


async def _open_window(url: str, profile: Path) -> Browser:
    options = {"binary": CHROMIUM, "args": [*FLAGS, f"--user-data-dir={profile}"]}
    wanted: dict[str, object] = {"browserName": "chrome", "goog:chromeOptions": options}
    wanted |= {"timeouts": {"script": SCRIPT_MS}, "acceptInsecureCerts": True}  # those of tests have no known authority
    with trio.fail_after(READY_WITHIN_S):
        opened = await _ask(url, "POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
    return Browser(url, opened["sessionId"])


async def _page(_: Message, __: Any, send: Any) -> None:
    body = b"<!DOCTYPE html><title>viewer</title>"
    headers = [(b"content-type", b"text/html"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def page_server() -> AsyncIterator[Running]:
    """Serves an empty page; its URL is an origin of its own."""
    async with serving(_page) as running:
        yield running
