"""Working off `unowned`: chunks whose instance was aborted or evicted, or whose upload died with the process.

Bounded deletes, one transaction each; the row goes with the last of them. Numbers in `busy` (uploads still arriving,
instances being read) are left alone, and so are those from `below` on: they may be given out after the caller looked.
"""

from collections.abc import Container

from edged.store.chunks import delete_chunks
from edged.store.schema import UNOWNED, read_u64, u64_key
from edged.store.transaction import Transaction


def sweep(txn: Transaction, busy: Container[int], below: int) -> bool:
    """Delete some chunks of the first number that may go; return False when there is nothing left to do."""
    for key, _ in txn.rows(UNOWNED):
        number = read_u64(key)
        if number >= below:
            return False
        if number in busy:
            continue
        if delete_chunks(txn, number):
            txn.delete(UNOWNED, u64_key(number))
        return True
    return False
