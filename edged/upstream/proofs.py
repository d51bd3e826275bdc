"""What proving shares: recording a proof, what waits for its next look, and waiting for the next thing to prove."""

import random
from collections import OrderedDict
from collections.abc import Sequence

import trio
from msgspec import structs

from edged.config.choices import Proof
from edged.store.commitments import delete_ask
from edged.store.queue import move, read_delivery
from edged.store.records import DeliveryState
from edged.store.transaction import Transaction
from edged.upstream.destination import Destination
from edged.upstream.notes import MOST_NOTES
from edged.upstream.retry import Backoff, Pace

LOOK_AGAIN = Pace(base_s=1.0, factor=2.0, cap_s=300.0, least=0.5)
NO_PROOF = "no-proof"
_SENT = (DeliveryState.SENT,)


class Looks:
    """What could not be proven yet, and when each may be tried again; in memory and bounded."""

    def __init__(self) -> None:
        self._of: dict[int, Backoff] = {}
        self._resends: OrderedDict[int, int] = OrderedDict()

    def may_try(self, number: int) -> bool:
        """Whether there is room to remember another instance, or it is remembered already."""
        return number in self._of or len(self._of) < MOST_NOTES

    def postpone(self, number: int, now: float) -> int:
        """Try it again later; return how often in a row it was postponed."""
        backoff = self._of.get(number, Backoff(LOOK_AGAIN))
        self._of[number] = backoff.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311 - jitter
        return self._of[number].failures

    def waiting(self, now: float) -> set[int]:
        """Return what must not be tried yet."""
        return {number for number, each in self._of.items() if not each.due(now)}

    def next_due_s(self, now: float) -> float | None:
        """Return when the next of those that wait is due."""
        return min((each.due_s for each in self._of.values() if not each.due(now)), default=None)

    def resends(self, number: int) -> int:
        """Return how often an instance was sent again because it was not to be seen."""
        return self._resends.get(number, 0)

    def resent(self, number: int) -> None:
        """Note that it is sent once more; what is known of its looks begins anew."""
        self._resends[number] = self.resends(number) + 1
        self._resends.move_to_end(number)
        if len(self._resends) > MOST_NOTES:
            self._resends.popitem(last=False)
        self._of.pop(number, None)

    def at_once(self, number: int) -> None:
        """Nothing to wait for."""
        self._of.pop(number, None)

    def forget(self, number: int) -> None:
        """It moved on."""
        self._of.pop(number, None)
        self._resends.pop(number, None)


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
    for number in numbers:
        destination.absolve(number)
    destination.box.bells.proven.ring()
    destination.box.bells.logged.ring()


async def wait_for(event: trio.Event, within_s: float, *, gather_s: float) -> None:
    """Wait for the event, at most some seconds; after it, let more gather."""
    with trio.move_on_after(within_s):
        await event.wait()
    if event.is_set():
        await trio.sleep(gather_s)
