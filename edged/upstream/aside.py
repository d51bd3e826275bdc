"""What is set aside at one destination: conditions as long as there is any, and the daily try of what is stuck.

Parked instances wait for a person; stuck ones go back into the queue once a day, alone and still doubted (DESIGN §5).
Both conditions are read from the store, so that they are right after a restart and after a person has cleared up.
"""

import logging
from collections.abc import Sequence
from functools import partial

from edged.store.errors import StoreError
from edged.store.queue import figures, move
from edged.store.records import Delivery, DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.store.waiting import SCAN_ROWS, Waiting, waiting_after
from edged.telemetry.conditions import Severity
from edged.upstream.destination import Destination
from edged.upstream.notes import Note
from edged.upstream.outcomes import too_large
from edged.upstream.parking import TOO_LARGE
from edged.upstream.proofs import wait_for
from edged.upstream.retry import DAILY, STUCK_AFTER, Backoff, SlowLane

log = logging.getLogger(__name__)

LOOK_S = 600.0
LOOK_ROWS = SCAN_ROWS
"""Stuck ones that are looked at each time; the next look goes on behind them."""
DAY_S = 24 * 3600.0

_HINTS = {
    DeliveryState.PARKED: "{} refused for good. The parked event of each holds the reason; they are kept.",
    DeliveryState.STUCK: "{} refused again and again while others pass. Tried daily; ask whoever runs the archive.",
}
_STUCK = (DeliveryState.STUCK,)
_PARKED = (DeliveryState.PARKED,)
_FITS = "the settings let it be sent now"


class Aside:
    """Watches what one destination has set aside."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._looked_s = float("-inf")
        self._looked_at: Waiting | None = None
        self._given_back = False

    async def work(self) -> None:
        """Watch for ever."""
        while True:
            logged, gathered_s = self._destination.box.bells.logged.next, self._destination.box.gathered_s()
            try:
                await self._give_back_what_fits()
                await self._tell()
                await self._retry()
            except StoreError as error:
                log.info("what %s set aside could not be looked at: %s", self._destination.name, error)
            await wait_for(logged, LOOK_S, gathered_s=gathered_s)

    async def _give_back_what_fits(self) -> None:
        """Put back into the queue, once, what was parked by `max_instance` or `max_request` and fits them now."""
        if self._given_back:
            return
        destination, after = self._destination, None
        state = DeliveryState.PARKED
        while rows := await destination.box.store.read(
            partial(waiting_after, destination=destination.number, state=state, after=after, limit=LOOK_ROWS)
        ):
            fitting = [row.number for row in rows if not too_large(row.size, destination.settings)]
            if fitting:
                await destination.box.store.write(partial(self._back, numbers=fitting))
            after = rows[-1]
        self._given_back = True
        destination.box.bells.arrived.ring()

    def _back(self, txn: Transaction, numbers: Sequence[int]) -> None:
        held = Delivery(state=DeliveryState.HELD, since=self._destination.box.clock.wall(), text=_FITS)
        for number in numbers:
            parked = read_delivery(txn, number, self._destination.number)
            if parked is not None and parked.answer == TOO_LARGE:
                move(txn, number, self._destination.number, expected=_PARKED, to=held)

    async def _tell(self) -> None:
        destination, conditions = self._destination, self._destination.box.conditions
        for state, rows in (await destination.box.store.read(self._counts)).items():
            name = f"{state.name.lower()}:{destination.name}"
            if rows:
                count = "1 instance was" if rows == 1 else f"{rows} instances were"
                conditions.raise_(name, Severity.WARNING, _HINTS[state].format(count))
            else:
                conditions.clear(name)

    def _counts(self, txn: Transaction) -> dict[DeliveryState, int]:
        return {state: figures(txn, self._destination.number, state).rows for state in _HINTS}

    async def _retry(self) -> None:
        """Put what has been stuck for a day back into the queue."""
        destination = self._destination
        now = destination.now()
        if now < self._looked_s + LOOK_S:
            return
        self._looked_s = now
        due, self._looked_at = await destination.box.store.read(partial(self._due, after=self._looked_at))
        if not due:
            return
        doubted = SlowLane(now, Backoff(DAILY), doubtful=STUCK_AFTER - 1)
        for number in due:
            destination.notebook.keep(number, Note(alone=True, slow=doubted))
        held = Delivery(state=DeliveryState.HELD, since=destination.box.clock.wall())

        def back(txn: Transaction) -> None:
            for number in due:
                move(txn, number, destination.number, expected=_STUCK, to=held)

        await destination.box.store.write(back)
        destination.box.bells.arrived.ring()

    def _due(self, txn: Transaction, after: Waiting | None) -> tuple[list[int], Waiting | None]:
        """Which of those after the last look's are due, and after which the next goes on; none: from the first."""
        destination = self._destination
        before = destination.box.clock.wall() - DAY_S
        rows = waiting_after(txn, destination.number, DeliveryState.STUCK, after=after, limit=LOOK_ROWS)
        found = {row.number: read_delivery(txn, row.number, destination.number) for row in rows}
        due = [number for number, delivery in found.items() if delivery is not None and delivery.since <= before]
        return due, rows[-1] if len(rows) == LOOK_ROWS else None
