"""Letting go of an instance that every required destination has committed to (DESIGN §1.5).

Eviction is one bounded transaction: record, indexes, counts and deliveries go, the chunks become unowned for the
sweeper, the digest and who had committed to it are remembered, the event is written. Only what stands in EVICTABLE can
go, and it stands there only while it is proven. What is remembered never replaces storing: it only makes the box ask
before it uploads again, and compare what is there where another data set had the UID before.
"""

from collections.abc import Mapping
from enum import Enum, auto

from edged.dicomweb.event_report import EventKind
from edged.store.chunks import Rest, delete_chunks
from edged.store.commit_memory import remember
from edged.store.events import append_event
from edged.store.instances import take_out
from edged.store.queue import drop_deliveries, read_delivery
from edged.store.records import CommitRecord, Delivery, Event, Instance, Remembered, Unowned, UnownedKind
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
from edged.store.transaction import Transaction

AT_ONCE = 32
"""Instances evicted in one transaction: small beside what intake writes in one."""


def evict_oldest(txn: Transaction, *, committed_before: float, least_bytes: int, now: float) -> dict[int, int]:
    """Evict the oldest committed instances; return their sizes in bytes by number, at most AT_ONCE of them.

    Goes on while an instance was committed before `committed_before` (seconds since the epoch) or less than
    `least_bytes` have been freed.
    """
    evicted: dict[int, int] = {}
    while len(evicted) < AT_ONCE and (oldest := txn.first(EVICTABLE)) is not None:
        committed_ms, number = read_moment_key(oldest[0])
        size = read_u64(oldest[1])
        if committed_ms >= committed_before * 1000 and sum(evicted.values()) >= least_bytes:
            break
        _evict(txn, number, now)
        evicted[number] = size
    return evicted


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
    deliveries = _required(txn, number, instance)
    _remember(txn, number, instance, deliveries=deliveries, now=now)
    remember(txn, number, instance, deliveries=deliveries, now=now)
    drop_deliveries(txn, number, instance)
    take_out(txn, number, instance)
    if delete_chunks(txn, number) is not Rest.NONE:
        txn.put_record(UNOWNED, u64_key(number), Unowned(kind=UnownedKind.EVICTING, since=now))
    append_event(txn, _evicted(number, instance, now))


def _required(txn: Transaction, number: int, instance: Instance) -> dict[int, Delivery]:
    found = {destination: read_delivery(txn, number, destination) for destination in instance.required}
    return {destination: delivery for destination, delivery in found.items() if delivery is not None}


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


def _evicted(number: int, instance: Instance, now: float) -> Event:
    return Event(
        kind=EventKind.EVICTED,
        time=now,
        instance=number,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
    )
