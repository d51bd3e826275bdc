"""Moving deliveries of one destination in the store, and what follows from it in memory.

One write for all that is moved together. What another verdict has moved meanwhile stays where it is: a move is a
compare-and-set. Invariant: what must be compared by its digest first (`Delivery.check`) is brought to `sent` by nothing
weaker.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.events import append_event, instance_event
from edged.store.queue import move, read_instance
from edged.store.records import Check, Delivery, DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination

UNSENT = (DeliveryState.HELD,)
SENT = (DeliveryState.SENT,)


async def bring(
    destination: Destination,
    to: Mapping[int, Delivery],
    *,
    expected: tuple[DeliveryState, ...] = UNSENT,
    compared: bool = False,
) -> set[int]:
    """Move deliveries, by instance number, from one of the expected states; their notes end.

    `compared`: the destination gave back the same data set. Returns those that stay because they were not, and had to
    be. Raises StoreError.
    """

    def moved(txn: Transaction) -> set[int]:
        left = set() if compared else {number for number, each in to.items() if _needs_digest(txn, number, each)}
        for number, delivery in to.items():
            if number not in left:
                move(txn, number, destination.number, expected=expected, to=delivery)
        return left

    def _needs_digest(txn: Transaction, number: int, each: Delivery) -> bool:
        present = read_delivery(txn, number, destination.number) if each.state is DeliveryState.SENT else None
        return present is not None and present.check is Check.DIGEST

    left = await destination.box.store.write(moved)
    moved_on(destination, [number for number in to if number not in left])
    return left


async def count_resend(destination: Destination, number: int, *, most: int) -> bool:
    """Count that an instance is sent again because it was "stored" and is not to be seen; False: no more, by itself.

    The count lasts. Whoever sends it after a restart looks for it first. Raises StoreError.
    """

    def counted(txn: Transaction) -> bool:
        present = read_delivery(txn, number, destination.number)
        if present is None or present.state is not DeliveryState.HELD or present.resends >= most:
            return False
        again = structs.replace(present, resends=present.resends + 1, ask_first=True)
        return move(txn, number, destination.number, expected=UNSENT, to=again)

    return await destination.box.store.write(counted)


def tell_conflict(txn: Transaction, number: int, *, destination: Destination, parked: Delivery) -> None:
    """Write the event that a destination has another instance under a UID than the one that is parked for it."""
    instance = read_instance(txn, number)
    if instance is None:
        return
    event = instance_event(
        EventKind.CONFLICT, (number, instance), time=parked.since, text=parked.text, destination=destination.name
    )
    append_event(txn, event)


async def delivery_of(destination: Destination, number: int) -> Delivery | None:
    """Return how far an instance is. Raises StoreError."""
    return await destination.box.store.read(partial(read_delivery, number=number, destination=destination.number))


def moved_on(destination: Destination, numbers: Iterable[int]) -> None:
    """Note that instances moved: nothing that was known of them counts any more, and there is something to look at."""
    for number in numbers:
        destination.notebook.forget(number)
        destination.absolve(number)
    destination.box.bells.logged.ring()
