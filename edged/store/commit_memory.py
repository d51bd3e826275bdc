"""The long memory of commitments: of what was evicted, who had committed to which data set (DICOM.md §6).

It outlives the digests that are remembered by years and is bounded in rows; the oldest evictions are forgotten first.
"""

from edged.store.schema import COMMITTED_MEMORY, COMMITTED_MEMORY_ORDER
from edged.store.transaction import Transaction

TRIM_RECORDS = 1000


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
