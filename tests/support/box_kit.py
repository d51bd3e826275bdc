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
from edged.app.box import Parts, serve
from edged.config import Settings, parse
from edged.origin.application import Application, Handler
from edged.origin.commitment import CheckCommitment, RequestCommitment
from edged.origin.monitoring import RetrieveCapabilities, Status, health
from edged.origin.notifications import NotificationConnection
from edged.origin.retrieve import RetrieveInstance, StoredFile
from edged.origin.store import StoreTransaction
from edged.services.bell import Bells
from edged.services.commitment import CommitmentService
from edged.services.destinations import Routes, load_routes
from edged.services.journal import Journal
from edged.services.notifications import NotificationService
from edged.services.state import StateService
from edged.services.store_instance import FrontDoor
from edged.store.store import Store, open_store
from edged.telemetry.clock import Clock, ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from tests.support.asgi_kit import Answer, Asked, call
from tests.support.store_kit import problems
from tests.support.stow_kit import MULTIPART, multipart

ARCHIVE = '[[destination]]\nname = "archive"\nurl = "http://127.0.0.1:9"\n'


@dataclass(frozen=True, slots=True)
class Box:
    """The parts of a box in process."""

    settings: Settings
    store: Store
    routes: Routes
    clock: Clock
    conditions: Conditions
    bells: Bells
    commitment: CommitmentService
    journal: Journal
    door: FrontDoor
    application: Application

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """Make a request from this machine."""
        return await call(self.application, Asked(method, path, headers or {}, body))

    async def stow(self, *parts: bytes, path: str = "/studies", accept: str = "application/dicom+json") -> Answer:
        """Store parts as one multipart request."""
        return await self.ask("POST", path, {"Content-Type": MULTIPART, "Accept": accept}, multipart(parts))


def settings_for(folder: Path, config: str = "") -> Settings:
    """The settings of a small box in `folder`; `config` is TOML beyond [box], [store] and a free port."""
    origin = "" if "[origin]" in config else '[origin]\nbind = ["http://127.0.0.1:0"]\n'
    text = f'[box]\ndata_dir = "{folder}/box"\n[store]\ncapacity = "256MiB"\n{origin}{config}'
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
        box = await _wire(settings, store, clock, handlers=handlers or {})
        async with trio.open_nursery() as background:
            background.start_soon(keep_going, store.keep_swept, box.conditions)
            background.start_soon(keep_going, box.journal.keep, box.conditions)
            yield box
            background.cancel_scope.cancel()
        require_whole(store)
    if not keep:
        shutil.rmtree(settings.box.data_dir)


def require_whole(store: Store) -> None:
    """Nothing is half there, and what was taken of space and memory has come back."""
    assert problems(store) == []
    assert store.space.free == max(0, store.space.soft_cap - store.space.used)
    assert store.budget.free == store.budget.total


async def _wire(settings: Settings, store: Store, clock: Clock, *, handlers: Mapping[str, Handler]) -> Box:
    routes = await load_routes(store, settings.destinations)
    conditions, live, bells = Conditions(clock), Live(), Bells()
    journal = Journal(store, clock, bells)
    conditions.listen(journal.condition_turned)
    state = StateService(store, settings, routes, clock=clock, live=live)
    commitment = CommitmentService(store, settings.commitment, clock, bells=bells)
    door = FrontDoor(store, routes, clock, conditions=conditions, bells=bells)
    door.max_instance_bytes = settings.origin.max_instance_bytes
    own: Mapping[str, Handler] = {
        "retrieveCapabilities": RetrieveCapabilities(state, conditions, settings.access),
        "storeInstances": StoreTransaction(door),
        "storeStudyInstances": StoreTransaction(door),
        "retrieveInstance": RetrieveInstance(store),
        "requestStorageCommitment": RequestCommitment(commitment),
        "checkStorageCommitmentResult": CheckCommitment(commitment),
        "health": health,
        "adminStatus": Status(state, conditions),
        "adminInstanceFile": StoredFile(store),
    }
    connection = NotificationConnection(NotificationService(store, bells), settings.box.ae_title)
    sockets = {"openNotificationConnection": connection, "openSubscriberConnection": connection}
    application = Application(settings.origin, settings.access, {**own, **handlers}, sockets=sockets)
    return Box(settings, store, routes, clock, conditions, bells, commitment, journal, door, application)


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
