"""Moving deliveries of one destination in the store, and what follows from it in memory.

One write for all that is moved together. What another verdict has moved meanwhile stays where it is: a move is a
compare-and-set.
"""

from collections.abc import Iterable, Mapping

from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination

UNSENT = (DeliveryState.HELD,)
SENT = (DeliveryState.SENT,)


async def bring(
    destination: Destination, to: Mapping[int, Delivery], *, expected: tuple[DeliveryState, ...] = UNSENT
) -> None:
    """Move deliveries, by instance number, from one of the expected states; their notes end. Raises StoreError."""

    def moved(txn: Transaction) -> None:
        for number, delivery in to.items():
            move(txn, number, destination.number, expected=expected, to=delivery)

    await destination.box.store.write(moved)
    moved_on(destination, to)


def moved_on(destination: Destination, numbers: Iterable[int]) -> None:
    """Note that instances moved: nothing that was known of them counts any more, and there is something to look at."""
    for number in numbers:
        destination.notebook.forget(number)
        destination.absolve(number)
    destination.box.bells.logged.ring()
