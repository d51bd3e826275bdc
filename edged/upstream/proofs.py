"""What proving shares: recording a proof, and waiting for the next thing to prove."""

from collections.abc import Sequence

import trio
from msgspec import structs

from edged.config.choices import Proof
from edged.store.commitments import delete_ask
from edged.store.queue import move, read_delivery
from edged.store.records import Delivery, DeliveryState
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination

_SENT = (DeliveryState.SENT,)


async def commit(
    destination: Destination, numbers: Sequence[int], proof: Proof, *, transaction_uid: str | None = None
) -> None:
    """Record that these instances are proven; with them goes the request that proved them."""
    now = destination.box.clock.wall()

    def proven(txn: Transaction) -> None:
        for number in numbers:
            sent = read_delivery(txn, number, destination.number)
            if sent is not None:
                committed = structs.replace(sent, state=DeliveryState.COMMITTED, since=now, proof=proof.value)
                move(txn, number, destination.number, expected=_SENT, to=committed)
        if transaction_uid is not None:
            delete_ask(txn, destination.number, transaction_uid)

    await destination.box.store.write(proven)
    destination.box.bells.proven.ring()
    destination.box.bells.logged.ring()


async def park_sent(destination: Destination, number: int, *, reason: int | None, text: str) -> None:
    """Set a sent instance aside: the destination will not keep it."""
    parked = Delivery(state=DeliveryState.PARKED, since=destination.box.clock.wall(), reason=reason, text=text)

    def aside(txn: Transaction) -> None:
        move(txn, number, destination.number, expected=_SENT, to=parked)

    await destination.box.store.write(aside)
    destination.raise_condition(
        "parked", f"An instance was refused for good ({text}). See edged queue list.", lasting=True
    )
    destination.box.bells.proven.ring()
    destination.box.bells.logged.ring()


async def wait_for(event: trio.Event, within_s: float, *, gather_s: float) -> None:
    """Wait for the event, at most some seconds; after it, let more gather."""
    with trio.move_on_after(within_s):
        await event.wait()
    if event.is_set():
        await trio.sleep(gather_s)
