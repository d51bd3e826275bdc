"""One destination to whoever works on its queue by hand: what it does with an entry now, and a fresh start for one.

Decides nothing and writes nothing; the store's compare-and-set keeps what a person decided from what a worker learns.
"""

from collections.abc import Set
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from math import isfinite

from edged.services.queue_values import Plan
from edged.store.queue_walk import EntryState
from edged.store.records import Delivery
from edged.upstream.aside import DAY_S
from edged.upstream.destination import Destination
from edged.upstream.lease import Leases
from edged.upstream.notes import Note
from edged.upstream.prover import Prover
from edged.upstream.retry import DAILY, STUCK_AFTER, Backoff, BreakerState, SlowLane

_WAITS_FOR = {
    EntryState.ON_HOLD: "a person: release it",
    EntryState.PARKED: "a person: retry, move or discard it",
    EntryState.SENT: "its commitment",
    EntryState.CONFLICT: "a person: release or discard it",
}


class ByHand:
    """The hand at one destination."""

    def __init__(self, destination: Destination, leases: Leases, prover: Prover) -> None:
        self._destination = destination
        self._prover = prover
        self._leases = leases

    def undisturbed(self) -> AbstractAsyncContextManager[Set[int]]:
        """Keep it from taking work while the block runs; gives the numbers of what it is sending."""
        return self._leases.undisturbed()

    def renew(self, number: int, *, doubted: bool) -> None:
        """Forget what was held against an instance; `doubted`: it gets one try, alone, or is stuck again."""
        destination = self._destination
        note = destination.notebook.of(number)
        destination.notebook.forget(number)
        destination.absolve(number)
        self._prover.forget(number)
        if note.verify_until_s is not None and isfinite(note.verify_until_s):  # it was taken, as far as is known
            destination.notebook.keep(number, replace(note, due_s=0.0))
        if doubted:
            lane = SlowLane(destination.now(), Backoff(DAILY), doubtful=STUCK_AFTER - 1)
            destination.notebook.keep(number, Note(alone=True, slow=lane))

    def hasten(self) -> None:
        """Try the destination now, whatever it waits for."""
        destination = self._destination
        destination.breaker = destination.breaker.hastened(destination.now())
        destination.released.ring()

    def plan(self, number: int, state: EntryState, delivery: Delivery | None) -> Plan:
        """Tell what an entry waits for, and in how many seconds it is tried."""
        destination = self._destination
        if state is EntryState.PENDING:
            return self._pending(number)
        if state is EntryState.STUCK and delivery is not None:
            age_s = destination.box.clock.wall() - delivery.since
            return Plan("the try that it gets once a day", max(0.0, DAY_S - age_s))
        return Plan(_WAITS_FOR[state])

    def _pending(self, number: int) -> Plan:
        destination = self._destination
        if number in destination.leased:
            return Plan("the answer: it is being sent", 0.0)
        now, note = destination.now(), destination.notebook.of(number)
        if destination.breaker.state is not BreakerState.CLOSED:
            held_s = max(0.0, destination.breaker.backoff.due_s - now)
            return Plan("the destination, which is tried with one instance at a time", held_s)
        if note.due_s > now:
            waits_for = "a look whether it is there" if note.verify_until_s is not None else "its next try"
            return Plan(waits_for, note.due_s - now)
        return Plan("its turn", 0.0)
