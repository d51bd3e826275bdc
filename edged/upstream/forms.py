"""From rows of the queue to what leaves: each instance in the form that its destination gets.

Made in the look that finds the rows, so that taking a batch is one read; where more was chosen than that look foresaw,
in another one. What moved on between the two is left out. Nothing is decided here of when or whether an instance is
sent.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from edged.services.retrieve import WebForm
from edged.store.queue import read_instance
from edged.store.records import DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.store.waiting import Waiting
from edged.upstream.destination import Destination


class Forms:
    """Makes the forms of one destination's instances."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    async def of(self, rows: Sequence[Waiting], seen: Iterable[WebForm] = ()) -> list[WebForm]:
        """Return the forms of what is still to be sent, in the order of the rows. Raises StoreError.

        `seen` are those that were made in the look that found the rows; no other look is needed where they suffice.
        """
        known = {form.number: form for form in seen}
        if all(row.number in known for row in rows):
            return [known[row.number] for row in rows]
        return await self._destination.box.store.read(partial(self.load, rows=rows))

    def load(self, txn: Transaction, rows: Sequence[Waiting]) -> list[WebForm]:
        """As `of`, inside a read."""
        box, destination = self._destination.box, self._destination.number
        forms = []
        for row in rows:
            instance, delivery = read_instance(txn, row.number), read_delivery(txn, row.number, destination)
            if instance is not None and delivery is not None and delivery.state is DeliveryState.HELD:
                forms.append(WebForm(box.store, row.number, instance, self._destination.lane))
        return forms
