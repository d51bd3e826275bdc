"""Turning `sent` into `committed`: the proofs that the settings list, strongest first (DICOM.md §6).

A kind of proof that is not listed is never used. A destination that does not offer the strongest one is asked again
for it now and then; meanwhile the next listed one serves, and is told. What none can prove stays sent, under a
condition. One loop decides; what waits for an answer runs beside it in a bounded number of tasks, and what one of them
is about is left alone by all else until it is over.
"""

import logging
import random
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

import trio

from edged.config import CredentialError
from edged.config.choices import Proof
from edged.dicomweb.commitment_report import CommitmentResult
from edged.store.errors import StoreError
from edged.store.records import DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.store.waiting import Waiting, waiting
from edged.upstream.asker import Asker, Opened, Stepped
from edged.upstream.auth_fault import hold_without_credential
from edged.upstream.destination import Destination
from edged.upstream.leftovers import Leftovers
from edged.upstream.look import Looker
from edged.upstream.looks import LOOK_AGAIN, Looks, Passed
from edged.upstream.overdue import Overdue
from edged.upstream.parking import Parking
from edged.upstream.proofs import NO_PROOF, commit
from edged.upstream.retry import Backoff
from edged.upstream.search_proof import SearchProof

log = logging.getLogger(__name__)

AT_ONCE = 500
"""Instances proven in one round."""

STEPS_AT_ONCE = 4
"""Commitment requests that may wait for an answer at the same time: a slow one holds up no other."""

WORTH_A_REQUEST = 8
"""So many instances are not kept waiting for more when no more are on their way."""

FAILED_S = 30.0
LEAST_PAUSE_S = 0.05
MOST_PAUSE_S = 60.0

_NOT_HAD = {
    Proof.DICOMWEB: "does not offer storage commitment",
    Proof.SEARCH: "answers neither search nor retrieve",
    Proof.STORED: "never said stored for what was only found there",
}


