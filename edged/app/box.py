"""One box: opens the store, wires the parts, serves until it is told to stop."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio
from msgspec import structs

from edged.app.background import keep_going, tell_failure, tell_paused, while_it_writes
from edged.app.disk import tell_allocation
from edged.app.limits import limits_of, server_limits
from edged.app.tuning import Reread, keep_tuned
from edged.config import ConfigError, Settings, contradictions_of_descriptors
from edged.config.choices import ClientCertificate, Evidence
from edged.http.origin_policy import OriginPolicy
from edged.origin.admin_explain import Explain
from edged.origin.admin_probe import Probe
from edged.origin.admin_queue import ChangeQueue, ListQueue
from edged.origin.application import Application, Handler
from edged.origin.audit import Audit
from edged.origin.commitment import CheckCommitment, RequestCommitment
from edged.origin.monitoring import RetrieveCapabilities, Status, health
from edged.origin.notifications import NotificationConnection
from edged.origin.retrieve import RetrieveInstance, StoredFile
from edged.origin.store import StoreTransaction
from edged.server import TLS, Kind, Listener, Server, inherited_url
from edged.services.bell import Bell, Bells
from edged.services.commitment import CommitmentService
from edged.services.commitment_asking import Inquiry
from edged.services.conflicts import tell_conflicts
from edged.services.destinations import Routes, left_behind, load_routes, tell_left_behind
from edged.services.explaining import Explaining
from edged.services.explaining_study import ExplainingStudy
from edged.services.filling import Filling
from edged.services.journal import Journal
from edged.services.notifications import NotificationService
from edged.services.queue_values import Reach
from edged.services.queueing import QueueService
from edged.services.repair import Repairer
from edged.services.retention import Retention
from edged.services.routing import routing_for, without_required
from edged.services.scrub import Scrub
from edged.services.state import StateService
from edged.services.store_instance import FrontDoor
from edged.services.subscribers import Subscribers
from edged.services.trimming import keep_trimmed
from edged.store.budget import INTAKE_BYTES
from edged.store.store import Store, open_store
from edged.telemetry.clock import Clock, SystemClock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import Live
from edged.upstream.destination import Surroundings
from edged.upstream.forwarder import forward
from edged.upstream.probe import Probes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a box that its application, its jobs and its commands are made of."""

    settings: Settings
    store: Store
    routes: Routes
    clock: Clock
    conditions: Conditions
    live: Live
    bells: Bells
    door: FrontDoor
    filling: Filling
    surroundings: Surroundings
    commitment: CommitmentService
    notifications: NotificationService
    subscribers: Subscribers
    state: StateService
    queueing: QueueService
    audit: Audit

    @property
    def urls(self) -> tuple[str, ...]:
        """Where the box listens, once it does."""
        return self.live.listeners.urls


