"""The scrub: reads what is stored, slowly and for ever, and says when bytes are not those that came in.

One instance at a time, paced so that a full store takes about a week, and never in the way: it waits while instances
arrive or leave, though not for ever, so that a box that is never idle is read too. It begins anywhere, so that one that
is switched off every night is read through all the same. What is found bad is handed to the repair, once a pass, and
the condition says of each what can become of it.
"""

import logging
import random
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial

import trio

from edged.dicom.digests import FileDigest
from edged.dicom.scanner import Scan
from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.repair import FAILED, Outcome, Repairer
from edged.store.chunks import READ_CHUNKS, chunk_count, hash_chunks
from edged.store.counters import NEXT_INSTANCE
from edged.store.errors import InstanceGone
from edged.store.events import append_event
from edged.store.instances import all_instances
from edged.store.queue import read_instance
from edged.store.records import Event, Instance
from edged.store.space import OVERHEAD_BYTES
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.store.upload import Upload
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity

log = logging.getLogger(__name__)

PASS_S = 7 * 86_400.0
"""How long a full store takes."""

REST_S = 6 * 3600.0
"""Between the end of one pass and the next, which in an almost empty store would come every few seconds."""

LEAST_PAUSE_S = 0.5
BREATH_S = 0.05
"""After each batch of chunks: about 20 MiB/s at most."""

LOOK_AGAIN_S = 1.0
PATIENCE = 600
"""Looks at a busy store before an instance is read all the same."""

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


class Verdict(Enum):
    """What the bytes of an instance are."""

    GOOD = "good"
    BAD = "bad"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Bad:
    """An instance that was found bad, and what became of its repair; None until that was tried."""

    sop_instance_uid: str
    outcome: Outcome | None = None


