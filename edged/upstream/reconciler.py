"""Proving again what is committed: a sample all the time, and what is next to be let go, while the destination answers.

The sample walks through what is here and through what is remembered of what was let go, a share of each a day, from a
random place after a start; what was not shown is looked for again until that is settled. An outage proves nothing and
blocks nothing (DESIGN §5). What a look means is `reproof`'s, what follows a loss `losses`'.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

from edged.config import CredentialError
from edged.store.commit_memory import recall
from edged.store.committed import (
    committed_before_eviction,
    committed_here,
    count_here,
    count_remembered,
    somewhere_here,
    somewhere_remembered,
)
from edged.store.errors import StoreError
from edged.store.queue import read_instance
from edged.store.records import CommitRecord, Delivery, DeliveryState, Instance
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.upstream.auth_fault import hold_without_credential
from edged.upstream.destination import Destination
from edged.upstream.leaving import in_either_form
from edged.upstream.look import Looker
from edged.upstream.losses import Losses, is_lost
from edged.upstream.proofs import wait_for
from edged.upstream.reproof import LATELY_S, Reproof
from edged.upstream.sampling import MOST_AT_ONCE, Allowance

log = logging.getLogger(__name__)

LEAST_PAUSE_S = 1.0
MOST_PAUSE_S = 600.0
FAILED_S = 30.0


class Reconciler:
    """Proves again what one destination has committed to."""

    def __init__(self, destination: Destination, looker: Looker) -> None:
        self._destination = destination
        self._reproof = Reproof(destination, looker)
        self._losses = Losses(destination)
        self._here = Allowance(destination.now())
        self._remembered = Allowance(destination.now())
        self._places: tuple[bytes, bytes] | None = None
        self._next_s = 0.0

    @property
    def doubted(self) -> Collection[int]:
        """The numbers of the instances that were not shown when they were last looked for, while others were."""
        return self._reproof.doubted

    async def keep(self) -> None:
        """Prove for ever."""
        while True:
            logged, gathered_s = self._destination.box.bells.logged.next, self._destination.box.gathered_s()
            now = self._destination.now()
            if now >= self._next_s:
                self._next_s = now + FAILED_S
                await self._guarded(self._step)
            pause = max(LEAST_PAUSE_S, self._next_s - self._destination.now())
            await wait_for(logged, pause, gathered_s=gathered_s)

    async def prove_again(self, numbers: Sequence[int], *, within_s: float) -> None:
        """Ask for what is next to be let go, and take back what is not there any more; no longer than `within_s`."""
        await self._guarded(partial(self._prove_again, numbers, within_s))

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        name = self._destination.name
        try:
            await step()
        except CredentialError as error:
            hold_without_credential(self._destination, error)
        except StoreError as error:
            log.info("proving again at %s: %s", name, error)
        except Exception:
            log.exception("proving again at %s failed", name)

    async def _prove_again(self, numbers: Sequence[int], within_s: float) -> None:
        if not self._reproof.answers():
            return
        sought = await self._destination.box.store.read(partial(self._committed, numbers=numbers))
        asked = {number: each for number, each in sought.items() if not self._reproof.seen_lately(number)}
        await self._ask(asked, within_s=within_s)

    async def _step(self) -> None:
        """Look for what is due: suspects, and a part of the sample."""
        await self._losses.tell()
        pauses = [MOST_PAUSE_S if await self._losses.recall() else LEAST_PAUSE_S]
        if self._reproof.answers():
            await self._ask(await self._suspects())
            pauses.append(await self._sample())
        now, again_s = self._destination.now(), self._reproof.next_due_s()
        if again_s is not None:
            pauses.append(again_s - now)
        self._next_s = now + max(LEAST_PAUSE_S, min(pauses))

    async def _ask(self, sought: Mapping[int, Instance], *, within_s: float = float("inf")) -> None:
        if not sought:
            return
        lost = await self._reproof.ask(sought, within_s=within_s)
        if not lost:
            return
        log.info("%s no longer shows %d of the instances that it had committed to", self._destination.name, len(lost))
        await self._losses.take_back(lost)
        for number in lost:
            self._reproof.forget(number)

    async def _suspects(self) -> dict[int, Instance]:
        """What was not shown and is to be looked for again; who moved on is none any more."""
        due = dict(list(self._reproof.due().items())[:MOST_AT_ONCE])
        if not due:
            return {}
        found = await self._destination.box.store.read(partial(self._sought, due=due))
        for number in due.keys() - found.keys():
            self._reproof.forget(number)
        return found

    async def _sample(self) -> float:
        """Look for the next of the sample, as many as the share allows by now; return the seconds until more."""
        share, now, store = self._destination.box.reconcile, self._destination.now(), self._destination.box.store
        here, remembered = await store.read(lambda txn: (share * count_here(txn), share * count_remembered(txn)))
        self._here = self._here.later(now, a_day=here)
        self._remembered = self._remembered.later(now, a_day=remembered)
        looks = int(self._here.looks), int(self._remembered.looks)
        self._here, self._remembered = self._here.spent(looks[0]), self._remembered.spent(looks[1])
        if any(looks):
            await self._ask(await store.read(partial(self._drawn, looks=looks)))
        return min(self._here.wait_s(a_day=here), self._remembered.wait_s(a_day=remembered))

    def _drawn(self, txn: Transaction, looks: tuple[int, int]) -> dict[int, Instance]:
        """Walk on, so many rows of what is here and of what is remembered."""
        number, now = self._destination.number, self._destination.box.clock.wall()
        if self._places is None:
            place = random.random()  # noqa: S311 - where a walk begins
            self._places = somewhere_here(txn, place), somewhere_remembered(txn, place, now=now)
        here, remembered = self._places
        found: dict[int, Instance] = {}
        gone: dict[str, CommitRecord] = {}
        if looks[0]:
            found, here = committed_here(txn, number, after=here, limit=looks[0])
        if looks[1]:
            gone, remembered = committed_before_eviction(txn, number, after=remembered, limit=looks[1])
        self._places = here, remembered
        lost = {each.number: uid for uid, each in gone.items() if is_lost(txn, each.number, uid, destination=number)}
        self._losses.remembered(lost)
        return found | {each.number: as_it_was(uid, each) for uid, each in gone.items() if not each.lost}

    def _sought(self, txn: Transaction, due: Mapping[int, str]) -> dict[int, Instance]:
        """Those that are still committed to here, and those that are remembered."""
        found = self._here_still(txn, due)
        for number in due.keys() - found.keys():
            record = recall(txn, due[number])
            if record is not None and record.number == number and not record.lost:
                found[number] = as_it_was(due[number], record)
        return found

    def _committed(self, txn: Transaction, numbers: Sequence[int]) -> dict[int, Instance]:
        """Those of the instances that it has committed to, but not just now."""
        clock = self._destination.box.clock
        before = clock.wall() - LATELY_S if clock.trusted() else float("inf")
        return self._here_still(txn, numbers, before=before)

    def _here_still(
        self, txn: Transaction, numbers: Collection[int], before: float = float("inf")
    ) -> dict[int, Instance]:
        found: dict[int, Instance] = {}
        for number in numbers:
            delivery, instance = read_delivery(txn, number, self._destination.number), read_instance(txn, number)
            if instance is not None and _committed(delivery, before):
                found[number] = in_either_form(instance, self._destination.settings)
        return found


def _committed(delivery: Delivery | None, before: float) -> bool:
    return delivery is not None and delivery.state is DeliveryState.COMMITTED and delivery.since <= before


def as_it_was(sop_instance_uid: str, record: CommitRecord) -> Instance:
    """What can be looked for of an instance that was let go: where it belongs, and of which class it is."""
    return Instance(
        sop_instance_uid=sop_instance_uid,
        sop_class_uid=record.sop_class_uid,
        study_instance_uid=record.study_instance_uid,
        series_instance_uid=record.series_instance_uid,
        transfer_syntax_uid="",
        size=0,
        dataset_offset=0,
        body_offset=0,
        exit_length=0,
        file_digest=b"",
        dataset_digest=record.dataset_digest,
        received=0.0,
        intake="",
        destinations=tuple(record.proofs),
        required=tuple(record.proofs),
        attributes={},
    )
