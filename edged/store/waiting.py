"""Looking into one destination's queue for what may be taken next.

Reads only, and no further than it has to: what comes of it is chosen from in memory, while others go on writing. The
order is the queue's: urgent first, then by instance number, which is the order of arrival.
"""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from itertools import islice

import msgspec

from edged.store.records import DeliveryState, Queued, unpack
from edged.store.schema import QUEUE, queue_key, queue_state_prefix, read_queue_key
from edged.store.transaction import Transaction

SCAN_ROWS = 2000
"""How much of a queue is looked at, at most."""
HEAD_ROWS = BEHIND_ROWS = SCAN_ROWS // 2
"""How far a study's next rows are looked for, and how far another study is."""
MOST_STUDIES = 64
"""Of which it is remembered when they had their turn; any other is as good as new."""
MOST_ENDED = 4
"""Studies of which nothing is found any more that one look passes over."""
_URGENCIES = (0, 1)


class Waiting(msgspec.Struct, frozen=True):
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
class Round:
    """Whose turn it is among what is equally urgent: a study that has had none yet, else the one that waits longest.

    `served` are the studies that have had theirs, the last one last, each with the first of its rows that was seen.
    `beyond` is the instance number up to which looks for another study have come. The next goes on from there, at the
    end of the queue it begins anew: so each look is bounded, and no study stays hidden.
    """

    served: tuple[tuple[str, int], ...] = ()
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Whose turn it is, by urgency."""

    rounds: tuple[Round, Round] = (Round(), Round())

    def after(self, urgency: int, after: Round) -> "Turn":
        """The turn that comes when one of the rounds went on."""
        urgent, other = self.rounds
        return Turn((urgent, after) if urgency else (after, other))


RowsFrom = Callable[[int], Iterator[Waiting]]
"""The rows of one queue of one urgency that are not leased, from an instance number on."""


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


def waiting_after(
    txn: Transaction, destination: int, state: DeliveryState, *, after: Waiting | None, limit: int
) -> list[Waiting]:
    """Return the rows of one queue that follow another one, None: its first, in the order of `waiting`."""
    start = None if after is None else queue_key(destination, state, _urgency(after), after.number + 1)
    return list(islice(_rows(txn, queue_state_prefix(destination, state), start=start), limit))


def _urgency(row: Waiting) -> int:
    return _URGENCIES[0 if row.urgent else 1]


def waiting_in_turn(
    txn: Transaction, destination: int, *, leased: Container[int], turn: Turn, most: int
) -> tuple[list[Waiting], Turn]:
    """Return at most `most` held rows of the one study whose turn it is, oldest first, and the turn that comes then.

    As long as urgent ones wait it is only among them. What is looked at is bounded, however long the queue is.
    """
    for urgency in _URGENCIES:
        prefix = queue_state_prefix(destination, DeliveryState.HELD) + bytes([urgency])

        def rows_from(number: int, urgency: int = urgency, prefix: bytes = prefix) -> Iterator[Waiting]:
            start = queue_key(destination, DeliveryState.HELD, urgency, number)
            return _rows(txn, prefix, leased=leased, start=start)

        found, after = _next_study(rows_from, turn.rounds[urgency], most)
        if found:
            return found, turn.after(urgency, after)
    return [], Turn()


def _next_study(rows_from: RowsFrom, had: Round, most: int) -> tuple[list[Waiting], Round]:
    """Return the rows of the study whose turn it is; none only where there are none."""
    known = dict(had.served)
    new, beyond = _another(rows_from, known, had.beyond)
    if new is not None:
        return _of_study(rows_from, new, most), _served(known, new.study, new.number, beyond=beyond)
    for study, number in list(known.items())[:MOST_ENDED]:
        first = next((row for row in islice(rows_from(number), HEAD_ROWS) if row.study == study), None)
        if first is not None:
            return _of_study(rows_from, first, most), _served(known, study, number, beyond=beyond)
        del known[study]
    oldest = next(rows_from(0), None)
    if oldest is None:
        return [], Round()
    return _of_study(rows_from, oldest, most), _served(known, oldest.study, oldest.number, beyond=beyond)


def _another(rows_from: RowsFrom, known: dict[str, int], beyond: int) -> tuple[Waiting | None, int]:
    """Look on for a study that is not known yet, a bounded way; also how far that was.

    Rows of a known one that lie before those seen of it came back, and are noted.
    """
    looked = 0
    for row in islice(rows_from(beyond), BEHIND_ROWS):
        if row.study not in known:
            return row, row.number
        known[row.study] = min(known[row.study], row.number)
        looked, beyond = looked + 1, row.number + 1
    return None, beyond if looked == BEHIND_ROWS else 0


def _served(known: dict[str, int], study: str, number: int, *, beyond: int) -> Round:
    """The round after a study has had its turn."""
    number = min(number, known.pop(study, number))
    return Round((*known.items(), (study, number))[-MOST_STUDIES:], beyond)


def _of_study(rows_from: RowsFrom, first: Waiting, most: int) -> list[Waiting]:
    """Return a row and those of its study that come soon after it."""
    following = (row for row in islice(rows_from(first.number + 1), HEAD_ROWS) if row.study == first.study)
    return [first, *islice(following, most - 1)]


def _rows(
    txn: Transaction, prefix: bytes, *, leased: Container[int] = (), start: bytes | None = None
) -> Iterator[Waiting]:
    for key, value in txn.rows(QUEUE, prefix, start=start):
        _, _, urgency, number = read_queue_key(key)
        if number not in leased:
            row = unpack(Queued, value)
            yield Waiting(number, row.study, row.size, row.since, row.ask_first, urgency == 0)
