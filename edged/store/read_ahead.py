"""What was read of instances and was not yet taken, of all streams together: bounded, whoever reads how slowly.

Strategy: chunks are read in batches, because a worker thread costs more than a chunk. They can be read again at any
time, so when there are too many those of the stream that has not moved for the longest are dropped: readers that stall
keep nothing, and never slow down the others.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MOST_CHUNKS = 256
"""Some 16 MiB: whole batches of 16 streams."""


class Batch:
    """The chunks that one stream takes next."""

    __slots__ = ("_ahead", "chunks")

    def __init__(self, ahead: "ReadAhead") -> None:
        self._ahead = ahead
        self.chunks = deque[bytes]()

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Hold chunks that were read; it is empty."""
        self.chunks.extend(chunks)
        self._ahead.grown(self)

    def take(self) -> bytes | None:
        """Return the next chunk; None when it is to be read, perhaps again."""
        if not self.chunks:
            return None
        self._ahead.moved(self)
        return self.chunks.popleft()


class ReadAhead:
    """The batches of all streams; `held` counts their chunks."""

    def __init__(self, most: int = MOST_CHUNKS) -> None:
        self.most = most
        self.held = 0
        self._batches: dict[Batch, None] = {}

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
        self.held += len(batch.chunks)
        self._batches[batch] = None
        while self.held > self.most and (first := next(iter(self._batches))) is not batch:
            self._drop(first)

    def moved(self, batch: Batch) -> None:
        """Count a chunk that is taken: its stream is the last to be dropped."""
        self.held -= 1
        del self._batches[batch]
        if len(batch.chunks) > 1:
            self._batches[batch] = None

    def _drop(self, batch: Batch) -> None:
        self.held -= len(batch.chunks)
        batch.chunks.clear()
        self._batches.pop(batch, None)
