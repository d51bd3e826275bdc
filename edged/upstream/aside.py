"""What is set aside at one destination: conditions as long as there is any, and the daily try of what is stuck.

Parked instances wait for a person; stuck ones go back into the queue once a day, alone and still doubted (DESIGN §5).
Both conditions are read from the store, so that they are right after a restart and after a person has cleared up.
"""

import logging
from functools import partial

from edged.store.errors import StoreError
from edged.store.queue import figures, move, read_delivery
from edged.store.records import Delivery, DeliveryState
from edged.store.transaction import Transaction
from edged.store.waiting import waiting
from edged.telemetry.conditions import Severity
from edged.upstream.destination import Destination
from edged.upstream.notes import Note
from edged.upstream.proofs import wait_for
from edged.upstream.retry import DAILY, STUCK_AFTER, Backoff, SlowLane

log = logging.getLogger(__name__)

LOOK_S = 600.0
DAY_S = 24 * 3600.0

_HINTS = {
    DeliveryState.PARKED: "{} refused for good. The parked event of each holds the reason; they are kept.",
    DeliveryState.STUCK: "{} refused again and again while others pass. Tried daily; ask whoever runs the archive.",
}
_STUCK = (DeliveryState.STUCK,)


class Aside:
    """Watches what one destination has set aside."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._looked_s = float("-inf")

    async def work(self) -> None:
        """Watch for ever."""
        while True:
            logged = self._destination.box.bells.logged.next
            try:
                await self._tell()
                await self._retry()
            except StoreError as error:
                log.info("what %s set aside could not be looked at: %s", self._destination.name, error)
            await wait_for(logged, LOOK_S, gather_s=self._destination.box.gather_s)

    async def _tell(self) -> None:
        destination, conditions = self._destination, self._destination.box.conditions
        for state, hint in _HINTS.items():
            found = await destination.box.store.read(partial(figures, destination=destination.number, state=state))
            name = f"{state.name.lower()}:{destination.name}"
            if found.rows:
                count = "1 instance was" if found.rows == 1 else f"{found.rows} instances were"
                conditions.raise_(name, Severity.WARNING, hint.format(count))
            else:
                conditions.clear(name)

    async def _retry(self) -> None:
        """Put what has been stuck for a day back into the queue."""
        destination = self._destination
        now = destination.now()
        if now < self._looked_s + LOOK_S:
            return
        self._looked_s = now
        due = await destination.box.store.read(self._due)
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

    def _due(self, txn: Transaction) -> list[int]:
        destination = self._destination
        before = destination.box.clock.wall() - DAY_S
        rows = waiting(txn, destination.number, DeliveryState.STUCK)
        found = {row.number: read_delivery(txn, row.number, destination.number) for row in rows}
        return [number for number, delivery in found.items() if delivery is not None and delivery.since <= before]
