"""Setting instances aside for a person: the one way to `parked`, with the guard against parking a whole queue.

A destination that refuses whatever it is given is misconfigured: its entries are not to blame, and none is parked for
it until it takes something. What is refused before it has taken anything waits in memory. Five in a row without one
taken between them: those that were parked go back to where they were (DESIGN §5). What was sent and is refused a
commitment has a row of its own; there, taken means proven.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination
from edged.upstream.moves import SENT, UNSENT, bring, moved_on, tell_conflict
from edged.upstream.park_guard import ParkGuard, Ruled
from edged.upstream.retry import SlowLane
from edged.upstream.verdict_values import ConditionName, Verdict

_NOTHING_TAKEN = "It refused an instance for good and has taken none since the start; it is kept and tried again: {}"
_NOTHING_PROVEN = "It refuses to commit to what it took, and commits to nothing else; nothing is let go: {}"

TOO_LARGE = "not sent: too large by the settings"
"""The answer in a delivery that was parked before it was sent: other settings may give it back."""


@dataclass(slots=True)
class _Row:
    """What was refused in a row, and the deliveries of those that were parked for it, as they were before."""

    guard: ParkGuard = field(default_factory=ParkGuard)
    parked: dict[int, Delivery] = field(default_factory=dict)


class Parking:
    """Parks instances of one destination."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._rows: dict[tuple[DeliveryState, ...], _Row] = {UNSENT: _Row(), SENT: _Row()}

    @property
    def refusing(self) -> bool:
        """Whether it takes nothing that it is given."""
        return self._rows[UNSENT].guard.refuses_all(self._taken(UNSENT))

    def accepted(self) -> None:
        """Note that the destination took instances: what was parked stays so, what waited is tried at once."""
        row, notebook = self._rows[UNSENT], self._destination.notebook
        for number in row.guard.row:
            if number not in row.parked:
                notebook.keep(number, replace(notebook.of(number), slow=None, due_s=0.0))
        row.guard.absolve()
        row.parked.clear()

    def found(self) -> None:
        """Note that the destination has an instance that it was asked for: it does not refuse everything."""
        self._rows[UNSENT].guard.absolve()

    async def park(self, number: int, verdict: Verdict, *, expected: tuple[DeliveryState, ...] = UNSENT) -> bool:
        """Set an instance aside by a permanent verdict on it; False: it was not, and is to be tried again later.

        `expected` is where it is: UNSENT or SENT. Raises StoreError.
        """
        row = self._rows[expected]
        ruled = row.guard.refused(number, taken=self._taken(expected))
        row.parked = {each: before for each, before in row.parked.items() if each in row.guard.row}
        if ruled is Ruled.PARK:
            await self._aside(row, number, verdict, expected=expected)
            if not row.guard.refuses_all(self._taken(expected)):
                return True
        if ruled is Ruled.WAIT:
            self._wait(number, verdict, expected)
        else:
            self._blame(row, number, verdict, expected=expected)
            await self._give_back(row)
        return False

    async def exclude(self, number: int, text: str) -> None:
        """Set an instance aside before it is sent, because the settings say that it would not be taken."""
        now = self._destination.box.clock.wall()
        parked = Delivery(state=DeliveryState.PARKED, since=now, text=text, answer=TOO_LARGE)
        await bring(self._destination, {number: parked})
        self._destination.box.bells.proven.ring()

    def _taken(self, expected: tuple[DeliveryState, ...]) -> int:
        notebook = self._destination.notebook
        return notebook.committed if expected == SENT else notebook.accepted

    async def _aside(self, row: _Row, number: int, verdict: Verdict, *, expected: tuple[DeliveryState, ...]) -> None:
        destination = self._destination
        now = destination.box.clock.wall()
        parked = Delivery(state=DeliveryState.PARKED, since=now, reason=verdict.reason, text=verdict.text)

        def aside(txn: Transaction) -> Delivery | None:
            before = read_delivery(txn, number, destination.number)
            if not move(txn, number, destination.number, expected=expected, to=parked):
                return None
            if verdict.condition is ConditionName.CONFLICT:
                tell_conflict(txn, number, destination=destination, parked=parked)
            return before

        before = await destination.box.store.write(aside)
        if before is not None and number in row.guard.row:
            row.parked[number] = before
        moved_on(destination, [number])
        destination.box.bells.proven.ring()

    def _wait(self, number: int, verdict: Verdict, expected: tuple[DeliveryState, ...]) -> None:
        """It has taken nothing yet: aside in memory, alone, ever more rarely, until it has."""
        destination = self._destination
        if expected == SENT:
            self._blame_proving(number, verdict)
            return
        notebook, now = destination.notebook, destination.now()
        lane = notebook.of(number).slow or SlowLane(now)
        lane = lane.doubted(now, others_passed=False, random01=random.random())  # noqa: S311 - jitter
        notebook.refused(number, slow=lane, alone=True, due_s=lane.backoff.due_s)
        destination.blame(number, ConditionName.REFUSES_ALL.value, _NOTHING_TAKEN.format(verdict.text))

    def _blame(self, row: _Row, number: int, verdict: Verdict, *, expected: tuple[DeliveryState, ...]) -> None:
        if expected == SENT:
            self._blame_proving(number, verdict)
            return
        notebook = self._destination.notebook
        notebook.refused(number)
        for each in row.guard.row:
            notebook.keep(each, replace(notebook.of(each), slow=None, due_s=0.0))
            self._destination.absolve(each)
        self._destination.misconfigured(verdict.text)

    def _blame_proving(self, number: int, verdict: Verdict) -> None:
        hint = _NOTHING_PROVEN.format(verdict.text)
        self._destination.blame(number, ConditionName.COMMITMENT_REFUSED.value, hint)

    async def _give_back(self, row: _Row) -> None:
        before: Mapping[int, Delivery] = dict(row.parked)
        row.parked.clear()
        if before:
            await bring(self._destination, before, expected=(DeliveryState.PARKED,), compared=True)
