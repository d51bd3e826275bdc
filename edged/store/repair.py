"""Putting the bytes of a good copy in the place of those that turned, in bounded transactions.

The copy is an upload that is never admitted: its chunks are unowned and the sweeper frees them. Only chunks that are
not those of the copy are written. The last transaction writes the record with the rest, so that until then the
instance is as bad as it was, and a crash in between leaves what the scrub finds again.

Every transaction asks first whether the instance is still there with the same record; nobody else may put a copy of the
same instance in place meanwhile. LMDB looks into the first page of a chunk to free it: one that the disk cannot give
there is not written over, because that would end the process, and then nothing is.
"""

from collections.abc import Sequence
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


def differing(txn: Transaction, repair: Repair, first: int) -> list[int]:
    """Return which of REPAIR_CHUNKS chunks from `first` on are not those of the copy.

    Raises InstanceUnreadable when one of them cannot be written over, InstanceGone when one of the copy is missing.
    """
    indexes = range(first, min(first + REPAIR_CHUNKS, chunk_count(repair.after.size)))
    return [
        index
        for index in indexes
        if _needs_writing(txn, chunk_key(repair.number, index), _good(txn, repair.tail, index))
    ]


def put_chunks(txn: Transaction, repair: Repair, indexes: Sequence[int]) -> bool:
    """Put chunks in place that `differing` named, so many; return False when the instance is not there as it was.

    Nothing of the old ones is read: where a disk fails that takes its time, and the writer must not wait. Raises
    InstanceGone when a chunk of the copy is missing.
    """
    if txn.record(INSTANCES, u64_key(repair.number), Instance) != repair.before:
        return False
    for index in indexes:
        txn.put(CHUNKS, chunk_key(repair.number, index), memoryview(_good(txn, repair.tail, index)))
    return True


def finish_repair(txn: Transaction, repair: Repair, indexes: Sequence[int], *, event: Event) -> bool:
    """Put the last chunks in place, remove what is beyond them, write the record and the event; else as put_chunks."""
    if not put_chunks(txn, repair, indexes):
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
