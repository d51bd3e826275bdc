"""From leased rows of the queue to what leaves: each instance in the form that its destination gets.

What moved on between the look at the queue and the lease is left out. Nothing is decided here of when or whether an
instance is sent.
"""

from collections.abc import Sequence
from functools import partial

from edged.services.retrieve import WebForm
from edged.store.queue import read_delivery, read_instance
from edged.store.records import DeliveryState
from edged.store.transaction import Transaction
from edged.store.waiting import Waiting
from edged.upstream.destination import Destination


class Forms:
    """Makes the forms of one destination's instances."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    async def of(self, rows: Sequence[Waiting]) -> list[WebForm]:
        """Return the forms of what is still to be sent, in the order of the rows. Raises StoreError."""
        return await self._destination.box.store.read(partial(self._load, rows=rows))

    def _load(self, txn: Transaction, rows: Sequence[Waiting]) -> list[WebForm]:
        box, destination = self._destination.box, self._destination.number
        forms = []
        for row in rows:
            instance, delivery = read_instance(txn, row.number), read_delivery(txn, row.number, destination)
            if instance is not None and delivery is not None and delivery.state is DeliveryState.HELD:
                forms.append(WebForm(box.store, row.number, instance))
        return forms
