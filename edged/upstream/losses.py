"""What a destination has lost: sent again while it is here, told and marked where it was let go of.

A loss is durable in one transaction: the delivery goes back into the queue by compare-and-set, or what is remembered of
the evicted instance is marked, each with an entry in its history. An answer that was given before stays; from then on
nothing says "committed" of it until it is proven anew. What one destination loses again and again is set aside as
stuck, and tried daily. What is told of the lost is in memory; after a start it is read from the store again, step by
step.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edged.store.commit_memory import mark_lost, recall
from edged.store.committed import BEGINNING, committed_before_eviction
from edged.store.counters import taken_back
from edged.store.history import note
from edged.store.instances import find_instance
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState, Happened, HistoryEntry
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.store.waiting import waiting
from edged.telemetry.conditions import Severity
from edged.upstream.destination import Destination
from edged.upstream.moves import moved_on
from edged.upstream.notes import MOST_NOTES
from edged.upstream.outcomes import RESENDS

ARCHIVE_LOST = "archive-lost"
LOST_EVICTED = "archive-lost-evicted"
TOLD_EVERY_S = 60.0
RECALLED_ROWS = 2_000
"""Of what is remembered of the evicted: looked through in one step after a start."""

NAMED = 3

_DOUBTED = "committed to, and not shown any more"
_AGAIN = "lost by the archive; sent again"
_LOST_AGAIN = "lost by the archive again and again"


@dataclass(slots=True)
class _Lost:
    """What became of the lost: `back` in the queue, by number; `gone` from here, UIDs by number."""

    back: set[int] = field(default_factory=set)
    gone: dict[int, str] = field(default_factory=dict)


class Losses:
    """The losses of one destination."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._lost = _Lost()
        self._told_s = float("-inf")
        self._recalled: bytes | None = None

    async def recall(self) -> bool:
        """Take up what an earlier run told of, a step at a time; return whether that was all. Raises StoreError."""
        if self._recalled == BEGINNING:
            return True
        after, number = self._recalled, self._destination.number

        def known(txn: Transaction) -> tuple[_Lost, bytes]:
            evicted, end = committed_before_eviction(txn, number, after=after or BEGINNING, limit=RECALLED_ROWS)
            gone = {
                each.number: uid for uid, each in evicted.items() if is_lost(txn, each.number, uid, destination=number)
            }
            back = set(_doubted_still(txn, number)) if after is None else set[int]()
            return _Lost(back, gone), end

        found, self._recalled = await self._destination.box.store.read(known)
        if found.back or found.gone:
            self._keep(found)
            self._tell()
        return self._recalled == BEGINNING

    async def take_back(self, lost: Mapping[int, str]) -> None:
        """Take back what was committed: SOP Instance UIDs by instance number. Raises StoreError."""
        destination, now = self._destination, self._destination.box.clock.wall()

        def taken(txn: Transaction) -> _Lost:
            found = _Lost()
            for number, uid in lost.items():
                if _sent_again(txn, number, destination.number, now=now):
                    found.back.add(number)
                elif _marked(txn, number, uid, destination=destination.number):
                    found.gone[number] = uid
                else:
                    continue
                entry = HistoryEntry(what=Happened.DOUBTED, time=now, destination=destination.number, text=_DOUBTED)
                note(txn, number, entry)
            return found

        found = await destination.box.store.write(taken)
        self._keep(found)
        moved_on(destination, found.back)
        destination.box.bells.arrived.ring()
        self._tell()

    def remembered(self, gone: Mapping[int, str]) -> None:
        """Note what was found marked as lost: an earlier run told of it."""
        if gone:
            self._keep(_Lost(gone=dict(gone)))
            self._tell()

    async def tell(self) -> None:
        """Bring the conditions in line with what became of the lost; now and then is enough. Raises StoreError."""
        lost, now = self._lost, self._destination.now()
        if not (lost.back or lost.gone) or now < self._told_s + TOLD_EVERY_S:
            return
        self._told_s = now
        number = self._destination.number

        def still(txn: Transaction) -> _Lost:
            gone = {each: uid for each, uid in lost.gone.items() if is_lost(txn, each, uid, destination=number)}
            return _Lost(set(_unproven(txn, lost.back, number)), gone)

        self._lost = await self._destination.box.store.read(still)
        self._tell()

    def _keep(self, found: _Lost) -> None:
        self._lost.back |= found.back if len(self._lost.back) < MOST_NOTES else set()
        self._lost.gone |= found.gone if len(self._lost.gone) < MOST_NOTES else {}

    def _tell(self) -> None:
        lost, destination = self._lost, self._destination
        hints = {
            ARCHIVE_LOST: lost.back
            and f"It no longer shows {_count(lost.back)} that it had committed to. They are still here and are sent "
            "again; ask whoever runs the archive how they were lost.",
            LOST_EVICTED: lost.gone
            and f"It no longer shows {_count(lost.gone)} that it had committed to and that were let go of here: "
            f"{_named(lost.gone)}. Look for them where they came from, and ask whoever runs the archive.",
        }
        for name, hint in hints.items():
            full = f"{name}:{destination.name}"
            if hint:
                severity = Severity.CRITICAL if name == LOST_EVICTED else Severity.WARNING
                destination.box.conditions.raise_(full, severity, str(hint))
            else:
                destination.box.conditions.clear(full)


def _sent_again(txn: Transaction, number: int, destination: int, *, now: float) -> bool:
    before = read_delivery(txn, number, destination)
    if before is None:
        return False
    again = before.resends < RESENDS
    to = Delivery(
        state=DeliveryState.HELD if again else DeliveryState.STUCK,
        since=now,
        resends=before.resends + 1 if again else before.resends,
        text=_AGAIN if again else _LOST_AGAIN,
        doubted=now,
    )
    return move(txn, number, destination, expected=(DeliveryState.COMMITTED,), to=to)


def _marked(txn: Transaction, number: int, uid: str, *, destination: int) -> bool:
    known = recall(txn, uid)
    return known is not None and known.number == number and destination in known.proofs and mark_lost(txn, uid)


def _unproven(txn: Transaction, numbers: Iterable[int], destination: int) -> Iterable[int]:
    for number in numbers:
        delivery = read_delivery(txn, number, destination)
        if delivery is not None and delivery.state is not DeliveryState.COMMITTED:
            yield number


def _doubted_still(txn: Transaction, destination: int) -> Iterable[int]:
    """What was taken back and is not committed since, of the oldest in each queue: a loss is seldom of the latest."""
    if not txn.counter(taken_back(destination)):
        return
    for state in DeliveryState:
        for row in waiting(txn, destination, state) if state is not DeliveryState.COMMITTED else ():
            delivery = read_delivery(txn, row.number, destination)
            if delivery is not None and delivery.doubted:
                yield row.number


def is_lost(txn: Transaction, number: int, uid: str, *, destination: int) -> bool:
    """Whether what was let go of is marked as lost, and nothing here that was committed to anew stands in for it."""
    known = recall(txn, uid)
    if known is None or known.number != number or not known.lost:
        return False
    here = find_instance(txn, uid)
    delivery = read_delivery(txn, here[0], destination) if here is not None else None
    return delivery is None or delivery.state is not DeliveryState.COMMITTED


def _count(lost: Iterable[object]) -> str:
    count = len(list(lost))
    return "1 instance" if count == 1 else f"{count} instances"


def _named(gone: Mapping[int, str]) -> str:
    more = f" and {len(gone) - NAMED} more" if len(gone) > NAMED else ""
    return ", ".join(list(gone.values())[-NAMED:]) + more
