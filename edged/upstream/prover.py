"""Turning `sent` into `committed`: the proofs that the settings list, strongest first (DICOM.md §6).

A kind of proof that is not listed is never used. A destination that does not offer the strongest one is asked again
for it now and then; meanwhile the next listed one serves. What none can prove stays sent, under a condition.
"""

import logging
import random
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from edged.config import CredentialError
from edged.config.choices import Proof
from edged.store.errors import StoreError
from edged.store.queue import Waiting, move, read_delivery, read_instance, waiting
from edged.store.records import Delivery, DeliveryState, Instance
from edged.store.transaction import Transaction
from edged.upstream.asker import Asker
from edged.upstream.commitment_values import Commitment, CommitmentVerdict
from edged.upstream.destination import Destination
from edged.upstream.look import Finding, Looker, compare
from edged.upstream.outcomes import DAY_S, RESENDS
from edged.upstream.proofs import commit, park_sent, wait_for
from edged.upstream.retry import Backoff, BreakerState, Pace

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Instances proven in one round."""

GATHER_S = 0.25
"""How long to let arrivals gather before asking."""

LOOK_AGAIN = Pace(base_s=1.0, factor=2.0, cap_s=300.0, least=0.5)
_SENT = (DeliveryState.SENT,)


class Prover:
    """Proves what one destination has taken."""

    def __init__(self, destination: Destination, looker: Looker, asker: Asker) -> None:
        self._destination = destination
        self._looker = looker
        self._asker = asker
        self._due: dict[int, Backoff] = {}
        self._resends: dict[int, int] = {}

    async def work(self) -> None:
        """Prove for ever."""
        destination = self._destination
        await self._asker.resume()
        while True:
            logged = destination.box.bells.logged.next
            try:
                pause = await self._round()
            except (StoreError, CredentialError) as error:
                log.info("proving at %s: %s", destination.name, error)
                pause = 30.0
            except Exception:
                log.exception("proving at %s failed", destination.name)
                pause = 30.0
            await wait_for(logged, pause, gather_s=GATHER_S)

    async def _round(self) -> float:
        """Do what can be done now; return the seconds until there may be more."""
        destination, now = self._destination, self._destination.now()
        if destination.breaker.state is not BreakerState.CLOSED:
            return destination.next_try_s()
        leftovers, next_asked = await self._asker.check()
        for number, verdict in leftovers:
            await self._left(number, verdict)
        excluded = self._asker.asked | {number for number, each in self._due.items() if not each.due(now)}
        rows = await destination.box.store.read(
            partial(waiting, destination=destination.number, state=DeliveryState.SENT, leased=excluded, limit=AT_ONCE)
        )
        if rows and await self._prove(rows):
            return 0.0
        times = [next_asked, *(each.due_s for each in self._due.values())]
        return max(0.05, min((at for at in times if at is not None), default=now + 60.0) - destination.now())

    async def _prove(self, rows: Sequence[Waiting]) -> bool:
        """Use the strongest kind of proof that is to be had; return whether to go on at once."""
        kinds = self._destination.settings.commitment
        if Proof.DICOMWEB in kinds and self._asker.offered():
            if self._asker.full:
                return False
            await self._asker.ask(rows)
            return True
        if Proof.SEARCH in kinds:
            await self._search(rows)
        elif Proof.STORED in kinds:
            await self._commit([row.number for row in rows], Proof.STORED)
            return len(rows) == AT_ONCE
        else:
            self._no_proof()
            self._postpone([row.number for row in rows])
        return False

    async def _left(self, number: int, verdict: CommitmentVerdict) -> None:
        """What a commitment result says of an instance that it does not commit (PS3.3 C.14.1.1)."""
        match verdict.kind:
            case Commitment.PARK:
                text = f"commitment refused: {verdict.reason or 0:04X}H"
                await park_sent(self._destination, number, reason=verdict.reason, text=text)
            case Commitment.RESEND:
                await self._look(number)
            case Commitment.NEW_UID:
                self._due.pop(number, None)
            case _:
                self._postpone([number])

    async def _look(self, number: int) -> None:
        """It says that it does not have the instance: that counts once it cannot be seen for long enough."""
        instance = await self._destination.box.store.read(partial(read_instance, number=number))
        if instance is not None:
            await self._unproven(number, await self._looker.look(instance))

    def _no_proof(self) -> None:
        hint = (
            "It does not offer storage commitment, and [[destination]] commitment lists no other kind of proof. "
            'Add "search" (or "stored") to the list if that is proof enough; until then nothing is evicted.'
        )
        self._destination.raise_condition("no-proof", hint, lasting=True)

    async def _search(self, rows: Sequence[Waiting]) -> None:
        """Prove by search: one request a series, then one an instance for what it did not show."""
        instances = await self._destination.box.store.read(partial(_instances, rows=rows))
        ordered = sorted(instances.items(), key=lambda each: _series(each[1]))
        proven: list[int] = []
        for (study, series), members in groupby(ordered, key=lambda each: _series(each[1])):
            shown = await self._looker.series(study, series)
            for number, instance in members:
                found = shown.get(instance.sop_instance_uid)
                finding = compare(found, instance) if found else await self._looker.look(instance)
                if finding is Finding.THERE:
                    proven.append(number)
                else:
                    await self._unproven(number, finding)
        if proven:
            await self._commit(proven, Proof.SEARCH)
            self._destination.box.conditions.clear(f"no-proof:{self._destination.name}")

    async def _unproven(self, number: int, finding: Finding) -> None:
        """Look again later; what is not to be seen after `visible_within` is sent again (DICOM.md §5)."""
        destination = self._destination
        if finding is Finding.DIFFERS:
            hint = "What it shows under an instance's UID is not what was sent. Compare with edged explain."
            destination.raise_condition("proof-differs", hint, lasting=True)
        elif finding is Finding.ABSENT and await self._overdue(number):
            await self.send_again(number)
            return
        self._postpone([number])

    async def _overdue(self, number: int) -> bool:
        destination = self._destination
        delivery = await destination.box.store.read(
            partial(read_delivery, number=number, destination=destination.number)
        )
        sent_at = delivery.sent_at if delivery else destination.box.clock.wall()
        return destination.box.clock.wall() - sent_at >= destination.settings.visible_within_s

    async def send_again(self, number: int) -> None:
        """Put an instance that the destination does not have back into the queue; the third time it waits a day."""
        destination = self._destination
        resends = self._resends[number] = self._resends.get(number, 0) + 1
        if resends >= RESENDS:
            hint = "It answers stored and never shows the instance. Ask whoever runs the archive; it is tried daily."
            destination.raise_condition("stored-not-visible", hint, lasting=True)
            destination.notebook.refused(number, due_s=destination.now() + DAY_S)
        held = Delivery(state=DeliveryState.HELD, since=destination.box.clock.wall(), text="not to be seen; sent again")
        await destination.box.store.write(
            partial(move, number=number, destination=destination.number, expected=_SENT, to=held)
        )
        self._due.pop(number, None)
        destination.box.bells.arrived.ring()

    async def _commit(self, numbers: Sequence[int], proof: Proof) -> None:
        await commit(self._destination, numbers, proof)
        for number in numbers:
            self._due.pop(number, None)
            self._resends.pop(number, None)

    def _postpone(self, numbers: Sequence[int]) -> None:
        now = self._destination.now()
        for number in numbers:
            backoff = self._due.get(number, Backoff(LOOK_AGAIN))
            self._due[number] = backoff.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311


def _instances(txn: Transaction, rows: Sequence[Waiting]) -> dict[int, Instance]:
    found = {row.number: read_instance(txn, row.number) for row in rows}
    return {number: instance for number, instance in found.items() if instance is not None}


def _series(instance: Instance) -> tuple[str, str]:
    return instance.study_instance_uid, instance.series_instance_uid
