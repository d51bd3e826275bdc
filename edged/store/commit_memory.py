"""The long memory of commitments: of what was evicted, who had committed to which data set (DICOM.md §6).

A record is written in the transaction that evicts, so that at no moment neither the instance nor the record tells of
it. It outlives the digests that are remembered by years and is bounded in rows and by a share of the store; the oldest
evictions are forgotten first. Of a UID the newest counts. What it may be taken for is decided by whoever answers.
"""

from collections.abc import Mapping

from msgspec import structs

from edged.store.records import CommitRecord, Delivery, Instance
from edged.store.schema import COMMITTED_MEMORY, COMMITTED_MEMORY_ORDER, moment_key, uid_key
from edged.store.transaction import Transaction

TRIM_RECORDS = 1000
MOST_SHARE = 0.1
"""Of the store's capacity, whatever the settings say: it is there for instances."""

RECORD_BYTES = 600
"""What one record takes in both tables, with their pages two thirds full."""


def most_records(wanted: int, capacity: int) -> int:
    """Return how many records are kept of as many as are wanted, in a store of `capacity` bytes."""
    return min(wanted, int(capacity * MOST_SHARE) // RECORD_BYTES)


def remember(
    txn: Transaction, number: int, instance: Instance, *, deliveries: Mapping[int, Delivery], now: float
) -> None:
    """Write who had committed to an instance that is being evicted: `deliveries` are those to required destinations."""
    key = uid_key(instance.sop_instance_uid)
    before = txn.record(COMMITTED_MEMORY, key, CommitRecord)
    if before is not None:
        txn.delete(COMMITTED_MEMORY_ORDER, _moment(before))
    record = CommitRecord(
        number=number,
        sop_class_uid=instance.sop_class_uid,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        dataset_digest=instance.dataset_digest,
        committed=max((delivery.since for delivery in deliveries.values()), default=0.0),
        evicted=now,
        proofs={destination: delivery.proof for destination, delivery in deliveries.items()},
    )
    txn.put_record(COMMITTED_MEMORY, key, record)
    txn.put(COMMITTED_MEMORY_ORDER, _moment(record), key)


def recall(txn: Transaction, sop_instance_uid: str) -> CommitRecord | None:
    """Return what is known of the newest instance that was evicted under a UID."""
    return txn.record(COMMITTED_MEMORY, uid_key(sop_instance_uid), CommitRecord)


def mark_lost(txn: Transaction, sop_instance_uid: str) -> bool:
    """Note that a destination no longer has what was evicted; return whether anything was known of it."""
    known = recall(txn, sop_instance_uid)
    if known is not None:
        txn.put_record(COMMITTED_MEMORY, uid_key(sop_instance_uid), structs.replace(known, lost=True))
    return known is not None


def trim_memory(txn: Transaction, *, keep: int, limit: int = TRIM_RECORDS) -> int:
    """Forget at most `limit` of the oldest records beyond `keep`; return how many."""
    surplus = min(limit, txn.count(COMMITTED_MEMORY_ORDER) - keep)
    doomed = [
        (bytes(key), bytes(uid))
        for (key, uid), _ in zip(txn.rows(COMMITTED_MEMORY_ORDER), range(surplus), strict=False)
    ]
    for key, uid in doomed:
        txn.delete(COMMITTED_MEMORY_ORDER, key)
        txn.delete(COMMITTED_MEMORY, uid)
    return len(doomed)


def _moment(record: CommitRecord) -> bytes:
    return moment_key(int(record.evicted * 1000), record.number)
