"""Letting go of an instance that every required destination has committed to (DESIGN §1.5).

Eviction is one bounded transaction: record, indexes, counts and deliveries go, the chunks become unowned for the
sweeper, the digest and who had committed to it are remembered, the event is written. Only what stands in EVICTABLE can
go, and it stands there only while it is proven. What is remembered never replaces storing: it only makes the box ask
before it uploads again, and compare what is there where another data set had the UID before.
"""

from collections.abc import Container, Iterable, Mapping
from enum import Enum, auto
from typing import NamedTuple

from edged.dicomweb.event_report import EventKind
from edged.store.chunks import Rest, delete_chunks
from edged.store.commit_memory import remember
from edged.store.events import append_event, instance_event
from edged.store.instances import take_out
from edged.store.queue import drop_deliveries
from edged.store.records import CommitRecord, Delivery, Instance, Remembered, Unowned, UnownedKind
from edged.store.schema import (
    COMMITTED_MEMORY,
    EVICTABLE,
    INSTANCES,
    REMEMBERED,
    REMEMBERED_ORDER,
    UNOWNED,
    moment_key,
    read_moment_key,
    read_u64,
    u64_key,
    uid_key,
)
from edged.store.standings import read_deliveries, required_of
from edged.store.transaction import Transaction

AT_ONCE = 32
"""Instances evicted in one transaction: small beside what intake writes in one."""


class Going(NamedTuple):
    """An instance whose turn it is to go: its place in the order of eviction, and its size in bytes."""

    committed_ms: int
    number: int
    size: int


def next_to_go(
    txn: Transaction, *, committed_before: float, least_bytes: int, spared: Container[int] = frozenset()
) -> list[Going]:
    """Return the oldest committed instances that are to go now, at most AT_ONCE, none of the `spared` numbers.

    Goes on while an instance was committed before `committed_before` (seconds since the epoch) or less than
    `least_bytes` would be freed.
    """
    going: list[Going] = []
    freed = 0
    for key, value in txn.rows(EVICTABLE):
        committed_ms, number = read_moment_key(key)
        if len(going) == AT_ONCE or (committed_ms >= committed_before * 1000 and freed >= least_bytes):
            break
        if number not in spared:
            going.append(Going(committed_ms, number, read_u64(value)))
            freed += going[-1].size
    return going


def evict(txn: Transaction, going: Iterable[Going], *, now: float) -> dict[int, int]:
    """Let go of instances that may still go as they stood in the order; return their sizes in bytes by number."""
    evicted: dict[int, int] = {}
    for each in going:
        if txn.get(EVICTABLE, moment_key(each.committed_ms, each.number)) is not None:
            _evict(txn, each.number, now)
            evicted[each.number] = each.size
    return evicted


def evict_oldest(txn: Transaction, *, committed_before: float, least_bytes: int, now: float) -> dict[int, int]:
    """Let go of what `next_to_go` names."""
    return evict(txn, next_to_go(txn, committed_before=committed_before, least_bytes=least_bytes), now=now)


def let_go_by_hand(txn: Transaction, number: int, instance: Instance, *, now: float, text: str) -> None:
    """Take out an instance that no destination keeps any more, because a person decided so; `text` says who and why.

    What is remembered of it proves nothing; its chunks are left to the sweeper, since somebody may be reading them.
    """
    _remember(txn, number, instance, deliveries={}, now=now)
    drop_deliveries(txn, number, instance)
    take_out(txn, number, instance)
    txn.put_record(UNOWNED, u64_key(number), Unowned(kind=UnownedKind.EVICTING, since=now))
    append_event(txn, instance_event(EventKind.EVICTED, (number, instance), time=now, text=text))


class Before(Enum):
    """What was committed to under a UID before it was evicted here, as far as is known."""

    NOTHING = auto()
    SAME = auto()
    OTHER = auto()


def before_eviction(txn: Transaction, instance: Instance) -> Before:
    """Compare a data set with what was evicted under its UID: destinations may have another one."""
    key = uid_key(instance.sop_instance_uid)
    known = txn.record(REMEMBERED, key, Remembered) or txn.record(COMMITTED_MEMORY, key, CommitRecord)
    if known is None:
        return Before.NOTHING
    return Before.SAME if known.dataset_digest == instance.dataset_digest else Before.OTHER


def forget_oldest(txn: Transaction, keep: int, limit: int = 1000) -> int:
    """Forget the oldest remembered digests beyond `keep`; return how many."""
    surplus = min(limit, txn.count(REMEMBERED_ORDER) - keep)
    doomed = [
        (bytes(key), bytes(uid)) for (key, uid), _ in zip(txn.rows(REMEMBERED_ORDER), range(surplus), strict=False)
    ]
    for key, uid in doomed:
        txn.delete(REMEMBERED_ORDER, key)
        txn.delete(REMEMBERED, uid)
    return len(doomed)


def _evict(txn: Transaction, number: int, now: float) -> None:
    instance = txn.record(INSTANCES, u64_key(number), Instance)
    if instance is None:
        raise AssertionError(f"number {number} is evictable and has no record")
    deliveries = required_of(instance, read_deliveries(txn, number, instance))
    _remember(txn, number, instance, deliveries=deliveries, now=now)
    remember(txn, number, instance, deliveries=deliveries, now=now)
    drop_deliveries(txn, number, instance)
    take_out(txn, number, instance)
    if delete_chunks(txn, number) is not Rest.NONE:
        txn.put_record(UNOWNED, u64_key(number), Unowned(kind=UnownedKind.EVICTING, since=now))
    append_event(txn, instance_event(EventKind.EVICTED, (number, instance), time=now))


def _remember(
    txn: Transaction, number: int, instance: Instance, *, deliveries: Mapping[int, Delivery], now: float
) -> None:
    key = uid_key(instance.sop_instance_uid)
    before = txn.record(REMEMBERED, key, Remembered)
    if before is not None:
        txn.delete(REMEMBERED_ORDER, moment_key(int(before.evicted * 1000), before.number))
    remembered = Remembered(
        number=number,
        sop_class_uid=instance.sop_class_uid,
        dataset_digest=instance.dataset_digest,
        evicted=now,
        proofs=tuple(delivery.proof for delivery in deliveries.values()),
    )
    txn.put_record(REMEMBERED, key, remembered)
    txn.put(REMEMBERED_ORDER, moment_key(int(now * 1000), number), key)
