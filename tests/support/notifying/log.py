"""What happens in a box whose event log is followed: made-up events in groups, as a busy box commits them.

`Happening` writes studies that arrive, go on and are proven, and single events between them. `Truth` is the log as it
was committed: everything that any follower may be held against.
"""

import random
from collections.abc import Sequence
from functools import partial
from typing import Final

from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.store.events import append_event
from edged.store.records import Event
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

GROUP: Final = 20
_SINGLE: Final = (
    EventKind.CONDITION_RAISED,
    EventKind.CONDITION_CLEARED,
    EventKind.DESTINATION_UP,
    EventKind.DESTINATION_DOWN,
)

Key = tuple[str, str]
"""What a report tells of an event besides its numbers: its kind, and the instance or subject."""


def key_of(event: Event) -> Key:
    """What names an event: there is one of a kind for an instance."""
    return event.kind, event.sop_instance_uid or event.destination


class Truth:
    """The log as it was committed, by number; what was trimmed is still here."""

    def __init__(self) -> None:
        self.events: dict[int, Event] = {}
        self.numbers: dict[Key, int] = {}
        self.trimmed = 0
        """Up to this number events are not kept any more."""

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return len(self.events)

    def committed(self, number: int, event: Event) -> None:
        """Note what stands in the log now."""
        assert number == self.last + 1, "the log is numbered without gaps"
        self.events[number] = event
        assert self.numbers.setdefault(key_of(event), number) == number

    def wanted(self, kinds: Sequence[str]) -> list[int]:
        """The numbers of the events that a follower of some kinds is told, of all when none are named."""
        return [number for number, event in self.events.items() if not kinds or event.kind in kinds]


class Happening:
    """Makes events and has them committed."""

    def __init__(self, truth: Truth, chance: random.Random) -> None:
        self._truth = truth
        self._chance = chance
        self._made = 0

    async def happen(self, store: Store, bells: Bells, clock: Clock) -> None:
        """Commit what one moment brings; raises StoreError."""
        for events in self._moment(clock):
            for number, event in await store.write(partial(_append, events=events)):
                self._truth.committed(number, event)
            bells.logged.ring()

    def _moment(self, clock: Clock) -> list[list[Event]]:
        self._made += 1
        if self._chance.random() < 0.3:
            kind = self._chance.choice(_SINGLE)
            return [[Event(kind=kind, time=clock.wall(), destination=f"subject-{self._made}", text="as it is")]]
        studies = self._chance.randint(1, 3)
        events = [
            self._bulk(kind, number, number % studies, clock)
            for kind in (EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED)[: self._chance.randint(1, 3)]
            for number in range(self._chance.randint(1, 30))
        ]
        return [events[at : at + GROUP] for at in range(0, len(events), GROUP)]

    def _bulk(self, kind: EventKind, number: int, study: int, clock: Clock) -> Event:
        uid = f"1.2.{self._made}.{study}"
        return Event(
            kind=kind,
            time=clock.wall(),
            instance=number,
            study_instance_uid=uid,
            series_instance_uid=f"{uid}.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            sop_instance_uid=f"{uid}.1.{number}",
            destination="" if kind is EventKind.RECEIVED else "archive",
        )


def _append(txn: Transaction, *, events: Sequence[Event]) -> list[tuple[int, Event]]:
    return [(append_event(txn, event), event) for event in events]
