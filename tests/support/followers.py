"""Clients of the notification connection that are not ours, all driven in the same way.

What may live here: opening a connection, taking what comes, saying something, being cut and closing in order, for each
library: the programs of tests/end_to_end/followers, each a process of its own that is killed to cut its connection, a
page in Chromium, and trio-websocket.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, wrap_client_stream

from tests.support.browser import Browser

PROGRAMS = Path(__file__).parents[1] / "end_to_end" / "followers"
WITHIN_S = 20.0


class Follower(Protocol):
    """One client of one library, with one connection at a time."""

    async def open(self, url: str) -> str:
        """Connect; the extensions that were negotiated."""

    async def next(self) -> str | int:
        """The next message, or the code that the connection was closed with."""

    async def say(self, text: str) -> None:
        """Send a text message."""

    async def close(self, code: int) -> int:
        """Close in order; the code of the answer."""

    async def cut(self) -> None:
        """Be gone without a word, as far as the library can."""


class Program:
    """A program that does what it is told on its standard input."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._process: trio.Process | None = None
        self._octets = b""

    async def open(self, url: str) -> str:
        if self._process is None:
            start = trio.lowlevel.open_process
            self._process = await start(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return str(await self._do("open", url))

    async def next(self) -> str | int:
        said = await self._do("next")
        assert isinstance(said, str | int)
        return said

    async def say(self, text: str) -> None:
        await self._do("say", text)

    async def close(self, code: int) -> int:
        return int(await self._do("close", code))

    async def cut(self) -> None:
        process, self._process, self._octets = self._process, None, b""
        if process is not None:
            process.kill()
            await process.wait()
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                await stream.aclose()

    async def _do(self, what: str, value: object = None) -> Any:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with trio.fail_after(WITHIN_S):
            await process.stdin.send_all(json.dumps([what, value]).encode() + b"\n")
            while b"\n" not in self._octets:
                octets = await process.stdout.receive_some()
                assert octets, f"{self._command} has ended"
                self._octets += bytes(octets)
        line, _, self._octets = self._octets.partition(b"\n")
        return json.loads(line)


OPEN = """
    window.messages = [];
    window.socket = new WebSocket(arguments[0]);
    window.socket.onmessage = ({data}) => window.messages.push(typeof data === "string" ? data : "octets");
    window.socket.onclose = ({code}) => window.messages.push(code);
    await new Promise((opened, failed) => { socket.onopen = opened; socket.onerror = () => failed("refused"); });
    return window.socket.extensions;
"""
NEXT = """
    while (window.messages.length === 0) await new Promise((turn) => setTimeout(turn, 20));
    return window.messages.shift();
"""


class Page:
    """A page in a browser."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url

    async def open(self, url: str) -> str:
        await self._browser.open(self._url)
        return str(await self._browser.run(OPEN, url))

    async def next(self) -> str | int:
        said = await self._browser.run(NEXT)
        assert isinstance(said, str | int)
        return said

    async def say(self, text: str) -> None:
        await self._browser.run("window.socket.send(arguments[0])", text)

    async def close(self, code: int) -> int:
        await self._browser.run("window.socket.close(arguments[0])", code)
        return int(await self._browser.run(NEXT))

    async def cut(self) -> None:
        await self._browser.open("about:blank")


class Trio:
    """trio-websocket."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._stream: trio.SocketStream | None = None
        self._session: WebSocketConnection | None = None

    async def open(self, url: str) -> str:
        where = urlsplit(url)
        self._stream = await trio.open_tcp_stream(where.hostname or "", where.port or 0)
        target = f"{where.path}?{where.query}" if where.query else where.path
        self._session = await wrap_client_stream(self._nursery, self._stream, where.netloc, target)
        return ""

    async def next(self) -> str | int:
        assert self._session is not None
        try:
            return str(await self._session.get_message())
        except ConnectionClosed:
            assert self._session.closed is not None
            return int(self._session.closed.code)

    async def say(self, text: str) -> None:
        assert self._session is not None
        await self._session.send_message(text)

    async def close(self, code: int) -> int:
        assert self._session is not None
        await self._session.aclose(code)
        assert self._session.closed is not None
        await self.cut()
        return int(self._session.closed.code)

    async def cut(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()


@asynccontextmanager
async def followers(browser: Browser, page: str) -> AsyncIterator[dict[str, Follower]]:
    """One of each; what still runs at the end is ended."""
    node = shutil.which("node")
    assert node is not None, "tools/test installs Node.js"
    async with trio.open_nursery() as nursery:
        found: dict[str, Follower] = {
            "ws": Program([node, str(PROGRAMS / "with_ws.mjs")]),
            "websockets, asyncio": Program([sys.executable, str(PROGRAMS / "with_websockets.py")]),
            "websockets, threads": Program([sys.executable, str(PROGRAMS / "with_websockets_sync.py")]),
            "Chromium": Page(browser, page),
            "trio-websocket": Trio(nursery),
        }
        try:
            yield found
        finally:
            with trio.move_on_after(WITHIN_S, shield=True):
                for each in found.values():
                    await each.cut()
            nursery.cancel_scope.cancel()
