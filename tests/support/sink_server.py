"""The server and the `sink` application in a process of their own: `python -m tests.support.sink_server [patient]`.

The process prints its URL, then serves until its standard input ends; its deadlines are short unless it is patient.
`GET /counters` answers what the server has counted, `GET /large` more than any buffer holds. `sink_process` runs it for
a test, and gives what an honest client does with it.
"""

import dataclasses
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from edged.server import Limits
from tests.support.server_kit import Message, Running, answer, read_all, serving, sink

SHORT = Limits(head_s=0.5, body_s=0.5, idle_s=2, write_s=2, linger_s=0.2, drain_s=1)
PATIENT = Limits(linger_s=0.2, drain_s=0.5)
END_S = 10
HONEST_BYTES = 300_000
PIECE, PIECES = bytes(1 << 16), 1024


class CountingSink:
    """The sink, and what the server that serves it has counted."""

    running: Running

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """ASGI."""
        match scope.get("path"):
            case "/counters":
                counted = dataclasses.asdict(self.running.server.counters)
                await answer(send, 200, json.dumps(counted).encode())
            case "/large":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for left in reversed(range(PIECES)):
                    await send({"type": "http.response.body", "body": PIECE, "more_body": left > 0})
            case _:
                await sink(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Sink:
    """A process that serves."""

    pid: int
    port: int

    async def upload(self, size: int) -> None:
        """An honest request."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            head = b"POST / HTTP/1.1\r\nHost: box\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
            await stream.send_all(head)
            await stream.send_all(bytes(size))
            said = await read_all(stream)
        assert said.startswith(b"HTTP/1.1 200 OK\r\n"), said[:100]
        assert said.endswith(b"\r\n\r\n%d" % size)

    async def ask_honestly(self) -> None:
        """An honest request of some size."""
        await self.upload(HONEST_BYTES)

    async def counters(self) -> dict[str, int]:
        """What the server has counted; this connection is one of the open ones."""
        async with await trio.open_tcp_stream("127.0.0.1", self.port) as stream:
            await stream.send_all(b"GET /counters HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n")
            found: dict[str, int] = json.loads((await read_all(stream)).partition(b"\r\n\r\n")[2])
            return found

    async def settle(self, *, beside: int = 0) -> dict[str, int]:
        """Wait until all connections have ended but the one that asks and those beside it; what was counted."""
        while (found := await self.counters())["open"] > beside + 1:
            await trio.lowlevel.checkpoint()
        return found

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def resident_mib(self) -> float:
        """Its memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


@asynccontextmanager
async def sink_process(*arguments: str) -> AsyncIterator[Sink]:
    """Serve in a process for the block; whatever that logs at WARNING or above fails the test."""
    command = [sys.executable, "-W", "error", "-m", "tests.support.sink_server", *arguments]
    process = await trio.lowlevel.open_process(command, stdin=-1, stdout=-1, stderr=-1)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    async with process.stdin, process.stdout, process.stderr:
        said = b""
        try:
            url = bytes(await process.stdout.receive_some())
            yield Sink(process.pid, int(url.rsplit(b":", 1)[1]))
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + END_S):
                await process.stdin.aclose()
                said = await read_all(process.stderr)
                await process.wait()
            process.kill()
            print(said.decode(), file=sys.stderr)
        assert (said, process.returncode) == (b"", 0)


async def main(limits: Limits) -> None:
    """Serve."""
    app = CountingSink()
    async with serving(app, limits=limits) as app.running:
        print(app.running.url, flush=True)
        async with trio.lowlevel.FdStream(0) as standard_input:
            while await standard_input.receive_some():
                pass


if __name__ == "__main__":
    trio.run(main, PATIENT if "patient" in sys.argv else SHORT)
