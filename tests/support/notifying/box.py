"""A box in memory whose event log can be followed, and which can be killed like a process, in virtual time.

The store is a real one whose writer works inline, the application is the box's own, and so is all of the server that
knows WebSockets; only sockets are missing. What is killed writes nothing more from that moment on: the store beneath
it refuses, connections are cut, and the next life begins over what was committed.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from edged.app.box import Parts, application_of, assemble, handlers_of
from edged.server.exchange import Service
from edged.server.head_gate import check_head, head_length
from edged.server.http1_answer import Answer, Fields
from edged.server.http1_answer import head as answer_head
from edged.server.limits import Limits
from edged.server.peer import Peer
from edged.server.websocket import WebSocket
from edged.server.wire import Disconnected
from edged.store.errors import StoreFailed
from edged.store.store import open_store
from tests.support.box_kit import require_whole, settings_for
from tests.support.memory_wire import Half
from tests.support.trio_clock import TrioClock

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", 40000)
SWITCHING = 101


class _Channel:
    """A session's octets over a stream in memory."""

    def __init__(self, stream: Half, octets: bytes) -> None:
        self._stream = stream
        self._octets = octets
        self._answer = Answer("GET", "1.1")

    def enter(self) -> bool:
        return True

    async def begin(self, status: int, fields: Fields) -> None:
        if status == SWITCHING:
            await self.send(answer_head(status, fields))
        else:
            self._answer.start(status, fields, close=True)

    async def deny(self, body: bytes, *, more: bool) -> None:
        await self.send(b"".join(self._answer.body(body, more=more)))

    async def send(self, octets: bytes) -> None:
        try:
            await self._stream.send_all(octets)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise Disconnected("the client is gone") from None

    async def receive(self) -> bytes:
        octets, self._octets = self._octets, b""
        try:
            return octets or bytes(await self._stream.receive_some())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return b""


@dataclass(frozen=True, slots=True)
class MemoryBox:
    """One life of a box."""

    parts: Parts
    service: Service
    background: trio.Nursery
    connections: trio.Nursery

    def connect(self, stream: Half) -> None:
        """Serve one connection, which asks for a WebSocket."""
        self.connections.start_soon(self._serve, stream)

    async def _serve(self, stream: Half) -> None:
        try:
            await self._serve_socket(stream)
        finally:
            stream.send_stream.close()
            stream.receive_stream.close()

    async def _serve_socket(self, stream: Half) -> None:
        octets = b""
        while (length := head_length(octets)) is None:
            try:
                more = await stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return
            if not more:
                return
            octets += more
        head = check_head(octets[:length])
        channel = _Channel(stream, octets[length:])
        try:
            await WebSocket(self.service, Peer(LOOPBACK, LOOPBACK, False), head, channel=channel).run()
        except* Disconnected:
            log.debug("a client went away")

    def kill(self) -> None:
        """Write nothing more: from now on this life leaves no trace."""

        async def dead(*_: Any, **__: Any) -> None:
            await trio.lowlevel.checkpoint()
            raise StoreFailed("this box was killed")

        self.parts.store.write = dead  # type: ignore[method-assign, assignment]
        self.background.cancel_scope.cancel()


@asynccontextmanager
async def memory_box(folder: Path) -> AsyncIterator[MemoryBox]:
    """Run a box over the folder of before, for the block."""
    settings, clock = settings_for(folder), TrioClock()
    async with open_store(settings.box.data_dir, settings.store.capacity_bytes, inline=True) as store:
        parts = await assemble(settings, store, clock)
        service = Service.of(application_of(parts, handlers_of(parts)), Limits())
        async with trio.open_nursery() as background:
            background.start_soon(parts.notifications.keep)
            background.start_soon(parts.subscribers.keep)
            async with trio.open_nursery() as connections:
                yield MemoryBox(parts, service, background, connections)
                connections.cancel_scope.cancel()
            background.cancel_scope.cancel()
        require_whole(store)
