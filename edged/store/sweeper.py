"""Working off `unowned`: chunks whose instance was aborted or evicted, or whose upload died with the process.

Bounded deletes, one transaction each; the row goes with the last of them. Numbers in `busy` (uploads still arriving,
instances being read) are left alone, and so are those from `below` on: they may be given out after the caller looked.
A number of which only unreadable chunks are left keeps its row: the caller adds it to those that are busy.
"""

from collections.abc import Container
from dataclasses import dataclass

from edged.store.chunks import Rest, delete_chunks
from edged.store.schema import UNOWNED, read_u64, u64_key
from edged.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Swept:
    """The number that was worked off, and what is left of it."""

    number: int
    rest: Rest


def sweep(txn: Transaction, busy: Container[int], below: int) -> Swept | None:
    """Delete some chunks of the first number that may go; return None when there is nothing left to do."""
    for key, _ in txn.rows(UNOWNED):
        number = read_u64(key)
        if number >= below:
            return None
        if number in busy:
            continue
        rest = delete_chunks(txn, number)
        if rest is Rest.NONE:
            txn.delete(UNOWNED, u64_key(number))
        return Swept(number, rest)
    return None
