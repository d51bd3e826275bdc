"""A box for tests: in process, its application driven directly, or whole, behind real sockets.

`opened_box` has a real store with its writer thread and everything that the composition root wires but listeners and
forwarding; a test says which clock it goes by. `served_box` is `edged.app.box.serve` itself. After either the store is
checked, every invariant of it, and in process that no reservation and no budget is still held; then it is deleted,
because its file is preallocated.
"""

import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from edged.app.background import keep_going
from edged.app.box import Parts, application_of, assemble, handlers_of, serve
from edged.config import Settings, parse
from edged.origin.application import Application, Handler
from edged.services.bell import Bells
from edged.services.commitment import CommitmentService
from edged.services.destinations import Routes
from edged.services.journal import Journal
from edged.services.store_instance import FrontDoor
from edged.store.store import Store, open_store
from edged.telemetry.clock import Clock, ManualClock
from edged.telemetry.conditions import Conditions
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.store_kit import problems
from tests.support.stow_kit import MULTIPART, multipart

ARCHIVE = '[[destination]]\nname = "archive"\nurl = "http://127.0.0.1:9"\n'


@dataclass(frozen=True, slots=True)
class Box:
    """A box in process."""

    parts: Parts
    journal: Journal
    application: Application

    @property
    def settings(self) -> Settings:
        return self.parts.settings

    @property
    def store(self) -> Store:
        return self.parts.store

    @property
    def routes(self) -> Routes:
        return self.parts.routes

    @property
    def clock(self) -> Clock:
        return self.parts.clock

    @property
    def conditions(self) -> Conditions:
        return self.parts.conditions

    @property
    def bells(self) -> Bells:
        return self.parts.bells

    @property
    def commitment(self) -> CommitmentService:
        return self.parts.commitment

    @property
    def door(self) -> FrontDoor:
        return self.parts.door

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Make a request from this machine."""
        return await call(self.application, Asked(method, path, headers or {}, body))

    async def stow(self, *parts: bytes, path: str = "/studies", accept: str = "application/dicom+json") -> Answer:
        """Store parts as one multipart request."""
        return await self.ask("POST", path, {"Content-Type": MULTIPART, "Accept": accept}, multipart(parts))


def settings_for(folder: Path, config: str = "", store: str = "") -> Settings:
    """The settings of a small box in `folder`; `config` is TOML beyond [box] and a free port, `store` is of [store]."""
    origin = "" if "[origin]" in config else '[origin]\nbind = ["http://127.0.0.1:0"]\n'
    text = f'[box]\ndata_dir = "{folder}/box"\n[store]\ncapacity = "256MiB"\n{store}{origin}{config}'
    return parse(text, {})


@asynccontextmanager
async def opened_box(
    folder: Path,
    config: str = "",
    *,
    clock: Clock | None = None,
    handlers: Mapping[str, Handler] | None = None,
    keep: bool = False,
) -> AsyncIterator[Box]:
    """A box in process; `handlers` replace or add to its own, `keep` leaves its folder for the next one."""
    settings = settings_for(folder, config)
    clock = clock or ManualClock()
    async with open_store(settings.box.data_dir, settings.store.capacity_bytes) as store:
        parts = await assemble(settings, store, clock)
        journal = Journal(store, clock, parts.bells)
        parts.conditions.listen(journal.condition_turned)
        box = Box(parts, journal, application_of(parts, {**handlers_of(parts), **(handlers or {})}))
        async with trio.open_nursery() as background:
            background.start_soon(keep_going, store.keep_swept, box.conditions)
            background.start_soon(keep_going, box.journal.keep, box.conditions)
            background.start_soon(keep_going, parts.notifications.keep, box.conditions)
            background.start_soon(keep_going, parts.subscribers.keep, box.conditions)
            yield box
            background.cancel_scope.cancel()
        require_whole(store)
        rooms = box.application.rooms
        assert (rooms.coming.free, rooms.going.free) == (rooms.coming.total, rooms.going.total)
    if not keep:
        shutil.rmtree(settings.box.data_dir)


def require_whole(store: Store) -> None:
    """Nothing is half there, and what was taken of space and memory has come back."""
    assert problems(store) == []
    assert store.space.free == max(0, store.space.soft_cap - store.space.used)
    assert store.budget.free == store.budget.total
    assert store.read_ahead.held == 0


@asynccontextmanager
async def served_box(folder: Path, config: str = "") -> AsyncIterator[Parts]:
    """A whole box behind real sockets."""
    settings = settings_for(folder, config)
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        parts: Parts = await nursery.start(serve, settings, shutdown)
        yield parts
        shutdown.set()
    async with open_store(settings.box.data_dir) as store:
        require_whole(store)
    shutil.rmtree(settings.box.data_dir)
