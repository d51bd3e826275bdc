"""Walking through what destinations have committed to: what is here, and what is remembered of what was let go.

Reads only, a few rows at a time from wherever the last look ended: the cost of one look does not depend on how much
there is. A walk that comes to the end begins again; `after` is then back at the beginning.
"""

from collections.abc import Iterator
from itertools import islice

from edged.store.counters import NEXT_INSTANCE
from edged.store.records import CommitRecord, DeliveryState, Instance, unpack
from edged.store.schema import (
    COMMITTED_MEMORY,
    COMMITTED_MEMORY_ORDER,
    INSTANCES,
    moment_key,
    read_moment_key,
    read_u64,
    u64_key,
)
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction

BEGINNING = b""


def count_here(txn: Transaction) -> int:
    """Return how many instances are here, committed or not."""
    return txn.count(INSTANCES)


def count_remembered(txn: Transaction) -> int:
    """Return how many evicted ones are remembered."""
    return txn.count(COMMITTED_MEMORY)


def somewhere_here(txn: Transaction, share: float) -> bytes:
    """Return where a walk through what is here may begin: `share` of the way, from 0 to 1."""
    oldest = txn.first(INSTANCES)
    first = read_u64(oldest[0]) if oldest is not None else 0
    return u64_key(first + int(share * max(0, txn.counter(NEXT_INSTANCE) - first)))


def somewhere_remembered(txn: Transaction, share: float, *, now: float) -> bytes:
    """Return where a walk through what is remembered may begin: `share` of the way from the oldest eviction to now."""
    oldest = txn.first(COMMITTED_MEMORY_ORDER)
    first_ms = read_moment_key(oldest[0])[0] if oldest is not None else 0
    return moment_key(first_ms + int(share * max(0, int(now * 1000) - first_ms)), 0)


def committed_here(
    txn: Transaction, destination: int, *, after: bytes, limit: int
) -> tuple[dict[int, Instance], bytes]:
    """Return those of the next `limit` instances that a destination has committed to, and where to go on."""
    found: dict[int, Instance] = {}
    seen = 0
    for key, value in islice(txn.rows(INSTANCES, start=_beyond(after)), limit):
        seen, after, number = seen + 1, bytes(key), read_u64(key)
        instance = unpack(Instance, value)
        delivery = read_delivery(txn, number, destination)
        if delivery is not None and delivery.state is DeliveryState.COMMITTED:
            found[number] = instance
    return found, after if seen == limit else BEGINNING


def committed_before_eviction(
    txn: Transaction, destination: int, *, after: bytes, limit: int
) -> tuple[dict[str, CommitRecord], bytes]:
    """Return those of the next `limit` evicted ones that a destination had committed to, and where to go on."""
    found: dict[str, CommitRecord] = {}
    seen = 0
    rows: Iterator[tuple[bytes, bytes]] = (
        (bytes(key), bytes(uid)) for key, uid in islice(txn.rows(COMMITTED_MEMORY_ORDER, start=_beyond(after)), limit)
    )
    for key, uid in list(rows):
        seen, after = seen + 1, key
        record = txn.record(COMMITTED_MEMORY, uid, CommitRecord)
        if record is not None and destination in record.proofs:
            found[uid.decode()] = record
    return found, after if seen == limit else BEGINNING


def _beyond(after: bytes) -> bytes | None:
    """The least key beyond one; None stands for the beginning."""
    return after + b"\0" if after else None
