"""What was read of instances and was not yet taken, of all streams together: bounded, whoever reads how slowly.

Strategy: chunks are read in batches, because a worker thread costs more than a chunk, and the next batch while the last
one is taken. They can be read again at any time, so when there are too many those of the stream that has not moved for
the longest are dropped, and before them what nobody has begun to take: readers that stall keep nothing, and never slow
down the others. Several chunks may be held as one block, which counts as many.

Invariant: `held` counts the chunks of all batches, `coming` those that are being read or wait to be taken for the first
time; together they are at most `most`, but for the batch that was filled last.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from edged.dicom.edits import Piece
from edged.store.chunks import chunk_count
from edged.store.errors import StoreError
from edged.store.readers import Reading

MOST_CHUNKS = 256
"""Some 16 MiB: whole batches of 16 streams."""

ByNumber = dict[int, Sequence[Piece]]
"""Chunks by instance number."""


class Lane(Protocol):
    """Whose turn it is to read, where several share the disk."""

    async def take(self) -> None:
        """Wait for a turn."""

    def take_nowait(self) -> bool:
        """Take a turn if there is one now."""

    def give(self) -> None:
        """End a turn."""


def chunks_in(block: Piece) -> int:
    """Return of how many chunks a block is; none of them is short but the last."""
    return max(1, chunk_count(len(block)))


class Batch:
    """The chunks that one stream takes next; `count` of them."""

    __slots__ = ("_ahead", "chunks", "count")

    def __init__(self, ahead: "ReadAhead") -> None:
        self._ahead = ahead
        self.chunks = deque[Piece]()
        self.count = 0

    def fill(self, chunks: Iterable[Piece]) -> None:
        """Hold chunks that were read; it is empty."""
        self.chunks.extend(chunks)
        self.count = sum(map(chunks_in, self.chunks))
        if self.chunks:
            self._ahead.grown(self)

    def take(self) -> Piece | None:
        """Return the next chunk or block; None when it is to be read, perhaps again."""
        if not self.chunks:
            return None
        block = self.chunks.popleft()
        count = chunks_in(block)
        self.count -= count
        self._ahead.moved(self, count)
        return block

    def clear(self) -> None:
        """Hold nothing; it is to be read again."""
        self.chunks.clear()
        self.count = 0


class Coming:
    """Chunks that are read before they are asked for, of one or several instances."""

    __slots__ = ("_ahead", "_reading", "counts")

    def __init__(self, ahead: "ReadAhead", reading: Reading[ByNumber], counts: dict[int, int]) -> None:
        self._ahead = ahead
        self._reading: Reading[ByNumber] | None = reading
        self.counts = counts

    async def take(self, number: int) -> Sequence[Piece]:
        """Return the chunks of an instance; none where they were dropped or cannot be read: its reader will see."""
        reading = self._reading
        try:
            found = None if reading is None else await reading.wait()
        except StoreError:
            found = None
        if found is None or number not in self.counts:
            return ()
        self._ahead.came(self, number)
        return found.pop(number, ())  # whoever took it holds it alone

    def drop(self) -> None:
        """Read it no more; what was not taken is forgotten."""
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
            self._ahead.forget(self)


class ReadAhead:
    """The batches of all streams, and what is coming for them."""

    def __init__(self, most: int = MOST_CHUNKS) -> None:
        self.most = most
        self.held = 0
        self.coming = 0
        self._batches: dict[Batch, None] = {}
        self._comings: dict[Coming, None] = {}
        self._early: dict[int, Coming] = {}

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """Begin a stream, and end it."""
        batch = Batch(self)
        try:
            yield batch
        finally:
            self._drop(batch)

    def grown(self, batch: Batch) -> None:
        """Count a batch that was filled, and drop those that stand still when there is too much."""
        self.held += batch.count
        self._batches[batch] = None
        while self.held + self.coming > self.most and self._comings:
            next(iter(self._comings)).drop()
        while self.held > self.most and (first := next(iter(self._batches))) is not batch:
            self._drop(first)

    def moved(self, batch: Batch, count: int) -> None:
        """Count chunks that were taken: their stream is the last to be dropped."""
        self.held -= count
        del self._batches[batch]
        if batch.chunks:
            self._batches[batch] = None

    def begin(
        self, counts: dict[int, int], lane: Lane | None, read: Callable[[Callable[[], None]], Reading[ByNumber] | None]
    ) -> Coming | None:
        """Let so many chunks of each instance come, if there is room and the lane is free; `read` begins to read."""
        count = sum(counts.values())
        if not count or self.held + self.coming + count > self.most or not (lane is None or lane.take_nowait()):
            return None
        ended = _nothing if lane is None else lane.give
        reading = read(ended)
        if reading is None:
            ended()
            return None
        coming = Coming(self, reading, counts)
        self.coming += count
        self._comings[coming] = None
        return coming

    @contextmanager
    def early(self, coming: Coming | None) -> Iterator[None]:
        """Offer the beginnings of instances to whoever streams them, until the block ends."""
        if coming is None:
            yield
            return
        self._early |= dict.fromkeys(coming.counts, coming)
        try:
            yield
        finally:
            coming.drop()

    def begun(self, number: int) -> Coming | None:
        """Return where the beginning of an instance comes from, if it does."""
        return self._early.pop(number, None)

    def came(self, coming: Coming, number: int) -> None:
        """Note that what came of an instance was taken."""
        self.coming -= coming.counts.pop(number)
        if not coming.counts:
            self._comings.pop(coming, None)

    def forget(self, coming: Coming) -> None:
        """Note that what was not taken of it will not be."""
        for number in list(coming.counts):
            if self._early.get(number) is coming:
                del self._early[number]
            self.came(coming, number)

    def _drop(self, batch: Batch) -> None:
        self.held -= batch.count
        batch.clear()
        self._batches.pop(batch, None)


def _nothing() -> None:
    """There is no turn to end."""
