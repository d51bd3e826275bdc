"""Looking into one destination's queue for what may be taken next.

Reads only, and no further than it has to: what comes of it is chosen from in memory, while others go on writing. The
order is the queue's: urgent first, then by instance number, which is the order of arrival.
"""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import islice

from edged.store.records import DeliveryState, Queued, unpack
from edged.store.schema import QUEUE, queue_key, queue_state_prefix, read_queue_key
from edged.store.transaction import Transaction

SCAN_ROWS = 2000
"""How much of a queue is looked at, at most."""
HEAD_ROWS = BEHIND_ROWS = SCAN_ROWS // 2
"""How much at its head, and how much behind a study that fills the head."""
_URGENCIES = (0, 1)


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


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is: not `last_study`, if another one waits.

    `beyond` is the instance number up to which looks behind a long study have come. The next goes on from there, at the
    end of the queue it begins anew: so each look is bounded, and no study stays hidden.
    """

    last_study: str | None = None
    beyond: int = 0


def waiting(
    txn: Transaction,
    destination: int,
    state: DeliveryState,
    *,
    leased: Container[int] = (),
    limit: int = SCAN_ROWS,
) -> list[Waiting]:
    """Return the first rows of one queue that are not leased: urgent first, oldest first."""
    return list(islice(_rows(txn, queue_state_prefix(destination, state), leased=leased), limit))


def waiting_in_turn(
    txn: Transaction, destination: int, *, leased: Container[int], turn: Turn, most: int
) -> tuple[list[Waiting], Turn]:
    """Return at most `most` held rows of the one study whose turn it is, oldest first, and the turn that comes then.

    As long as urgent ones wait it is only among them. Of rows that are not leased at most SCAN_ROWS, and as many for
    what follows the first of the study, are looked at in each of the two.
    """
    for urgency in _URGENCIES:
        prefix = queue_state_prefix(destination, DeliveryState.HELD) + bytes([urgency])
        own: list[Waiting] = []
        head = _rows(txn, prefix, leased=leased)
        for row in islice(head, HEAD_ROWS):
            if row.study != turn.last_study:
                return _of_study(row, head, most), Turn(row.study, turn.beyond)
            own.append(row)
        if len(own) == HEAD_ROWS:
            start = queue_key(destination, DeliveryState.HELD, urgency, max(turn.beyond, own[-1].number) + 1)
            found, turn = _behind(_rows(txn, prefix, leased=leased, start=start), turn, most)
            return found or own[:most], turn
        if own:
            return own[:most], turn
    return [], turn


def _behind(rows: Iterator[Waiting], turn: Turn, most: int) -> tuple[list[Waiting], Turn]:
    """Look for another study behind a long one, a bounded way."""
    seen, beyond = 0, 0
    for row in islice(rows, BEHIND_ROWS):
        if row.study != turn.last_study:
            return _of_study(row, rows, most), Turn(row.study, row.number - 1)
        seen, beyond = seen + 1, row.number
    return [], Turn(turn.last_study, beyond if seen == BEHIND_ROWS else 0)


def _of_study(first: Waiting, rows: Iterator[Waiting], most: int) -> list[Waiting]:
    """Return a row and those of its study that come soon after it."""
    same = (row for row in islice(rows, HEAD_ROWS) if row.study == first.study)
    return [first, *islice(same, most - 1)]


def _rows(txn: Transaction, prefix: bytes, *, leased: Container[int], start: bytes | None = None) -> Iterator[Waiting]:
    for key, value in txn.rows(QUEUE, prefix, start=start):
        _, _, urgency, number = read_queue_key(key)
        if number not in leased:
            row = unpack(Queued, value)
            yield Waiting(number, row.study, row.size, row.since, row.ask_first, urgency == 0)
