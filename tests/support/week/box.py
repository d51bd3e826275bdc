"""A box in virtual time: what `app.box.serve` runs, with its clients in memory, and no thread and no socket.

The store is a real one whose writer works inline; the origin server's application is driven directly. Jobs that look
at something every few seconds look every few minutes, or a week would be millions of looks.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.app.box import Parts, application_of, assemble, handlers_of
from edged.origin.application import Application
from edged.services import commitment, retention, trimming
from edged.services.journal import Journal
from edged.services.retention import Retention
from edged.services.trimming import keep_trimmed
from edged.store.store import open_store
from edged.upstream import destination, pace, prover
from edged.upstream.dial import Connector
from edged.upstream.forwarder import forward
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.box_kit import require_whole, settings_for
from tests.support.trio_clock import TrioClock

STORE = 'keep_committed = "3d"\nreconcile = 0.5\n'
"""So that a week sees what was let go of, and what was lost is missed within days."""


def look_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what no event tells be looked for more rarely than in a box."""
    monkeypatch.setattr(commitment, "LOOK_AGAIN_S", 900.0)
    monkeypatch.setattr(retention, "EVERY_S", 3600.0)
    monkeypatch.setattr(trimming, "EVERY_S", 6 * 3600.0)
    monkeypatch.setattr(destination, "IDLE_S", 900.0)
    monkeypatch.setattr(prover, "MOST_PAUSE_S", 900.0)
    monkeypatch.setattr(pace, "TELL_S", 900.0)


class WeekBox:
    """One life of a box."""

    def __init__(self, parts: Parts, application: Application, nursery: trio.Nursery) -> None:
        self.parts = parts
        self._application = application
        self._nursery = nursery

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer | None:
        """Make a request; None when the box ends before it has answered."""
        answered, answers = trio.Event(), list[Answer]()

        async def exchange() -> None:
            try:
                answers.append(await call(self._application, Asked(method, path, headers, body)))
            finally:
                answered.set()

        self._nursery.start_soon(exchange)
        await answered.wait()
        return answers[0] if answers else None


@asynccontextmanager
async def week_box(folder: Path, config: str, connectors: Mapping[str, Connector]) -> AsyncIterator[WeekBox]:
    """Run a box over the folder of before; connectors are by the host that they lead to."""
    settings, clock = settings_for(folder, config, STORE), TrioClock()

    async def connect(endpoint: object, *rest: object) -> object:
        return await connectors[endpoint.host](endpoint, *rest)  # type: ignore[attr-defined,arg-type]

    async with open_store(settings.box.data_dir, settings.store.capacity_bytes, inline=True) as store:
        parts = await assemble(settings, store, clock)
        parts.surroundings.connector = connect  # type: ignore[assignment]
        journal = Journal(store, clock, parts.bells)
        parts.conditions.listen(journal.condition_turned)
        parts.live.watch_destinations(journal.destination_changed)
        keeping = Retention(
            store, clock, settings.store, told=parts.filling.drained, reprovers=parts.surroundings.reprovers
        )
        trimmed = partial(keep_trimmed, store, clock, keep_s=settings.notifications.keep_s, memory=10_000)
        application = application_of(parts, handlers_of(parts))
        async with trio.open_nursery() as background:
            for job in (journal.keep, store.keep_swept, parts.commitment.keep_deciding, keeping.keep, trimmed):
                background.start_soon(job)
            background.start_soon(forward, parts.routes, settings.destinations, parts.surroundings)
            async with trio.open_nursery() as clients:
                yield WeekBox(parts, application, clients)
                clients.cancel_scope.cancel()
            background.cancel_scope.cancel()
        require_whole(store)
