"""Followers of the event log without sockets: the application's WebSockets in memory, for virtual time.

What may live here: `Watching`, a log with what serves it, that can be restarted or lose its power; `Follower`, one open
connection of it. Reports are read into what they tell of the log (`Told`): the exact numbers of their events.
"""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, TypeVar

import trio
import trio.testing

from edged.config import parse
from edged.dicomweb.event_reading import EventReport, read_event_report
from edged.dicomweb.event_report import EventKind
from edged.origin.application import Application
from edged.origin.notifications import NotificationConnection
from edged.services.bell import Bells
from edged.services.followers import followers
from edged.services.notifications import NotificationService
from edged.services.subscribers import Subscribers
from edged.store.errors import StoreFailed
from edged.store.events import append_event, last_event
from edged.store.records import Event, Subscriber
from edged.store.store import Store, open_store
from edged.store.subscribers import note_subscribers, subscriber_of
from edged.store.transaction import Transaction
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from tests.support.trio_clock import TrioClock

T = TypeVar("T")

MONITOR, EACH = "/subscribers/MONITOR", "/subscribers/MONITOR?granularity=instance"
BEGIN, QUIET = "/?after=0", 6.0
TOKENS = "".join(
    f'[[access.token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\nroles = ["{role}"]\n'
    for name, role in (("one", "monitor"), ("two", "monitor"), ("chief", "admin"))
)


@dataclass(frozen=True, slots=True)
class Told:
    """A report: the numbers of its events, and what it says of itself."""

    numbers: tuple[int, ...]
    report: EventReport

    @property
    def is_gap(self) -> bool:
        return self.report.kind is EventKind.GAP

    @property
    def resume(self) -> int:
        assert self.report.resume is not None
        return self.report.resume


