"""Who follows the event log under a name: a place that outlives the connection, and one connection at a time.

A place is written some time after it has moved, for all followers in one transaction: to acknowledge costs no flush.
What a power cut takes of it is delivered again, which is at least once. The newest connection of a name has it: the one
before may be a line that was cut and does not know it yet.
"""

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio
from msgspec import structs

from edged.services.event_reports import View
from edged.services.notifications import Position
from edged.services.refusals import Refusals
from edged.store.errors import StoreError
from edged.store.records import Subscriber
from edged.store.schema import MAX_SUBSCRIBERS, MAX_SUBSCRIBERS_OF_ONE
from edged.store.store import Store
from edged.store.subscribers import Room, admit_subscriber, note_subscribers, subscriber_of, subscribers
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions

log = logging.getLogger(__name__)

WRITTEN_AFTER_S = 0.5
PATIENCE_S = 100.0
"""Without an acknowledgement: as long as it takes until a line that has gone silent is found out, three times what a
ping has. To count reports as taken that went into one would lose them."""

AWAY_S = 30 * 86_400.0
"""Of the one that was away for the longest: it gives its place to a new one where there are too many."""

MOST_CHOKED = 3
TOO_BIG = "The report is too big for the requester, which closed with 1009 each time."
"""What stands for the word of one that closes instead of refusing it."""

REFUSAL_CHARACTERS = 500
LEAVE_WITHIN_S = 5.0


class NotYours(Exception):
    """The name belongs to another credential."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A requester that opens a connection; `may_take` whatever name it likes. `after` is where it wants to begin.

    `acknowledges`: whether it says that it does; None where it does not say.
    """

    name: str
    owner: str
    view: View
    newest: int
    after: int | None = None
    acknowledges: bool | None = None
    may_take: bool = False


class Seat:
    """The connection of one requester, as long as no other one has come."""

    def __init__(self, subscribers: "Subscribers", name: str, subscriber: Subscriber, *, view: bytes) -> None:
        self.name = name
        self.replaced = trio.Event()
        self._subscribers = subscribers
        self._known = subscriber
        self._view = view

    @property
    def acknowledges(self) -> bool | None:
        """Whether the requester acknowledges what it gets; None: not known yet."""
        return self._known.acknowledges

    @property
    def position(self) -> Position:
        """Where it goes on."""
        known = self._known
        return Position(known.after, known.until, known.skip) if known.view == self._view else Position(known.after)

    @property
    def is_choked(self) -> bool:
        """Whether it has closed because of a report after its place that was too big for it."""
        return bool(self._known.choked)

    def moved(self, position: Position) -> None:
        """Note how far it has come."""
        here, choked = self.position, self._known.choked
        self._note(
            structs.replace(
                self._known,
                after=position.after,
                until=position.until,
                skip=position.skip,
                view=self._view,
                choked=choked if position == here else 0,
            )
        )

    def choked(self, beyond: Position) -> None:
        """Note that it has closed because of the size of a report; MOST_CHOKED times, and its place is beyond that."""
        self._note(structs.replace(self._known, choked=self._known.choked + 1))
        if self._known.choked >= MOST_CHOKED:
            self.moved(beyond)
            self.answered(TOO_BIG)

    def learned(self, *, acknowledges: bool) -> None:
        """Note whether it acknowledges."""
        if self._known.acknowledges is not acknowledges:
            self._note(structs.replace(self._known, acknowledges=acknowledges))

    def waited(self, seconds: float) -> None:
        """Note that it had reports for some time and has acknowledged none; PATIENCE_S in sum is a plain requester."""
        if self.acknowledges is None:
            total = self._known.waited + seconds
            plain = False if total >= PATIENCE_S else None
            self._note(structs.replace(self._known, waited=total, acknowledges=plain))

    def answered(self, refusal: str | None) -> None:
        """Note what it has said of a report: why it refuses it, or None."""
        known = self._known
        if refusal is not None:
            said = "".join(each if each.isprintable() else " " for each in refusal[:REFUSAL_CHARACTERS])
            self._note(structs.replace(known, refused=known.refused + 1, refusal=said, refuses=True))
        elif known.refuses:
            self._note(structs.replace(known, refuses=False))
        if not self.replaced.is_set():
            self._subscribers.refusals.answered(self.name, taken=refusal is None)

    async def leave(self) -> None:
        """Give the place back, written; takes LEAVE_WITHIN_S seconds at most."""
        self._note(self._known)  # it was seen until now
        with trio.move_on_after(LEAVE_WITHIN_S, shield=True):
            await self._subscribers.leave(self)

    def _note(self, subscriber: Subscriber) -> None:
        self._known = subscriber
        if not self.replaced.is_set():
            self._subscribers.note(self.name, subscriber)


