"""An archive that answers as a script says, on loopback: `archive` over real sockets, in either HTTP.

By what it answers, and how a test makes it lie, refuse, wait or break off: `archive.rules`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from tests.support.archive.rules import BASE, Archive, Rule, StoreRule
from tests.support.archive.serving import serve_connection
from tests.support.archive.values import JSON, Asked, Fault, Kind, Reply, Stow, committed, report

__all__ = [
    "BASE",
    "JSON",
    "Asked",
    "Fault",
    "Kind",
    "Reply",
    "Rule",
    "ScriptedArchive",
    "StoreRule",
    "Stow",
    "committed",
    "report",
    "scripted_archive",
]


class ScriptedArchive(Archive):
    """An archive that listens."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self._running: trio.CancelScope | None = None

    @property
    def url(self) -> str:
        """The Base URI."""
        return f"http://127.0.0.1:{self.port}{BASE}"

    async def up(self, nursery: trio.Nursery) -> None:
        """Listen, on the port of before."""
        await nursery.start(self._run)

    async def down(self) -> None:
        """Refuse connections and break those that are open."""
        assert self._running is not None
        self._running.cancel()
        self._running = None
        await trio.testing.wait_all_tasks_blocked()

    async def _run(self, task_status: trio.TaskStatus[list[trio.SocketListener]]) -> None:
        listeners = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        with trio.CancelScope() as self._running:
            await trio.serve_listeners(self._serve, listeners, task_status=task_status)

    async def _serve(self, stream: trio.SocketStream) -> None:
        await serve_connection(stream, self)


@asynccontextmanager
async def scripted_archive() -> AsyncIterator[tuple[ScriptedArchive, trio.Nursery]]:
    """An archive that listens, and the nursery to bring it `up` in again."""
    archive = ScriptedArchive()
    async with trio.open_nursery() as nursery:
        await archive.up(nursery)
        yield archive, nursery
        nursery.cancel_scope.cancel()
