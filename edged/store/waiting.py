"""Looking into one destination's queue for what may be taken next.

Reads only, and no further than it has to: what comes of it is chosen from in memory, while others go on writing. The
order is the queue's: urgent first, then by instance number, which is the order of arrival.
"""

from collections.abc import Container
from dataclasses import dataclass

from edged.store.records import DeliveryState, Queued, unpack
from edged.store.schema import QUEUE, queue_state_prefix, read_queue_key
from edged.store.transaction import Transaction

SCAN_ROWS = 2000
"""How far past the oldest a worker looks for more of the same study."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One instance in a destination's queue; `size` is the bytes that leave, `since` when it came.

    `ask_first`: the destination may have it already and is asked before it is uploaded.
    """

    number: int
    study: str
    size: int
    since: float
    ask_first: bool = False
    urgent: bool = False


def waiting(
    txn: Transaction,
    destination: int,
    state: DeliveryState,
    *,
    leased: Container[int] = (),
    limit: int = SCAN_ROWS,
) -> list[Waiting]:
    """Return the first rows of one queue that are not leased: urgent first, oldest first."""
    found: list[Waiting] = []
    for key, value in txn.rows(QUEUE, queue_state_prefix(destination, state)):
        _, _, urgency, number = read_queue_key(key)
        if number in leased:
            continue
        row = unpack(Queued, value)
        found.append(Waiting(number, row.study, row.size, row.since, row.ask_first, urgency == 0))
        if len(found) == limit:
            break
    return found
