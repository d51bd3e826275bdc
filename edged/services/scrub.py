"""The scrub: reads what is stored, slowly and for ever, and says when bytes are not those that came in.

One instance at a time, paced so that a full store takes about a week, and never in the way: it waits while instances
arrive or leave, though not for ever, so that a box that is never idle is read too. It begins anywhere, so that one that
is switched off every night is read through all the same. What is found bad is handed to the repair, once a pass, and
the condition says of each what can become of it (`findings`).

What a reader could not read is a suspect and looked at at once, at the pace of a reader; until then nobody takes it for
stored. One that is known to be bad already is left to the next pass.
"""

import random
from collections.abc import Iterator, Set
from contextlib import contextmanager
from enum import Enum
from functools import partial

import trio

from edged.dicom.digests import FileDigest
from edged.dicom.scanner import Scan
from edged.services.bell import Bells
from edged.services.findings import Findings
from edged.services.repair import Outcome, Repairer
from edged.store.chunks import READ_CHUNKS, chunk_count, hash_chunks
from edged.store.counters import NEXT_INSTANCE
from edged.store.errors import InstanceGone
from edged.store.instances import all_instances
from edged.store.queue import read_instance
from edged.store.records import Instance
from edged.store.space import OVERHEAD_BYTES
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.store.upload import Upload
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions

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


class Verdict(Enum):
    """What the bytes of an instance are."""

    GOOD = "good"
    BAD = "bad"
    GONE = "gone"


class Scrub:
    """Reads one store; knows which instances it found bad since the start."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions, *, bells: Bells, repairer: Repairer) -> None:
        self._store = store
        self._findings = Findings(store, clock, conditions, bells=bells)
        self._repairer = repairer
        self._looked_after: set[int] = set()

    @property
    def bad(self) -> Set[int]:
        """The numbers of the instances that are known to be bad."""
        return self._findings.numbers

    @property
    def doubted(self) -> Set[int]:
        """The numbers of those that are known to be bad, and of the suspects that nobody has looked at yet."""
        return self.bad | self._store.suspects.numbers

    async def keep(self) -> None:
        """Read for ever, from anywhere on; runs until cancelled. Raises StoreError."""
        last = await self._store.read(lambda txn: txn.counter(NEXT_INSTANCE))
        after = random.randrange(last + 1)  # noqa: S311 - any will do
        while True:
            after = await self.step(after)

    async def keep_judging(self) -> None:
        """Look at each suspect as soon as it is one; runs until cancelled. Raises StoreError."""
        while True:
            await self._store.suspects.wait()
            for number in sorted(self._store.suspects.numbers):
                await self._judge_suspect(number)

    async def step(self, after: int) -> int:
        """Read the instance after a number, then pause; return its number, 0 at the end of a pass."""
        await self._wait_quiet()
        found = await self._store.read(partial(_next, after=after))
        if found is None:
            await self._findings.forget_gone()
            await trio.sleep(REST_S)
            return 0
        number, instance = found
        await self.see_to(number, instance)
        await trio.sleep(max(LEAST_PAUSE_S, PASS_S * (instance.size + OVERHEAD_BYTES) / self._store.space.soft_cap))
        return number

    async def see_to(self, number: int, instance: Instance, *, pause: bool = True) -> bool:
        """Read one instance; if it is bad, say so and have it repaired. Raises StoreError.

        Returns False when nothing was done because somebody else looks after it.
        """
        with self._alone(number) as is_alone:
            if is_alone and await self._judge(number, instance, pause=pause) is Verdict.BAD:
                outcome = await self._checked(number, await self._repairer.repair(number, instance))
                self._findings.note(number, instance, outcome)
            return is_alone

    async def mend(self, number: int, instance: Instance, *, scan: Scan, begun: Upload) -> bool:
        """Put the same data set, which was sent again, in the place of a doubted one that is bad.

        Returns whether what is stored is good then; a suspect that is good is left as it is. Raises StoreFull or
        StoreFailed.
        """
        with self._alone(number) as is_alone:
            if not is_alone:
                return False
            known = number in self.bad
            verdict = Verdict.BAD if known else await self._judge(number, instance, pause=False)
            if verdict is not Verdict.BAD:
                return verdict is Verdict.GOOD
            outcome = await self._checked(number, await self._repairer.mend(number, instance, scan=scan, begun=begun))
            self._findings.note(number, instance, outcome)
            return outcome is Outcome.REPAIRED

    async def _judge_suspect(self, number: int) -> None:
        """Look at one that is news; what is known, or too many, must not be read whenever a reader trips over it."""
        instance = await self._store.read(partial(read_instance, number=number))
        if instance is None or number in self.bad or self._findings.full:
            self._store.suspects.discard(number)
        elif not await self.see_to(number, instance, pause=False):
            await trio.sleep(LOOK_AGAIN_S)

    async def _judge(self, number: int, instance: Instance, *, pause: bool) -> Verdict:
        """Read one instance, and say so if it is bad; in any case it is no suspect any more."""
        verdict = await self.verify(number, instance, pause=pause)
        if verdict is Verdict.BAD:
            await self._findings.report(number, instance)
        else:
            self._findings.forget(number)
        self._store.suspects.discard(number)
        return verdict

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

    async def _checked(self, number: int, outcome: Outcome) -> Outcome:
        """Read what was put in place: the copy was on the same disk meanwhile."""
        if outcome is not Outcome.REPAIRED:
            return outcome
        instance = await self._store.read(partial(read_instance, number=number))
        if instance is None:
            return Outcome.GONE
        is_good = await self.verify(number, instance, pause=False) is Verdict.GOOD
        return Outcome.REPAIRED if is_good else Outcome.LATER


def _next(txn: Transaction, after: int) -> tuple[int, Instance] | None:
    return next(all_instances(txn, after), None)