async def serve(
    settings: Settings,
    shutdown: trio.Event,
    *,
    reload: Bell | None = None,
    reread: Reread | None = None,
    task_status: trio.TaskStatus[Parts] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a box until `shutdown` is set; `started` gets its parts once it serves.

    `reload` asks for new certificates, and for what `reread` gives of the settings. Raises ConfigError, StoreError,
    ListenerError and OSError when it cannot start.
    """
    _require_secured(settings)
    clock = SystemClock(settings.box.clock)
    limits = server_limits(settings)
    queued_bytes = limits.windows_bytes + limits.websocket_windows_bytes
    intake_bytes = INTAKE_BYTES - queued_bytes  # what HTTP/2 has queued counts in the one budget (DESIGN 1.7)
    async with open_store(settings.box.data_dir, settings.store.capacity_bytes, intake_bytes=intake_bytes) as store:
        parts = await assemble(settings, store, clock)
        journal = Journal(store, clock, parts.bells)
        parts.conditions.listen(journal.condition_turned)
        parts.live.watch_destinations(journal.destination_changed)
        store.failure.listen(partial(tell_failure, parts.conditions))
        _raise_standing(parts)
        tell_left_behind(parts.conditions, parts.routes, await store.read(left_behind))
        application = application_of(parts, handlers_of(parts))
        pages = OriginPolicy(settings.origin.cors)
        server = Server(application, _listeners(settings), tls=_tls(settings), limits=limits, origins=pages)
        async with trio.open_nursery() as background:
            asked = reload or Bell()
            for job in (journal.keep, *_jobs(parts)):
                background.start_soon(keep_going, job, parts.conditions)
            if server.certificates is not None:
                keep = partial(server.certificates.keep, parts.conditions, parts.live, clock, asked=asked.wait)
                background.start_soon(keep_going, keep, parts.conditions)
            if reread is not None:
                tuned = partial(keep_tuned, reread, asked, box=parts.surroundings, conditions=parts.conditions)
                background.start_soon(keep_going, tuned, parts.conditions)
            async with trio.open_nursery() as serving:
                bound = await serving.start(server.run, shutdown)
                base = settings.origin.base_path.rstrip("/")
                urls = tuple(each.url + base if "://" in each.url else each.url for each in bound[:-1])
                parts.live.publish_listeners(structs.replace(parts.live.listeners, urls=urls))
                task_status.started(parts)
            background.cancel_scope.cancel()


async def assemble(settings: Settings, store: Store, clock: Clock) -> Parts:
    """Make the parts of a box over its open store."""
    routes = await load_routes(store, settings.destinations)
    conditions, live, bells = Conditions(clock), Live(), Bells()
    routing = routing_for(routes, settings.routes)
    door = FrontDoor(store, routing, clock, conditions=conditions, bells=bells)
    door.duplicate = settings.store.duplicate
    door.max_instance_bytes = settings.origin.max_instance_bytes
    box = Surroundings(store, clock, live=live, conditions=conditions, bells=bells)
    box.reconcile = settings.store.reconcile
    box.requester = settings.box.name
    inquiry = Inquiry(box.witnesses, routing.required_of, clock, accepted=settings.commitment.accept_proof)
    return Parts(
        settings=settings,
        store=store,
        routes=routes,
        clock=clock,
        conditions=conditions,
        live=live,
        bells=bells,
        door=door,
        filling=Filling(store, clock, conditions, live=live),
        surroundings=box,
        commitment=CommitmentService(store, settings.commitment, clock, bells=bells, inquiry=inquiry),
        notifications=NotificationService(store, bells, clock),
        subscribers=Subscribers(store, clock, conditions),
        queueing=QueueService(store, routes, clock, reach=Reach(conditions, bells, box.hands)),
        state=StateService(store, settings, routes, clock=clock, live=live),
        audit=Audit(settings.box.data_dir, settings.access, clock=clock, conditions=conditions),
    )


def handlers_of(parts: Parts) -> dict[str, Handler]:
    """Make a handler for every row of `dicomweb.resources` but the notification connections."""
    settings, store = parts.settings, parts.store
    limits = limits_of(settings)
    capabilities = RetrieveCapabilities(parts.state, parts.conditions, settings.access, limits=limits)
    storing = StoreTransaction(parts.door, parts.filling, audit_patient=settings.access.audit_patient)
    return {
        "retrieveCapabilities": capabilities,
        "storeInstances": storing,
        "storeStudyInstances": storing,
        "retrieveInstance": RetrieveInstance(store, parts.clock),
        "requestStorageCommitment": RequestCommitment(parts.commitment),
        "checkStorageCommitmentResult": CheckCommitment(parts.commitment),
        "health": health,
        "adminStatus": Status(parts.state, parts.conditions),
        "adminInstanceFile": StoredFile(store, parts.clock),
        "adminExplain": _explain(parts),
        "adminProbe": Probe(_probes(settings, parts)),
        "adminQueue": ListQueue(parts.queueing),
        "adminQueueAction": ChangeQueue(parts.queueing),
    }


def _probes(settings: Settings, parts: Parts) -> Probes:
    ids, hands = parts.routes.ids, parts.surroundings.hands

    def passed(name: str) -> None:
        if hand := hands.get(ids[name]):
            hand.hasten()

    return Probes(settings.destinations, parts.clock, parts.surroundings.connector, passed=passed)


def _explain(parts: Parts) -> Explain:
    store, routes, clock, hands = parts.store, parts.routes, parts.clock, parts.surroundings.hands
    return Explain(Explaining(store, routes, clock, hands=hands), ExplainingStudy(store, routes, clock, hands=hands))


def application_of(parts: Parts, handlers: Mapping[str, Handler]) -> Application:
    """Make the origin server's application."""
    settings = parts.settings
    ae_title, live = settings.box.ae_title, parts.live
    connection = NotificationConnection(parts.notifications, parts.subscribers, ae_title, live=live)
    sockets = {"openNotificationConnection": connection, "openSubscriberConnection": connection}
    application = Application(settings.origin, settings.access, handlers, sockets=sockets, audit=parts.audit)
    application.base.control = control_socket(settings)
    return application


def _jobs(parts: Parts) -> list[Callable[[], Awaitable[None]]]:
    """What a box does in the background, each for ever."""
    settings, store, clock = parts.settings, parts.store, parts.clock
    box = parts.surroundings
    repairer = Repairer(store, clock, parts.bells, holders=box.holders)
    writing: list[Callable[[], Awaitable[None]]] = [
        store.keep_swept,
        partial(keep_trimmed, store, clock, keep_s=settings.notifications.keep_s, memory=settings.commitment.memory),
        parts.commitment.keep_deciding,
        parts.subscribers.keep,
    ]
    if settings.commitment.evidence is not Evidence.LOCAL:
        told, reprovers = parts.filling.drained, box.reprovers
        writing.append(Retention(store, clock, settings.store, told=told, reprovers=reprovers).keep)
    scrub = Scrub(store, clock, parts.conditions, bells=parts.bells, repairer=repairer)
    parts.door.mender = parts.commitment.mender = scrub
    forwarding = partial(forward, parts.routes, settings.destinations, box)
    return [
        parts.filling.keep,
        parts.audit.keep,
        parts.notifications.keep,
        scrub.keep,
        scrub.keep_judging,
        store.keep_readers_checked,
        partial(while_it_writes, forwarding, store.failure, then=partial(tell_paused, parts.live)),
        *(partial(while_it_writes, job, store.failure) for job in writing),
    ]


def _listeners(settings: Settings) -> list[Listener]:
    """The configured listeners, and last the control socket."""
    listeners = [Listener.parse(each) for each in settings.origin.bind]
    return [*listeners, Listener.parse(f"unix:{control_socket(settings)}")]


def _require_secured(settings: Settings) -> None:
    """Raise ConfigError for an inherited descriptor that may not listen where it does (promise 9)."""
    listeners = {written: Listener.parse(written) for written in settings.origin.bind}
    found = {written: inherited_url(each) for written, each in listeners.items() if each.kind is Kind.FD}
    urls = {written: url for written, url in found.items() if url is not None}
    if problems := contradictions_of_descriptors(settings, urls):
        raise ConfigError(problems)


def control_socket(settings: Settings) -> str:
    """Return the path of the control socket."""
    return str(Path(settings.box.control).absolute())


def _tls(settings: Settings) -> TLS | None:
    origin = settings.origin
    if origin.certificate is None or origin.private_key is None:
        return None
    required = origin.client_certificate is ClientCertificate.REQUIRED
    return TLS(origin.certificate, origin.private_key, origin.client_ca, client_required=required)


def _raise_standing(parts: Parts) -> None:
    tell_conflicts(parts.store, parts.conditions)
    tell_allocation(parts.store.allocation, parts.conditions)
    if parts.settings.commitment.evidence is Evidence.LOCAL:
        return
    which = ""
    if not parts.routes.required:
        which = "No [[destination]] is required"
    elif kept := without_required(parts.routes, parts.settings.routes):
        which = f"No [[destination]] is required of those that [[route]] {', '.join(kept)} names"
    if which:
        hint = f"{which}: instances are kept and never let go by themselves."
        parts.conditions.raise_("no-required-destination", Severity.WARNING, hint)
