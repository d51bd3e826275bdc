"""The bytes of instances, cut into chunks.

`Cutter` gathers what arrives into whole chunks with one copy. Reading copies out of the map in batches: a view would
outlive its transaction without an error and then show reused pages. What the disk cannot give back is an error of one
instance (`finder`).
"""

from collections.abc import Iterator, Sequence
from enum import Enum

import lmdb

from edged.dicom.digests import Digest, FileDigest
from edged.dicom.edits import Piece
from edged.store.errors import InstanceGone
from edged.store.records import Instance
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key, u64_key
from edged.store.transaction import Transaction

READ_CHUNKS = 16
"""About 1 MiB a batch: one thread hop, well under a second of an open read transaction."""

BLOCK_CHUNKS = 8
"""Chunks that leave the store as one where whoever takes them sends them on: what a piece costs on its way does not
depend on its size."""

DELETE_CHUNKS = 256
"""About 16 MiB of pages a transaction."""


class Cutter:
    """Gathers arriving bytes into chunks; `first` is the number of the first chunk not yet handed over."""

    __slots__ = ("_open", "first", "whole")

    def __init__(self) -> None:
        self.first = 0
        self.whole: list[bytes | bytearray] = []
        self._open = bytearray()

    @property
    def gathered(self) -> int:
        """What is gathered and not yet handed over."""
        return len(self.whole) * CHUNK_BYTES + len(self._open)

    def add(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            taken = view[: CHUNK_BYTES - len(self._open)]
            self._open += taken
            view = view[len(taken) :]
            if len(self._open) == CHUNK_BYTES:
                self.whole.append(self._open)
                self._open = bytearray()

    def take_whole(self) -> tuple[int, list[bytes | bytearray]]:
        """Hand over the whole chunks with the number of the first."""
        first, chunks = self.first, self.whole
        self.first += len(chunks)
        self.whole = []
        return first, chunks

    def take_all(self) -> tuple[int, list[bytes | bytearray]]:
        """Hand over everything, the last chunk short."""
        first, chunks = self.take_whole()
        if self._open:
            chunks.append(self._open)
            self._open = bytearray()
        return first, chunks


def write_chunks(txn: Transaction, number: int, chunks: Sequence[bytes | bytearray], *, first: int) -> None:
    """Write chunks of one instance, the first of them numbered `first`."""
    for offset, chunk in enumerate(chunks):
        txn.put(CHUNKS, chunk_key(number, first + offset), memoryview(chunk))


def has_chunk(txn: Transaction, number: int, index: int) -> bool:
    """Return whether a chunk of an instance is there."""
    return txn.chunk_bytes(chunk_key(number, index)) is not None


def chunk_count(size: int) -> int:
    """Return how many chunks `size` bytes take."""
    return -(-size // CHUNK_BYTES)


def view_chunks(txn: Transaction, number: int, *, first: int, count: int) -> Iterator[bytes | memoryview]:
    """Yield `count` chunks, valid only inside the transaction.

    Raises InstanceGone when one is missing, InstanceUnreadable when the disk cannot give one back.
    """
    for expected in range(first, first + count):
        try:
            chunk = txn.get(CHUNKS, chunk_key(number, expected))
        except lmdb.Error as error:
            raise InstanceGone(f"chunk {expected} of instance number {number} cannot be read: {error}") from error
        if chunk is None:
            raise InstanceGone(f"chunk {expected} of instance number {number} is missing")
        yield chunk


def begin_is_readable(txn: Transaction, number: int) -> bool:
    """Return whether the first page of an instance can be read, if it is there; why not, whoever reads it is told."""
    try:
        return txn.chunks.begins_readable(chunk_key(number, 0))
    except lmdb.Error:
        return False


def read_chunks(txn: Transaction, number: int, *, first: int, count: int) -> list[bytes]:
    """Return copies of `count` chunks; raises InstanceGone and InstanceUnreadable."""
    return [bytes(chunk) for chunk in view_chunks(txn, number, first=first, count=count)]


def read_blocks(txn: Transaction, number: int, *, first: int, count: int) -> list[Piece]:
    """Return copies of `count` chunks, up to BLOCK_CHUNKS as one; raises InstanceGone and InstanceUnreadable."""
    chunks = range(first, first + count)
    return [_read_block(txn, number, chunks[at : at + BLOCK_CHUNKS]) for at in range(0, count, BLOCK_CHUNKS)]


def _read_block(txn: Transaction, number: int, chunks: range) -> Piece:
    try:
        block = txn.chunks.run([chunk_key(number, index) for index in chunks])
    except lmdb.Error:
        block = None
    return b"".join(view_chunks(txn, number, first=chunks.start, count=len(chunks))) if block is None else block


def stored_digest(txn: Transaction, number: int, instance: Instance) -> bytes:
    """Return the digest of the bytes that are stored of an instance; raises InstanceGone and InstanceUnreadable."""
    digest = FileDigest(instance.body_offset)
    hash_chunks(txn, number, digest=digest, first=0, count=chunk_count(instance.size))
    return digest.digest()


def hash_chunks(txn: Transaction, number: int, *, digest: Digest, first: int, count: int) -> None:
    """Update a digest with `count` chunks, without a copy; raises InstanceGone and InstanceUnreadable."""
    for chunk in view_chunks(txn, number, first=first, count=count):
        digest.update(chunk)


class Rest(Enum):
    """What is left of an instance after some of its chunks were deleted."""

    NONE = "none"
    MORE = "more"
    UNREADABLE = "unreadable"
    """Only what the disk cannot give back: to free it LMDB would look into it, and that would end the process."""


def delete_chunks(txn: Transaction, number: int, limit: int = DELETE_CHUNKS) -> Rest:
    """Delete at most `limit` chunks of one instance; return what is left."""
    doomed: list[bytes] = []
    rest = Rest.NONE
    for key in txn.chunk_keys(u64_key(number)):
        if len(doomed) == limit:
            rest = Rest.MORE
            break
        if txn.may_free(key):
            doomed.append(key)
        else:
            rest = Rest.UNREADABLE
    for key in doomed:
        txn.delete(CHUNKS, key)
    return rest
