"""A box that forwards, in process: the real store and all of `upstream` over real sockets, on a clock that tests move.

Sockets are real, so time cannot be virtual as in trio's autojump clock. But every due time of the forwarder
is of the box's clock, and whoever waits for one also wakes up by a bell: `until` moves the clock, rings, and lets
everything run until it is quiet. Leaving the block cuts everything off where it is, as SIGKILL would; a second block
over the same folder is the restart.
"""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.destinations import Routes, load_routes
from edged.services.journal import Journal
from edged.services.repair import Holder
from edged.services.retention import Reprover
from edged.services.routing import Source, routing_for
from edged.services.state import StateService
from edged.services.store_instance import Accepted, FrontDoor
from edged.store.events import read_events
from edged.store.instances import find_instance
from edged.store.queue import figures
from edged.store.records import Delivery, DeliveryState, Event
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import DestinationLive, Live
from edged.upstream.destination import Surroundings
from edged.upstream.dial import Connector
from edged.upstream.forwarder import forward
from tests.support.box_kit import require_whole, settings_for
from tests.support.stow_kit import Named, made

WITHIN_S = 30.0
QUIET_S = 0.01


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The parts of a box that forwards."""

    store: Store
    routes: Routes
    clock: ManualClock
    conditions: Conditions
    live: Live
    bells: Bells
    door: FrontDoor
    state: StateService
    surroundings: Surroundings

    @property
    def holders(self) -> Mapping[int, Holder]:
        """Who can be asked for instances, by the ids of the destinations."""
        return self.surroundings.holders

    @property
    def archive(self) -> Reprover:
        """Who asks the destination "archive" for what it has committed to."""
        return self.surroundings.reprovers[self.routes.ids["archive"]]

    async def take(self, *files: bytes) -> list[str]:
        """Admit files; their SOP Instance UIDs, in order."""
        uids = []
        for data in files:
            reservation = self.store.space.open(len(data))
            receiving = self.door.receive(Source("test"), reservation)
            await receiving.feed(data)
            accepted = await receiving.admit()
            await receiving.close()
            reservation.close()
            assert isinstance(accepted, Accepted), accepted
            uids.append(accepted.sop_instance_uid)
        return uids

    async def take_made(self, *names: Named, **how: Any) -> list[str]:
        """Admit made-up instances."""
        return await self.take(*(made(name, **how) for name in names))

    def numbers(self, *uids: str) -> list[int]:
        """The instance numbers."""
        found = [self.store.read_now(partial(find_instance, sop_instance_uid=uid)) for uid in uids]
        return [each[0] for each in found if each is not None]

    def delivery(self, uid: str, destination: str = "archive") -> Delivery:
        """How far an instance is."""
        [number] = self.numbers(uid)
        there = self.routes.ids[destination]
        delivery = self.store.read_now(partial(read_delivery, number=number, destination=there))
        assert delivery is not None
        return delivery

    def at(self, destination: str = "archive") -> Counter[str]:
        """How many instances are in which state, none left out, zeros not shown."""
        number = self.routes.ids[destination]
        rows = {
            state.name.lower(): self.store.read_now(partial(figures, destination=number, state=state)).rows
            for state in DeliveryState
        }
        return +Counter(rows)

    def condition_names(self) -> set[str]:
        """What stands."""
        return {each.name for each in self.conditions.snapshot()}

    def stands(self, destination: str = "archive") -> DestinationLive:
        """What is told of a destination."""
        return self.live.destinations[destination]

    def events(self, kind: EventKind | None = None) -> list[Event]:
        """The event log, or its events of one kind."""
        found = self.store.read_now(partial(read_events, after=0, limit=100_000))
        return [event for _, event in found if kind in {None, event.kind}]

    async def until(self, holds: Callable[[], bool], *, step_s: float = 0.0) -> None:
        """Let the box run until something holds, `step_s` seconds of its clock passing each time it is quiet."""
        with trio.move_on_after(WITHIN_S):
            while not holds():
                await self.pass_time(step_s)
            return
        pytest.fail(f"it never held: {dict(self.at())}, {self.condition_names()}, {dict(self.live.destinations)}")

    async def pass_time(self, seconds: float) -> None:
        """Let time pass and the box do what is due."""
        self.clock.advance(seconds)
        self.bells.arrived.ring()
        self.bells.logged.ring()
        with trio.fail_after(WITHIN_S):
            await trio.testing.wait_all_tasks_blocked(QUIET_S)


def destination(url: str, name: str = "archive", **keys: str) -> str:
    """A [[destination]] section; values are TOML."""
    lines = [f'name = "{name}"', f'url = "{url}"', *(f"{key} = {value}" for key, value in keys.items())]
    return "[[destination]]\n" + "\n".join(lines) + "\n"


@asynccontextmanager
async def forwarding(
    folder: Path,
    config: str,
    clock: ManualClock | None = None,
    *,
    keep: bool = False,
    inline: bool = True,
    connector: Connector | None = None,
) -> AsyncIterator[Forwarding]:
    """A box that forwards; at the end of the block it is cut off, its store checked and, unless `keep`, removed.

    With `inline` the store works in the event loop's thread, so that "quiet" is exact; without it as in the daemon.
    `connector` leads elsewhere than to sockets.
    """
    settings = settings_for(folder, config)
    clock = clock or ManualClock()
    async with open_store(settings.box.data_dir, settings.store.capacity_bytes, inline=inline) as store:
        routes = await load_routes(store, settings.destinations)
        conditions, live, bells = Conditions(clock), Live(), Bells()
        journal = Journal(store, clock, bells)
        conditions.listen(journal.condition_turned)
        live.watch_destinations(journal.destination_changed)
        door = FrontDoor(store, routing_for(routes, settings.routes), clock, conditions=conditions, bells=bells)
        state = StateService(store, settings, routes, clock=clock, live=live)
        surroundings = Surroundings(store, clock, live=live, conditions=conditions, bells=bells)
        surroundings.gather_s = 0.0
        surroundings.connector = connector or surroundings.connector
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.keep)
            nursery.start_soon(forward, routes, settings.destinations, surroundings)
            await trio.testing.wait_all_tasks_blocked()
            yield Forwarding(store, routes, clock, conditions, live, bells, door, state, surroundings)
            nursery.cancel_scope.cancel()
        require_whole(store)
    if not keep:
        shutil.rmtree(settings.box.data_dir)
