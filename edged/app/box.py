"""One box: opens the store, wires the parts, serves until it is told to stop."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from edged.app.background import keep_going
from edged.config import Settings
from edged.config.choices import Evidence
from edged.origin.application import Application, Handler
from edged.origin.commitment import CheckCommitment, RequestCommitment
from edged.origin.monitoring import RetrieveCapabilities, Status, health
from edged.origin.notifications import NotificationConnection
from edged.origin.retrieve import RetrieveInstance, StoredFile
from edged.origin.store import StoreTransaction
from edged.server import TLS, Listener, Server
from edged.services.bell import Bells
from edged.services.commitment import CommitmentService
from edged.services.destinations import Routes, left_behind, load_routes
from edged.services.journal import Journal
from edged.services.notifications import NotificationService
from edged.services.retention import Retention
from edged.services.state import StateService
from edged.services.store_instance import FrontDoor
from edged.services.trimming import keep_trimmed
from edged.store.store import Store, open_store
from edged.telemetry.clock import Clock, SystemClock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import ListenersLive, Live
from edged.upstream.destination import Surroundings
from edged.upstream.forwarder import forward

log = logging.getLogger(__name__)

CANCEL_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running box that its commands and tests reach for."""

    settings: Settings
    store: Store
    routes: Routes
    clock: Clock
    conditions: Conditions
    live: Live
    bells: Bells
    state: StateService
    urls: tuple[str, ...]


async def serve(
    settings: Settings, shutdown: trio.Event, *, task_status: trio.TaskStatus[Parts] = trio.TASK_STATUS_IGNORED
) -> None:
    """Run a box until `shutdown` is set; `started` gets its parts once it serves.

    Raises StoreError, ListenerError and OSError when it cannot start.
    """
    clock = SystemClock(settings.box.clock)
    async with open_store(settings.box.data_dir, settings.store.capacity_bytes) as store:
        routes = await load_routes(store, settings.destinations)
        conditions, live, bells = Conditions(clock), Live(), Bells()
        journal = Journal(store, clock, bells)
        conditions.listen(journal.condition_turned)
        live.watch_destinations(journal.destination_changed)
        _standing_conditions(settings, routes, conditions)
        _tell_left_behind(await store.read(left_behind), routes, conditions)
        state = StateService(store, settings, routes, clock=clock, live=live)
        commitment = CommitmentService(store, settings.commitment, clock, bells=bells)
        door = FrontDoor(store, routes, clock, conditions=conditions, bells=bells)
        door.max_instance_bytes = settings.origin.max_instance_bytes
        handlers: Mapping[str, Handler] = {
            "retrieveCapabilities": RetrieveCapabilities(state, conditions, settings.access),
            "storeInstances": (storing := StoreTransaction(door)),
            "storeStudyInstances": storing,
            "retrieveInstance": RetrieveInstance(store),
            "requestStorageCommitment": RequestCommitment(commitment),
            "checkStorageCommitmentResult": CheckCommitment(commitment),
            "health": health,
            "adminStatus": Status(state, conditions),
            "adminInstanceFile": StoredFile(store),
        }
        connection = NotificationConnection(NotificationService(store, bells), settings.box.ae_title)
        sockets = {"openNotificationConnection": connection, "openSubscriberConnection": connection}
        application = Application(settings.origin, settings.access, handlers, sockets=sockets)
        server = Server(application, _listeners(settings), tls=_tls(settings))
        async with trio.open_nursery() as background:
            if settings.commitment.evidence is not Evidence.LOCAL:
                keep_s, remember = settings.store.keep_committed_s, settings.store.remember
                retention = Retention(store, clock, bells, keep_s=keep_s, remember=remember)
                background.start_soon(keep_going, retention.keep, conditions)
            box = Surroundings(store, clock, live=live, conditions=conditions, bells=bells)
            for job in (
                store.keep_swept,
                store.keep_readers_checked,
                journal.keep,
                partial(keep_trimmed, store, clock, settings.notifications.keep_s),
                commitment.keep_deciding,
                partial(forward, routes, settings.destinations, box),
            ):
                background.start_soon(keep_going, job, conditions)
            async with trio.open_nursery() as serving:
                bound = await serving.start(server.run, shutdown)
                base = settings.origin.base_path.rstrip("/")
                urls = tuple(each.url + base for each in bound[:-1])
                live.publish_listeners(ListenersLive(urls=urls, certificate_not_after=None))
                task_status.started(Parts(settings, store, routes, clock, conditions, live, bells, state, urls))
            background.cancel_scope.cancel()


def _listeners(settings: Settings) -> list[Listener]:
    """The configured listeners, and last the control socket."""
    listeners = [Listener.parse(each) for each in settings.origin.bind]
    return [*listeners, Listener.parse(f"unix:{control_socket(settings)}")]


def control_socket(settings: Settings) -> str:
    """Return the path of the control socket."""
    return str(Path(settings.box.control).absolute())


def _tls(settings: Settings) -> TLS | None:
    origin = settings.origin
    if origin.certificate is None or origin.private_key is None:
        return None
    return TLS(origin.certificate, origin.private_key, origin.client_ca)


def _standing_conditions(settings: Settings, routes: Routes, conditions: Conditions) -> None:
    if not routes.required and settings.commitment.evidence is not Evidence.LOCAL:
        conditions.raise_(
            "no-required-destination",
            Severity.WARNING,
            "No [[destination]] is required: instances are kept until they are discarded by hand.",
        )


def _tell_left_behind(queued: Mapping[str, int], routes: Routes, conditions: Conditions) -> None:
    for name in sorted(queued.keys() - routes.ids.keys()):
        conditions.raise_(
            f"destination-removed:{name}",
            Severity.WARNING,
            f"{queued[name]} instances wait for destination {name}, which is no longer in the settings. They are kept: "
            "put it back, or see edged queue move and edged queue discard.",
        )
