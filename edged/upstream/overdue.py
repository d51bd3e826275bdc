"""Telling that something is sent and stays unproven: whatever keeps a proof away, it does not go unnoticed.

Read from the queue itself, so that no kind of answer, none at all, and no restart hides it. While the clock is not
trusted nobody can say how long it has been.
"""

from functools import partial

from edged.store.queue import figures
from edged.store.records import DeliveryState
from edged.upstream.destination import Destination
from edged.upstream.retry import OVERDUE_AFTER_S

NOT_COMMITTED = "not-committed"
EVERY_S = 60.0
_DAY_S = 24 * 3600.0


class Overdue:
    """Watches what one destination has taken and not committed to."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._next_s = 0.0

    async def tell(self) -> None:
        """Raise the condition after a day, with the figures, and clear it when nothing is that old."""
        destination, box = self._destination, self._destination.box
        name, now = f"{NOT_COMMITTED}:{destination.name}", destination.now()
        stands = box.conditions.stands(name)
        if (now < self._next_s and not stands) or not box.clock.trusted():
            return
        self._next_s = now + EVERY_S
        sent = await box.store.read(partial(figures, destination=destination.number, state=DeliveryState.SENT))
        age_s = 0.0 if sent.oldest is None else box.clock.wall() - sent.oldest
        if age_s >= OVERDUE_AFTER_S:
            many = sent.rows != 1
            what = f"{sent.rows} instances are" if many else "1 instance is"
            oldest = "the oldest " if many else ""
            hint = (
                f"{what} sent and not committed, {oldest}for {age_s / _DAY_S:.1f} days; the archive is asked "
                "again and again, and nothing of it is evicted. Ask whoever runs it what it says of this."
            )
            destination.raise_condition(NOT_COMMITTED, hint, lasting=True)
        elif stands:
            box.conditions.clear(name)