class Scrub:
    """Reads one store; knows which instances it found bad since the start."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions, *, bells: Bells, repairer: Repairer) -> None:
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._bells = bells
        self._repairer = repairer
        self._bad: dict[int, Bad] = {}
        self._looked_after: set[int] = set()

    async def keep(self) -> None:
        """Read for ever, from anywhere on; runs until cancelled. Raises StoreError."""
        last = await self._store.read(lambda txn: txn.counter(NEXT_INSTANCE))
        after = random.randrange(last + 1)  # noqa: S311 - any will do
        while True:
            after = await self.step(after)

    async def step(self, after: int) -> int:
        """Read the instance after a number, then pause; return its number, 0 at the end of a pass."""
        found = await self._store.read(partial(_next, after=after))
        if found is None:
            await self._forget_gone()
            await trio.sleep(REST_S)
            return 0
        number, instance = found
        await self._wait_quiet()
        await self.see_to(number, instance)
        await trio.sleep(max(LEAST_PAUSE_S, PASS_S * (instance.size + OVERHEAD_BYTES) / self._store.space.soft_cap))
        return number

    async def see_to(self, number: int, instance: Instance) -> None:
        """Read one instance; if it is bad, say so and have it repaired. Raises StoreError."""
        with self._alone(number) as is_alone:
            if not is_alone:
                return
            verdict = await self.verify(number, instance)
            if verdict is Verdict.BAD:
                await self._repair(number, instance)
            elif self._bad.pop(number, None) is not None:
                self._tell()

    @contextmanager
    def _alone(self, number: int) -> Iterator[bool]:
        """Look after an instance; False when somebody else does: two copies must never be put in place at once."""
        if number in self._looked_after:
            yield False
            return
        self._looked_after.add(number)
        try:
            yield True
        finally:
            self._looked_after.discard(number)

    async def verify(self, number: int, instance: Instance, *, pause: bool = True) -> Verdict:
        """Read one instance and compare it with its digest, slowly or without a pause. Raises StoreError."""
        digest, total = FileDigest(instance.body_offset), chunk_count(instance.size)
        try:
            with self._store.pinned(number):
                for first in range(0, total, READ_CHUNKS):
                    count = min(READ_CHUNKS, total - first)
                    await self._store.read(partial(hash_chunks, digest=digest, number=number, first=first, count=count))
                    if pause:
                        await trio.sleep(LOOK_AGAIN_S if self._store.busy(besides=number) else BREATH_S)
        except InstanceGone:
            present = await self._store.read(partial(read_instance, number=number))
            return Verdict.GONE if present is None else Verdict.BAD
        return Verdict.GOOD if digest.digest() == instance.file_digest else Verdict.BAD

    async def _wait_quiet(self) -> None:
        for _ in range(PATIENCE):
            if not self._store.busy():
                return
            await trio.sleep(LOOK_AGAIN_S)

    async def _repair(self, number: int, instance: Instance) -> None:
        if number not in self._bad and len(self._bad) < KEPT:
            await self._report(number, instance)
        self._note(number, instance, await self._checked(number, await self._repairer.repair(number, instance)))

    @property
    def bad(self) -> Collection[int]:
        """The numbers of the instances that are known to be bad."""
        return self._bad.keys()

    async def mend(self, number: int, instance: Instance, *, scan: Scan, begun: Upload) -> bool:
        """Put the same data set, which was sent again, in the place of a bad one; return whether that was done.

        Raises StoreFull or StoreFailed.
        """
        with self._alone(number) as is_alone:
            if not is_alone or number not in self._bad:
                return False
            outcome = await self._checked(number, await self._repairer.mend(number, instance, scan=scan, begun=begun))
            self._note(number, instance, outcome)
            return outcome is Outcome.REPAIRED

    async def _checked(self, number: int, outcome: Outcome) -> Outcome:
        """Read what was put in place: the copy was on the same disk meanwhile."""
        if outcome is not Outcome.REPAIRED:
            return outcome
        instance = await self._store.read(partial(read_instance, number=number))
        if instance is None:
            return Outcome.GONE
        is_good = await self.verify(number, instance, pause=False) is Verdict.GOOD
        return Outcome.REPAIRED if is_good else Outcome.LATER

    def _note(self, number: int, instance: Instance, outcome: Outcome) -> None:
        if number not in self._bad:
            return
        if outcome in _OVER:
            del self._bad[number]
        else:
            self._bad[number] = Bad(instance.sop_instance_uid, outcome)
        self._tell()

    async def _report(self, number: int, instance: Instance) -> None:
        log.error("instance number %d holds other bytes than were stored", number)
        self._bad[number] = Bad(instance.sop_instance_uid)
        if not self._tell():
            await self._store.write(partial(append_event, event=self._event(instance)))
            self._bells.logged.ring()

    async def _forget_gone(self) -> None:
        """Bad ones that are no longer stored are nobody's trouble."""
        for number in list(self._bad):
            if await self._store.read(partial(read_instance, number=number)) is None:
                del self._bad[number]
        self._tell()

    def _tell(self) -> bool:
        """Raise or clear the condition; return whether that wrote an event."""
        if not self._bad:
            return self._conditions.clear(FAILED)
        return self._conditions.raise_(FAILED, Severity.CRITICAL, _hint(self._bad.values()))

    def _event(self, instance: Instance) -> Event:
        text = f"Damaged in the store: {instance.sop_instance_uid}"
        return Event(kind=EventKind.CONDITION_RAISED, time=self._clock.wall(), destination=FAILED, text=text)


def _next(txn: Transaction, after: int) -> tuple[int, Instance] | None:
    return next(all_instances(txn, after), None)


def _hint(bad: Collection[Bad]) -> str:
    """Say what is bad, by what can become of it, and what to do."""
    sentences = []
    for outcome, telling in _TELLING.items():
        uids = [each.sop_instance_uid for each in bad if each.outcome is outcome]
        if uids:
            more = f" and {len(uids) - NAMED} more" if len(uids) > NAMED else ""
            sentences.append(telling.format(", ".join(uids[-NAMED:]) + more))
    return " ".join([*sentences, _REMEDY])
