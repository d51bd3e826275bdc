"""What proving shares: recording a proof, telling which kind serves, and waiting for the next thing to prove."""

from collections.abc import Sequence

import trio
from msgspec import structs

from edged.config.choices import Proof
from edged.store.commitments import delete_ask
from edged.store.queue import move
from edged.store.records import DeliveryState
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.telemetry.conditions import Severity
from edged.upstream.destination import Destination

NO_PROOF = "no-proof"
WEAKER_PROOF = "weaker-proof"
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
                committed = structs.replace(
                    sent,
                    state=DeliveryState.COMMITTED,
                    since=now,
                    proof=proof.value,
                    transaction_uid=transaction_uid or "",
                )
                move(txn, number, destination.number, expected=_SENT, to=committed)
        if transaction_uid is not None:
            delete_ask(txn, destination.number, transaction_uid)

    await destination.box.store.write(proven)
    for number in numbers:
        destination.absolve(number)
    if numbers:
        destination.notebook.committed += len(numbers) if proof is Proof.DICOMWEB else 0
        _serves(destination, proof)
    destination.box.bells.proven.ring()
    destination.box.bells.logged.ring()


def _serves(destination: Destination, proof: Proof) -> None:
    """Tell which kind of proof serves, and that it is a weaker one than could be: never silently (DICOM.md §6)."""
    if proof is not Proof.STORED:  # which proves nothing of what was only found
        destination.box.conditions.clear(f"{NO_PROOF}:{destination.name}")
    strongest = destination.settings.commitment[0]
    if proof is strongest:
        destination.box.conditions.clear(f"{WEAKER_PROOF}:{destination.name}")
    else:
        hint = (
            f"{strongest.value} is not to be had there now, so {proof.value} serves, which [[destination]] commitment "
            "lists as well. Take it out of the list if that is not proof enough."
        )
        destination.box.conditions.raise_(f"{WEAKER_PROOF}:{destination.name}", Severity.INFO, hint)
    destination.tell(proof=proof.value)


async def wait_for(event: trio.Event, within_s: float, *, gathered_s: float) -> None:
    """Wait for the event, at most some seconds; after it until `gathered_s` (trio's clock), so that more may gather."""
    with trio.move_on_after(within_s):
        await event.wait()
    if event.is_set():
        await trio.sleep_until(gathered_s)
