"""What the scrub has found bad since the start: which instances, what became of each, and the condition that says so.

The condition stands while there is a bad one, and names what can become of them. An event tells of each, once. Numbers
are kept in memory only, and no more than KEPT of them: after a restart they are found again.
"""

import logging
from collections.abc import Collection, Set
from dataclasses import dataclass
from functools import partial

from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.repair import FAILED, Outcome
from edged.store.events import append_event
from edged.store.queue import read_instance
from edged.store.records import Event, Instance
from edged.store.store import Store
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity

log = logging.getLogger(__name__)

NAMED = 10
"""Of each sort, so that the hint stays short."""
KEPT = 1000

_OVER = frozenset({Outcome.REPAIRED, Outcome.GONE})
_TELLING = {
    None: "Damaged in the store: {}.",
    Outcome.LATER: "Damaged in the store, and asked for again from a destination that committed to them: {}.",
    Outcome.DIFFERS: "Damaged in the store, and what the destination that committed to them gives back is not the same "
    "data set, so that they are not repaired; compare them there: {}.",
    Outcome.ABSENT: "Damaged in the store, and the destination that committed to them says that it does not have them; "
    "send them again from where they came: {}.",
    Outcome.UNCOMMITTED: "Damaged in the store, and no destination has committed to them; send them again from where "
    "they came: {}.",
    Outcome.UNREADABLE: "Damaged in the store where the disk cannot even be read, so that they are not written over; "
    "get them from the archive if it has committed to them: {}.",
}
_REMEDY = "The disk or card is failing: replace it. edged export saves the others."


@dataclass(frozen=True, slots=True)
class Bad:
    """An instance that was found bad, and what became of its repair; None until that was tried."""

    sop_instance_uid: str
    outcome: Outcome | None = None


class Findings:
    """What is known to be bad in one store."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions, *, bells: Bells) -> None:
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._bells = bells
        self._bad: dict[int, Bad] = {}

    @property
    def numbers(self) -> Set[int]:
        """The instance numbers."""
        return self._bad.keys()

    @property
    def full(self) -> bool:
        """Whether no more can be kept."""
        return len(self._bad) >= KEPT

    async def report(self, number: int, instance: Instance) -> None:
        """Say that an instance is bad, if that is news. Raises StoreError; then it is known all the same."""
        if number in self._bad or self.full:
            return
        log.error("instance number %d holds other bytes than were stored", number)
        self._bad[number] = Bad(instance.sop_instance_uid)
        if not self._tell():
            await self._store.write(partial(append_event, event=self._event(instance)))
            self._bells.logged.ring()

    def note(self, number: int, instance: Instance, outcome: Outcome) -> None:
        """Say what became of a bad one."""
        if number not in self._bad:
            return
        if outcome in _OVER:
            del self._bad[number]
        else:
            self._bad[number] = Bad(instance.sop_instance_uid, outcome)
        self._tell()

    def forget(self, number: int) -> None:
        """An instance is good, or gone."""
        if self._bad.pop(number, None) is not None:
            self._tell()

    async def forget_gone(self) -> None:
        """Bad ones that are no longer stored are nobody's trouble."""
        for number in list(self._bad):
            if await self._store.read(partial(read_instance, number=number)) is None:
                self._bad.pop(number, None)
        self._tell()

    def _tell(self) -> bool:
        """Raise or clear the condition; return whether that wrote an event."""
        if not self._bad:
            return self._conditions.clear(FAILED)
        return self._conditions.raise_(FAILED, Severity.CRITICAL, _hint(self._bad.values()))

    def _event(self, instance: Instance) -> Event:
        text = f"Damaged in the store: {instance.sop_instance_uid}"
        return Event(kind=EventKind.CONDITION_RAISED, time=self._clock.wall(), destination=FAILED, text=text)


def _hint(bad: Collection[Bad]) -> str:
    """Say what is bad, by what can become of it, and what to do."""
    sentences = []
    for outcome, telling in _TELLING.items():
        uids = [each.sop_instance_uid for each in bad if each.outcome is outcome]
        if uids:
            more = f" and {len(uids) - NAMED} more" if len(uids) > NAMED else ""
            sentences.append(telling.format(", ".join(uids[-NAMED:]) + more))
    return " ".join([*sentences, _REMEDY])