class Subscribers:
    """All who follow under a name."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions) -> None:
        self.refusals = Refusals(conditions)
        self._store = store
        self._clock = clock
        self._seats: dict[str, Seat] = {}
        self._noted: dict[str, Subscriber] = {}
        self._moved = trio.Event()
        self._writing = trio.Lock()

    @property
    def connected(self) -> frozenset[str]:
        """The names of those that are here."""
        return frozenset(self._seats)

    async def take(self, arrival: Arrival) -> Seat:
        """Give a requester its place; whoever had it is told. Raises NotYours, NoRoomForSubscriber and StoreError."""
        await self._write()  # what an earlier connection of it has taken
        now = self._clock.wall()
        begin = arrival.newest if arrival.after is None else arrival.after
        new = Subscriber(after=begin, since=now, seen=now, owner=arrival.owner)
        admit = partial(_admit, arrival=arrival, new=new, away_before=now - AWAY_S, here=self.connected)
        async with self._writing:  # what is noted meanwhile stays there
            subscriber = await self._store.write(admit)
        if (before := self._seats.get(arrival.name)) is not None:
            before.replaced.set()
        subscriber = self._noted.get(arrival.name, subscriber)
        seat = self._seats[arrival.name] = Seat(self, arrival.name, subscriber, view=arrival.view.digest)
        if arrival.after is not None:
            seat.moved(Position(arrival.after))
        if arrival.acknowledges is not None:
            seat.learned(acknowledges=arrival.acknowledges)
        return seat

    async def leave(self, seat: Seat) -> None:
        """Write where a requester is whose connection has ended."""
        if self._seats.get(seat.name) is seat:
            del self._seats[seat.name]
        with suppress(StoreError):
            await self._write()

    def note(self, name: str, subscriber: Subscriber) -> None:
        """Have it written soon."""
        self._noted[name] = structs.replace(subscriber, seen=self._clock.wall())
        self._moved.set()

    async def keep(self) -> None:
        """Write what has moved, and tell of who refuses; runs until cancelled."""
        with suppress(StoreError):  # its condition says more than theirs
            for name, subscriber in (await self._store.read(subscribers)).items():
                if subscriber.refuses:
                    self.refusals.answered(name, taken=False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.refusals.keep)
            await self._keep_written()

    async def _keep_written(self) -> None:
        while True:
            while not self._noted:
                self._moved = trio.Event()
                await self._moved.wait()
            await trio.sleep(WRITTEN_AFTER_S)
            try:
                await self._write()
            except StoreError as error:
                log.info("where followers of the event log are could not be written: %s", error)
                await trio.sleep(WRITTEN_AFTER_S)

    async def _write(self) -> None:
        """Write what was noted; what is noted meanwhile is for the next time."""
        async with self._writing:
            noted = dict(self._noted)
            if noted:
                await self._store.write(partial(note_subscribers, noted=noted))
            for name, subscriber in noted.items():
                if self._noted.get(name) is subscriber:
                    del self._noted[name]


def _admit(
    txn: Transaction, arrival: Arrival, new: Subscriber, *, away_before: float, here: Collection[str]
) -> Subscriber:
    known = subscriber_of(txn, arrival.name)
    if known is not None and known.owner != arrival.owner and not arrival.may_take:
        raise NotYours
    most = MAX_SUBSCRIBERS if arrival.may_take else MAX_SUBSCRIBERS_OF_ONE
    return admit_subscriber(txn, arrival.name, new, room=Room(away_before, most), here=here)