class Prover:
    """Proves what one destination has taken."""

    def __init__(self, destination: Destination, looker: Looker, asker: Asker, *, parking: Parking) -> None:
        self._destination = destination
        self._asker = asker
        self._looks = Looks()
        self._leftovers = Leftovers(destination, looker, self._looks, parking=parking)
        self._search = SearchProof(destination, looker, self._looks, leftovers=self._leftovers)
        self._overdue = Overdue(destination)
        self._silence = Backoff(LOOK_AGAIN)
        self._quiet_until_s = 0.0
        self._resumed = False
        self._cursor = 0
        self._walk_s = 0.0
        self._busy: set[int] = set()
        self._steps = 0
        self._searching = False
        self._probing = False
        self._held = False

    async def work(self) -> None:
        """Prove for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                logged, gathered_s = self._destination.box.bells.logged.next, self._destination.box.gathered_s()
                accepted = self._destination.notebook.accepted
                pause = await self._guarded(partial(self._round, nursery))
                with trio.move_on_after(pause):
                    await logged.wait()
                if logged.is_set():
                    await self._gather(accepted + WORTH_A_REQUEST, gathered_s)

    async def _gather(self, accepted: int, until_s: float) -> None:
        """Wait until `until_s`, or until so many are accepted and no more are on their way."""
        idle, notebook = self._destination.idle, self._destination.notebook
        with trio.move_on_at(until_s):
            while not idle.is_so or notebook.accepted < accepted:
                await idle.became.next.wait()

    def forget(self, number: int) -> None:
        """A person decided about an instance: that it was not to be seen counts no more."""
        self._looks.forget(number)

    async def _guarded(self, step: Callable[[], Awaitable[float]]) -> float:
        """Do a step, whatever becomes of it; return the seconds until there may be more to do."""
        name = self._destination.name
        try:
            return await step()
        except CredentialError as error:
            hold_without_credential(self._destination, error)
            self._held = True
        except StoreError as error:
            log.info("proving at %s: %s", name, error)
        except Exception:
            log.exception("proving at %s failed", name)
        self._quiet_until_s = self._destination.now() + FAILED_S
        return FAILED_S

    async def _round(self, nursery: trio.Nursery) -> float:
        """Begin what can be begun now; return the seconds until there may be more."""
        if not self._resumed:
            await self._asker.resume()
            self._resumed = True
        await self._overdue.tell()
        now = self._destination.now()
        if now < (quiet_s := max(self._silence.due_s, self._quiet_until_s)):
            return max(LEAST_PAUSE_S, quiet_s - now)
        self._take_steps(nursery)
        rows = await self._rows()
        taken = await self._prove(rows, nursery) if rows else ()
        self._take_steps(nursery)
        if not taken:
            return self._pause()
        self._cursor = max(taken) if self._looks.full else 0
        return 0.0

    def _take_steps(self, nursery: trio.Nursery) -> None:
        for opened in self._asker.take(self._free_steps):
            self._steps += 1
            self._beside(nursery, opened.instances, partial(self._step, opened))

    @property
    def _free_steps(self) -> int:
        """While no answer comes one request at a time is enough to find out when it does."""
        return (1 if self._silence.failures else STEPS_AT_ONCE) - self._steps

    def _pause(self) -> float:
        now, service = self._destination.now(), self._asker.service
        steps = self._asker.next_due_s if self._free_steps > 0 else None
        times = [at for at in (steps, self._looks.next_due_s(now)) if at is not None]
        times += [at for at in (service.until_s, service.rest_s, self._search.until_s, self._walk_s) if at > now]
        return max(LEAST_PAUSE_S, min((*times, now + MOST_PAUSE_S)) - now)

    async def _rows(self) -> list[Waiting]:
        """What may be proven next; oldest first, as long as everything that cannot be proven has its note.

        Beyond that it is a walk through the queue, so that what cannot be proven hides nothing; it begins anew no more
        often than what has a note is tried.
        """
        excluded = self._asker.asked | self._busy | self._looks.waiting(self._destination.now())
        rows = await self._sent(Passed(self._cursor, excluded))
        if not rows and self._cursor and self._walk_s <= self._destination.now():
            self._cursor, self._walk_s = 0, self._destination.now() + LOOK_AGAIN.cap_s
            rows = await self._sent(Passed(0, excluded))
        return rows

    async def _sent(self, passed: Passed) -> list[Waiting]:
        number, state = self._destination.number, DeliveryState.SENT
        return await self._destination.box.store.read(
            partial(waiting, destination=number, state=state, leased=passed, limit=AT_ONCE)
        )

    async def _prove(self, rows: Sequence[Waiting], nursery: trio.Nursery) -> Sequence[int]:
        """Use the strongest kind of proof that is to be had; return what was taken up."""
        numbers = [row.number for row in rows]
        kinds = self._destination.settings.commitment
        for kind in kinds:
            if kind is Proof.DICOMWEB and self._asker.service.offered():
                return await self._ask(numbers, nursery)
            if kind is Proof.SEARCH and self._search.offered():
                return self._begin_search(numbers, nursery)
            if kind is Proof.STORED:
                numbers = await self._take_stored(numbers)
                if not numbers:
                    return [row.number for row in rows]
        if Proof.STORED in kinds:  # these were only found; they hide nothing
            for number in numbers:
                self._destination.blame(number, NO_PROOF, self._no_proof)
            self._leftovers.postpone(numbers)
        else:
            self._destination.raise_condition(NO_PROOF, self._no_proof, lasting=True)
        return ()

    async def _ask(self, numbers: Sequence[int], nursery: trio.Nursery) -> Sequence[int]:
        if self._asker.full or self._probing:
            return ()
        if self._asker.service.due():
            self._probing = True
            self._beside(nursery, (), self._probe)
            return ()
        taken = numbers[: self._asker.most]
        await self._asker.ask(taken)
        return taken

    def _begin_search(self, numbers: Sequence[int], nursery: trio.Nursery) -> Sequence[int]:
        if self._searching:
            return ()
        self._searching = True
        self._beside(nursery, numbers, partial(self._prove_by_search, numbers))
        return numbers

    async def _take_stored(self, numbers: Sequence[int]) -> list[int]:
        """Commit what the destination said "stored" of; return what was only found there (DICOM.md §6)."""

        def said(txn: Transaction) -> list[int]:
            found = {number: read_delivery(txn, number, self._destination.number) for number in numbers}
            return [number for number, each in found.items() if each is not None and each.evidence == "stored"]

        stored = await self._destination.box.store.read(said)
        if stored:
            await commit(self._destination, stored, Proof.STORED)
        for number in stored:
            self._looks.forget(number)
        return sorted(set(numbers).difference(stored))

    @property
    def _no_proof(self) -> str:
        """What a person can do about it."""
        kinds = self._destination.settings.commitment
        why = ", ".join(_NOT_HAD[kind] for kind in kinds if kind in _NOT_HAD)
        more = [kind.value for kind in (Proof.SEARCH, Proof.STORED) if kind not in kinds]
        add = " or ".join(f'"{word}"' for word in more)
        remedy = f"Add {add} to the list if that is proof enough; u" if more else "U"
        return (
            f"It {why}: no kind of proof that [[destination]] commitment lists. {remedy}ntil then nothing is evicted."
        )

    def _beside(self, nursery: trio.Nursery, numbers: Collection[int], step: Callable[[], Awaitable[float]]) -> None:
        """Run a step in a task of its own; nothing else touches its instances until it is over."""
        self._busy.update(numbers)
        nursery.start_soon(self._run, frozenset(numbers), step)

    async def _run(self, numbers: frozenset[int], step: Callable[[], Awaitable[float]]) -> None:
        try:
            await self._guarded(step)
        finally:  # what an event told may be broken off with its connection
            self._busy -= numbers
            self._destination.box.bells.logged.ring()

    async def hear(self, transaction_uid: str, result: CommitmentResult) -> None:
        """Take the result of a request that came as an event; of one that is not open it says nothing."""
        if (opened := self._asker.opened(transaction_uid)) is None:
            return
        self._busy.update(opened.instances)
        await self._run(frozenset(opened.instances), partial(self._settle, opened, result))

    async def _settle(self, opened: Opened, result: CommitmentResult) -> float:
        await self._conclude(await self._asker.hear(opened, result))
        return 0.0

    async def _step(self, opened: Opened) -> float:
        try:
            await self._conclude(await self._asker.advance(opened))
        finally:
            self._steps -= 1
        return 0.0

    async def _conclude(self, stepped: Stepped) -> None:
        self._heard(silent=stepped.silent)
        await self._leftovers.tell(stepped.leftovers)
        for number, verdict in stepped.leftovers:
            await self._leftovers.left(number, verdict)

    async def _probe(self) -> float:
        try:
            await self._asker.service.ask()
        finally:
            self._probing = False
        return 0.0

    async def _prove_by_search(self, numbers: Sequence[int]) -> float:
        try:
            self._heard(silent=not await self._search.prove(numbers))
        finally:
            self._searching = False
        if not self._search.offered() and not self._another_serves():
            self._destination.raise_condition(NO_PROOF, self._no_proof, lasting=True)
        return 0.0

    def _another_serves(self) -> bool:
        kinds = self._destination.settings.commitment
        return Proof.STORED in kinds or (Proof.DICOMWEB in kinds and self._asker.service.offered())

    def _heard(self, *, silent: bool) -> None:
        """While it gives no answer nothing is asked for a while; what is silent together counts once."""
        now = self._destination.now()
        if not silent:
            self._silence = Backoff(LOOK_AGAIN)
            if self._held:  # nothing that is sent may ever tell that the credential is there again
                self._held = False
                self._destination.passed()
        elif self._silence.due(now):
            self._silence = self._silence.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311 - jitter