class Mortal:
    """A store, until its power is cut: nothing of what is written then arrives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_dead = False
        self.reads = 0

    async def write(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        self._require_alive()
        return await self._store.write(apply, size)

    async def read(self, view: Callable[[Transaction], T]) -> T:
        self._require_alive()
        self.reads += 1
        return await self._store.read(view)

    def read_now(self, view: Callable[[Transaction], T]) -> T:
        return self._store.read_now(view)

    def _require_alive(self) -> None:
        if self.is_dead:
            raise StoreFailed("the power was cut")


@dataclass(eq=False)
class Follower:
    """One connection: what came of it, and how to answer. `status` is 101 once it is open, or that of the refusal."""

    instances: dict[str, int]
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    code: int = 0
    reason: str = ""
    messages: list[str | bytes] = field(default_factory=list)
    room: float = inf
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _ended: trio.Event = field(default_factory=trio.Event)
    _said: list[dict[str, Any]] = field(default_factory=lambda: [{"type": "websocket.connect"}])
    _speaks: trio.Event = field(default_factory=trio.Event)
    _reads: trio.Event = field(default_factory=trio.Event)

    async def run(self, application: Application, path: str, headers: dict[str, str]) -> None:
        """Be connected until one of both ends it."""
        path, _, query = path.partition("?")
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8080),
            "extensions": {},
        }
        with self._scope:
            await application(scope, self._receive, self._send)
        self._ended.set()

    @property
    def told(self) -> list[Told]:
        """The reports that have come."""
        return [self._told(message) for message in self.messages]

    def read(self, count: float) -> None:
        """Take that many more messages from the line; the first one here, before all of them are."""
        self.room += count
        self._reads.set()

    def say(self, message: str | bytes) -> None:
        """Send a message."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._hear({"type": "websocket.receive", kind: message})

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, as a client that is there does."""
        self._hear({"type": "websocket.disconnect", "code": code, "reason": reason})
        await self._ended.wait()

    async def wait_ended(self) -> None:
        await self._ended.wait()

    def _hear(self, message: dict[str, Any]) -> None:
        self._said.append(message)
        self._speaks.set()

    async def _receive(self) -> dict[str, Any]:
        while not self._said:
            self._speaks = trio.Event()
            await self._speaks.wait()
        await trio.lowlevel.checkpoint()
        return self._said.pop(0)

    async def _send(self, message: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        match message["type"]:
            case "websocket.accept" | "websocket.http.response.start":
                self.status = message.get("status", 101)
                self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            case "websocket.send":
                while self.room < 1:
                    self._reads = trio.Event()
                    await self._reads.wait()
                self.room -= 1
                self.messages.append(message["text"] if "text" in message else message["bytes"])
            case "websocket.close":
                self.code, self.reason = message["code"], message.get("reason", "")

    def _told(self, message: str | bytes) -> Told:
        assert isinstance(message, str)
        report = read_event_report(message.encode())
        assert report.first is not None
        assert report.last is not None
        numbers = [self.instances[each.sop_instance_uid] for each in report.instances]
        return Told(tuple(numbers or range(report.first, report.last + 1)), report)


class Watching:
    """An event log, and the service and the connections over it."""

    def __init__(self, store: Store, nursery: trio.Nursery, config: str = "") -> None:
        self.store = store
        self._settings = parse(config, {})
        self.clock = TrioClock()
        self.instances: dict[str, int] = {}
        """The number of the event that tells of each instance."""
        self.history: dict[int, Event] = {}
        """All that ever happened."""
        self._nursery = nursery
        self.followers: list[Follower] = []
        self.boot()

    def boot(self) -> None:
        """Begin to serve, with nothing in memory."""
        self.bells, self.live, self.conditions = Bells(), Live(), Conditions(self.clock)
        self.mortal = Mortal(self.store)
        mortal: Any = self.mortal
        self.service = NotificationService(mortal, self.bells, self.clock)
        self.subscribers = Subscribers(mortal, self.clock, self.conditions)
        connection = NotificationConnection(self.service, self.subscribers, "EDGED", live=self.live)
        sockets = {"openNotificationConnection": connection, "openSubscriberConnection": connection}
        self.application = Application(self._settings.origin, self._settings.access, {}, sockets=sockets)
        self._serving = trio.CancelScope()
        self._nursery.start_soon(self._serve, self._serving)

    async def _serve(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.service.keep)
                nursery.start_soon(self.subscribers.keep)

    async def restart(self, *, power_cut: bool = False) -> None:
        """Stop and begin again; a cut of the power leaves nothing that was not written before it."""
        self.mortal.is_dead = power_cut
        for each in self.followers:
            each._scope.cancel()
            await each.wait_ended()
        self.followers.clear()
        self._serving.cancel()
        self.boot()

    async def open(self, path: str, headers: dict[str, str] | None = None, *, room: float = inf) -> Follower:
        """Open a connection; a follower that has `room` for so many messages does not read more for now."""
        follower = Follower(self.instances, room=room)
        self.followers.append(follower)
        self._nursery.start_soon(follower.run, self.application, path, {"host": "localhost", **(headers or {})})
        await trio.testing.wait_all_tasks_blocked()
        return follower

    async def happen(self, *events: Event) -> None:
        """Write events at this moment, in one transaction."""

        def write(txn: Transaction) -> None:
            for event in events:
                number = append_event(txn, event)
                self.history[number] = event
                if event.sop_instance_uid:
                    self.instances[event.sop_instance_uid] = number

        await self.store.write(write)
        self.bells.logged.ring()

    def about(self, instance: int, *, study: int = 1, kind: EventKind = EventKind.RECEIVED) -> Event:
        """An event about an instance that no other one is about."""
        return Event(
            kind=kind,
            time=self.clock.wall(),
            instance=instance,
            study_instance_uid=f"1.2.{study}",
            series_instance_uid=f"1.2.{study}.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
            sop_instance_uid=f"1.2.{study}.1.{instance}",
        )

    async def instances_come(self, count: int, *, studies: int = 1) -> None:
        """Events of `count` further instances, of so many studies by turns."""
        first = len(self.instances) + 1
        await self.happen(*(self.about(each, study=each % studies + 1) for each in range(first, first + count)))

    def notifications(self) -> dict[str, Any]:
        """What the state object tells of the followers."""
        return self.store.read_now(partial(followers, live=self.live.followers))

    def newest(self) -> int:
        return self.store.read_now(last_event)


@asynccontextmanager
async def watching(folder: Path, config: str = "") -> AsyncIterator[Watching]:
    """A log that nothing happens to but what a test says; in the store's inline form."""
    async with open_store(folder, 256 << 20, inline=True) as store, trio.open_nursery() as nursery:
        yield Watching(store, nursery, config)
        nursery.cancel_scope.cancel()


async def told(follower: Follower) -> list[tuple[int, ...]]:
    """The numbers of what a follower was told when the log has been quiet."""
    await trio.sleep(QUIET)
    return [each.numbers for each in follower.told]


def record(box: Watching, name: str = "MONITOR") -> Subscriber:
    """What the store knows of a requester."""
    found = box.store.read_now(partial(subscriber_of, name=name))
    assert found is not None
    return found


async def note(box: Watching, **noted: Subscriber) -> None:
    """Have the store know something else of requesters."""
    await box.store.write(partial(note_subscribers, noted=noted))
