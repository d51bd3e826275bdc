"""What happened to an instance and its record no longer tells: refusals, second tries, doubts, what people did.

That it came, was sent and was committed to stands in its own records and is not written here, so that what goes well
costs nothing. What is said again and again is one entry that is counted. An entry belongs to an instance number: it
stays when the instance is evicted, as long as the UID is remembered; the oldest entries of one instance, and of all, go
when there are too many.
"""

from msgspec import structs

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

MOST_OF_ONE = 200
"""Entries kept of one instance: its latest."""

TRIM_ENTRIES = 1000


def note(txn: Transaction, number: int, entry: HistoryEntry) -> None:
    """Write what happened to an instance, in the transaction that makes it true."""
    serial = txn.add(NEXT_HISTORY, 1)
    txn.put_record(HISTORY, history_key(number, serial), entry)
    txn.put(HISTORY_ORDER, u64_key(serial), u64_key(number))
    keys = [bytes(key) for key, _ in txn.rows(HISTORY, u64_key(number))]
    for key in keys[:-MOST_OF_ONE]:
        txn.delete(HISTORY, key)
        txn.delete(HISTORY_ORDER, key[8:])


def note_again(txn: Transaction, number: int, entry: HistoryEntry) -> None:
    """As note, but what says the same as the instance's last entry is counted there."""
    *_, last = ((None, b""), *txn.rows(HISTORY, u64_key(number)))
    if last[0] is not None:
        before = unpack(HistoryEntry, last[1])
        if _said(before) == _said(entry):
            until = max(entry.time, entry.until)
            counted = structs.replace(before, times=before.times + entry.times, until=until)
            txn.put_record(HISTORY, bytes(last[0]), counted)
            return
    note(txn, number, entry)


def _said(entry: HistoryEntry) -> tuple[object, ...]:
    return entry.what, entry.destination, entry.status, entry.reason, entry.text


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
