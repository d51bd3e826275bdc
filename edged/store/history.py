"""What happened to an instance and its record no longer tells: refusals, second tries, doubts, what people did.

That it came, was sent and was committed to stands in its own records and is not written here, so that what goes well
costs nothing. An entry belongs to an instance number: it stays when the instance is evicted, as long as the UID is
remembered, and the oldest entries of all go when there are too many.
"""

from edged.store.counters import NEXT_HISTORY
from edged.store.instances import instances_under
from edged.store.records import CommitRecord, HistoryEntry, Remembered, unpack
from edged.store.schema import (
    COMMITTED_MEMORY,
    HISTORY,
    HISTORY_ORDER,
    MAX_HISTORY,
    REMEMBERED,
    history_key,
    read_u64,
    u64_key,
    uid_key,
)
from edged.store.transaction import Transaction

MOST_TOLD = 1000
"""Entries of one instance that are told: the first of them."""

TRIM_ENTRIES = 1000


def note(txn: Transaction, number: int, entry: HistoryEntry) -> None:
    """Write what happened to an instance, in the transaction that makes it true."""
    serial = txn.add(NEXT_HISTORY, 1)
    txn.put_record(HISTORY, history_key(number, serial), entry)
    txn.put(HISTORY_ORDER, u64_key(serial), u64_key(number))


def history_of(txn: Transaction, sop_instance_uid: str) -> list[tuple[int, HistoryEntry]]:
    """Return what is known of whatever was stored under a UID, oldest first, with the instance numbers."""
    numbers = {number for number, _ in instances_under(txn, sop_instance_uid)}
    key = uid_key(sop_instance_uid)
    for evicted in (txn.record(REMEMBERED, key, Remembered), txn.record(COMMITTED_MEMORY, key, CommitRecord)):
        if evicted is not None:
            numbers.add(evicted.number)
    found: list[tuple[int, HistoryEntry]] = []
    for number in sorted(numbers):
        for _, value in txn.rows(HISTORY, u64_key(number)):
            if len(found) == MOST_TOLD:
                return found
            found.append((number, unpack(HistoryEntry, value)))
    return found


def trim_history(txn: Transaction, *, keep: int = MAX_HISTORY, limit: int = TRIM_ENTRIES) -> int:
    """Delete at most `limit` of the oldest entries beyond `keep`; return how many."""
    surplus = min(limit, txn.count(HISTORY_ORDER) - keep)
    doomed = [
        (read_u64(serial), read_u64(number))
        for (serial, number), _ in zip(txn.rows(HISTORY_ORDER), range(surplus), strict=False)
    ]
    for serial, number in doomed:
        txn.delete(HISTORY_ORDER, u64_key(serial))
        txn.delete(HISTORY, history_key(number, serial))
    return len(doomed)
