"""Turning `sent` into `committed`: the proofs that the settings list, strongest first (DICOM.md §6).

A kind of proof that is not listed is never used. A destination that does not offer the strongest one is asked again
for it now and then; meanwhile the next listed one serves. What none can prove stays sent, under a condition.
"""

import logging
import random
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby

from edged.config import CredentialError
from edged.config.choices import Proof
from edged.store.errors import StoreError
from edged.store.queue import move, read_delivery, read_instance
from edged.store.records import Delivery, DeliveryState, Instance
from edged.store.transaction import Transaction
from edged.store.waiting import Waiting, waiting
from edged.upstream.asker import Asker
from edged.upstream.commitment_values import Commitment, CommitmentVerdict
from edged.upstream.destination import Destination
from edged.upstream.look import Finding, Looker, compare
from edged.upstream.moves import SENT
from edged.upstream.outcomes import NOT_VISIBLE, NOT_VISIBLE_HINT, RESENDS
from edged.upstream.parking import Parking
from edged.upstream.proofs import LOOK_AGAIN, NO_PROOF, Looks, commit, wait_for
from edged.upstream.retry import Backoff
from edged.upstream.verdict_values import Kind, Verdict

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Instances proven in one round."""

FAILED_S = 30.0
LEAST_PAUSE_S = 0.05
MOST_PAUSE_S = 60.0
LEAST_LOOKS = 3
"""Looks in vain before "not there" can be a verdict, however late the first one came."""

UNTOLD = 3
"""Instances in a row that neither retrieve nor search says anything of: it answers neither."""

_NO_COMMITMENT = (
    "It does not offer storage commitment, and [[destination]] commitment lists no other kind of proof. "
    'Add "search" (or "stored") to the list if that is proof enough; until then nothing is evicted.'
)
_NO_SEARCH = (
    "It answers neither search nor retrieve, and offers no stronger proof that [[destination]] commitment lists. "
    'Add "stored" to the list if that is proof enough; until then nothing is evicted.'
)


class Prover:
    """Proves what one destination has taken."""

    def __init__(self, destination: Destination, looker: Looker, asker: Asker, *, parking: Parking) -> None:
        self._destination = destination
        self._parking = parking
        self._looker = looker
        self._asker = asker
        self._looks = Looks()
        self._silence = Backoff(LOOK_AGAIN)
        self._resumed = False

    async def work(self) -> None:
        """Prove for ever."""
        destination = self._destination
        while True:
            logged = destination.box.bells.logged.next
            try:
                pause = await self._round()
            except (StoreError, CredentialError) as error:
                log.info("proving at %s: %s", destination.name, error)
                pause = FAILED_S
            except Exception:
                log.exception("proving at %s failed", destination.name)
                pause = FAILED_S
            await wait_for(logged, pause, gather_s=destination.box.gather_s)

    async def _round(self) -> float:
        """Do what can be done now; return the seconds until there may be more."""
        destination, looks = self._destination, self._looks
        if not self._resumed:
            await self._asker.resume()
            self._resumed = True
        if not self._silence.due(destination.now()):
            return max(LEAST_PAUSE_S, self._silence.due_s - destination.now())
        for number, verdict in await self._asker.check():
            await self._left(number, verdict)
        if self._asker.silent:
            return self._silent()
        if self._asker.silent is False:
            self._silence = Backoff(LOOK_AGAIN)
        excluded = self._asker.asked | looks.waiting(destination.now())
        rows = await destination.box.store.read(
            partial(waiting, destination=destination.number, state=DeliveryState.SENT, leased=excluded, limit=AT_ONCE)
        )
        rows = [row for row in rows if looks.may_try(row.number)]
        if rows and await self._prove(rows):
            return 0.0
        now = destination.now()
        times = (self._asker.next_due_s, looks.next_due_s(now), self._silence.due_s or None)
        return max(LEAST_PAUSE_S, min((at for at in times if at is not None), default=now + MOST_PAUSE_S) - now)

    def _silent(self) -> float:
        """It gives no answer: nothing is asked for a while, and nobody is the worse for it."""
        now = self._destination.now()
        self._silence = self._silence.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311 - jitter
        return max(LEAST_PAUSE_S, self._silence.due_s - now)

    async def _prove(self, rows: Sequence[Waiting]) -> bool:
        """Use the strongest kind of proof that is to be had; return whether to go on at once."""
        kinds = self._destination.settings.commitment
        if Proof.DICOMWEB in kinds and self._asker.offered():
            if self._asker.full:
                return False
            await self._asker.ask(rows[: self._destination.settings.commitment_instances])
            return True
        if Proof.SEARCH in kinds:
            await self._search(rows)
        elif Proof.STORED in kinds:
            await self._commit([row.number for row in rows], Proof.STORED)
            return len(rows) == AT_ONCE
        else:
            self._destination.raise_condition(NO_PROOF, _NO_COMMITMENT, lasting=True)
        return False

    async def _left(self, number: int, verdict: CommitmentVerdict) -> None:
        """What a commitment result says of an instance that it does not commit (PS3.3 C.14.1.1)."""
        match verdict.kind:
            case Commitment.PARK:
                self._looks.forget(number)
                text = f"commitment refused: {verdict.reason:04X}H"
                await self._parking.park(number, Verdict(Kind.PARK, verdict.reason, text=text), expected=SENT)
            case Commitment.RESEND:
                await self._look(number)
            case Commitment.NEW_UID:
                self._looks.at_once(number)
            case _:
                self._postpone([number])

    async def _look(self, number: int) -> None:
        """It says that it does not have the instance: that counts once it cannot be seen for long enough."""
        instance = await self._destination.box.store.read(partial(read_instance, number=number))
        if instance is not None:
            await self._unproven(number, await self._looker.look(instance))

    async def _search(self, rows: Sequence[Waiting]) -> None:
        """Prove by search: one request a series, then one an instance for what it did not show."""
        instances = await self._destination.box.store.read(partial(_instances, rows=rows))
        ordered = sorted(instances.items(), key=lambda each: _series(each[1]))
        untold = 0
        for (study, series), members in groupby(ordered, key=lambda each: _series(each[1])):
            shown = await self._looker.series(study, series)
            proven: list[int] = []
            for number, instance in members:
                found = shown.get(instance.sop_instance_uid)
                finding = compare(found, instance) if found else await self._looker.look(instance)
                if finding is Finding.SILENT:
                    self._silent()
                    return
                self._silence = Backoff(LOOK_AGAIN)
                untold = untold + 1 if finding is Finding.UNKNOWN else 0
                if finding is Finding.THERE:
                    proven.append(number)
                else:
                    await self._unproven(number, finding)
                if untold >= UNTOLD:
                    self._destination.raise_condition(NO_PROOF, _NO_SEARCH, lasting=True)
                    self._postpone(instances)
                    return
            await self._commit(proven, Proof.SEARCH)

    async def _unproven(self, number: int, finding: Finding) -> None:
        """Look again later; what is not to be seen after `visible_within` is sent again (DICOM.md §5)."""
        looks = self._looks.postpone(number, self._destination.now())
        if finding is Finding.DIFFERS:
            hint = "What it shows under an instance's UID is not what was sent. Compare the two at the archive."
            self._destination.blame(number, "proof-differs", hint)
        elif finding is Finding.ABSENT and looks >= LEAST_LOOKS and await self._overdue(number):
            await self._send_again(number)

    async def _overdue(self, number: int) -> bool:
        destination = self._destination
        delivery = await destination.box.store.read(
            partial(read_delivery, number=number, destination=destination.number)
        )
        now = destination.box.clock.wall()
        return delivery is not None and now - delivery.sent_at >= destination.settings.visible_within_s

    async def _send_again(self, number: int) -> None:
        """Put an instance that the destination does not have back into the queue, three times at most."""
        destination = self._destination
        if self._looks.resends(number) >= RESENDS:
            destination.blame(number, NOT_VISIBLE, NOT_VISIBLE_HINT)
            return
        self._looks.resent(number)
        held = Delivery(state=DeliveryState.HELD, since=destination.box.clock.wall(), text="not to be seen; sent again")
        await destination.box.store.write(
            partial(move, number=number, destination=destination.number, expected=SENT, to=held)
        )
        destination.box.bells.arrived.ring()

    async def _commit(self, numbers: Sequence[int], proof: Proof) -> None:
        if not numbers:
            return
        await commit(self._destination, numbers, proof)
        for number in numbers:
            self._looks.forget(number)
        self._destination.box.conditions.clear(f"{NO_PROOF}:{self._destination.name}")

    def _postpone(self, numbers: Iterable[int]) -> None:
        now = self._destination.now()
        for number in numbers:
            self._looks.postpone(number, now)


def _instances(txn: Transaction, rows: Sequence[Waiting]) -> dict[int, Instance]:
    found = {row.number: read_instance(txn, row.number) for row in rows}
    return {number: instance for number, instance in found.items() if instance is not None}


def _series(instance: Instance) -> tuple[str, str]:
    return instance.study_instance_uid, instance.series_instance_uid
