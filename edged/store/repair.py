"""Putting the bytes of a good copy in the place of those that turned, in bounded transactions.

The copy is an upload that is never admitted: its chunks are unowned and the sweeper frees them. Only chunks that are
not those of the copy are written. The last transaction writes the record with the rest, so that until then the
instance is as bad as it was, and a crash in between leaves what the scrub finds again.

Every transaction asks first whether the instance is still there with the same record. LMDB looks into the first page of
a chunk to free it: one that the disk cannot give there is not written over, because that would end the process.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import lmdb

from edged.store.admission import Tail
from edged.store.chunks import chunk_count, read_chunks
from edged.store.errors import InstanceUnreadable
from edged.store.events import append_event
from edged.store.queue import resize
from edged.store.records import Event, Instance
from edged.store.schema import CHUNKS, INSTANCES, chunk_key, u64_key
from edged.store.transaction import Transaction

REPAIR_CHUNKS = 128
"""Written in one transaction: just under 8 MiB."""


@dataclass(frozen=True, slots=True)
class Repair:
    """The instance `number` whose record is `before`, the record that tells of the copy, and where the copy is.

    The copy is about as large as what it repairs; its last chunks are those of the tail, the others are in the store.
    """

    number: int
    before: Instance
    after: Instance
    tail: Tail

    @property
    def steps(self) -> Iterator[int]:
        """The first chunk of each transaction; the last of them goes to `finish_repair`."""
        return iter(range(0, chunk_count(self.after.size), REPAIR_CHUNKS))

    def is_last(self, first: int) -> bool:
        """Whether the transaction that begins with this chunk is the last one."""
        return first + REPAIR_CHUNKS >= chunk_count(self.after.size)


def put_chunks(txn: Transaction, repair: Repair, first: int) -> bool:
    """Put some chunks in place; return False when the instance is no longer there as it was.

    Raises InstanceUnreadable when a chunk cannot be written over, InstanceGone when one of the copy is missing.
    """
    if txn.record(INSTANCES, u64_key(repair.number), Instance) != repair.before:
        return False
    for index in range(first, min(first + REPAIR_CHUNKS, chunk_count(repair.after.size))):
        key, good = chunk_key(repair.number, index), _good(txn, repair.tail, index)
        if _needs_writing(txn, key, good):
            txn.put(CHUNKS, key, memoryview(good))
    return True


def finish_repair(txn: Transaction, repair: Repair, first: int, *, event: Event) -> bool:
    """Put the last chunks in place, remove what is beyond them, write the record and the event; else as put_chunks."""
    if not put_chunks(txn, repair, first):
        return False
    _delete_beyond(txn, repair.number, chunk_count(repair.after.size))
    resize(txn, repair.number, before=repair.before, after=repair.after)
    txn.put_record(INSTANCES, u64_key(repair.number), repair.after)
    append_event(txn, event)
    return True


def _needs_writing(txn: Transaction, key: bytes, good: bytes | bytearray) -> bool:
    """Whether a chunk is not the good one already, and can be written over; raises InstanceUnreadable."""
    try:
        return txn.get(CHUNKS, key) != good
    except lmdb.Error as error:
        raise InstanceUnreadable(f"a chunk cannot be looked up: {error}") from error
    except InstanceUnreadable:
        if not txn.may_free(key):
            raise
        return True


def _good(txn: Transaction, tail: Tail, index: int) -> bytes | bytearray:
    if index >= tail.first:
        return tail.chunks[index - tail.first]
    [chunk] = read_chunks(txn, tail.number, first=index, count=1)
    return chunk


def _delete_beyond(txn: Transaction, number: int, count: int) -> None:
    """Delete the chunks from `count` on: a few, and those of a larger copy whose repair was cut off."""
    doomed = list(txn.chunk_keys(u64_key(number), start=chunk_key(number, count)))
    if not all(map(txn.may_free, doomed)):
        raise InstanceUnreadable("the disk cannot give back a page that would have to be freed")
    for key in doomed:
        txn.delete(CHUNKS, key)
