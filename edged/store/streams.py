"""Streaming instances out of the store: chunk by chunk, or several as one block where they are sent on.

What is in memory, as most is that came just now, is read when it is taken: a thread that reads it costs more than that.
Of the rest the next batch is read while the last one is taken. What streams may be taken slowly by a peer, or begin
soon after another one, and the disk may be slow: neither waits for the other. What is read before it is asked for is
bounded by `ReadAhead`, and read again where it was dropped.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

import trio

from edged.dicom.edits import Piece
from edged.store.chunks import READ_CHUNKS, begin_is_readable, read_blocks, read_chunks
from edged.store.errors import InstanceGone, StoreError
from edged.store.read_ahead import Batch, ByNumber, Coming, Lane, ReadAhead, chunks_in
from edged.store.readers import Readers
from edged.store.transaction import Transaction


class Streams:
    """All streams of one store; `pinned` keeps an instance from being swept, `suspect` notes one that is not whole."""

    def __init__(
        self,
        readers: Readers,
        ahead: ReadAhead,
        *,
        pinned: Callable[[int], AbstractContextManager[None]],
        suspect: Callable[[int], None],
    ) -> None:
        self._readers = readers
        self._ahead = ahead
        self._pinned = pinned
        self._suspect = suspect

    async def stream(
        self, number: int, total: int, *, first: int, lane: Lane | None, blocks: bool
    ) -> AsyncGenerator[Piece, None]:
        """Yield the chunks of an instance from the `first` on, `total` being the last one's successor.

        What was begun to be read before is given as it was begun, in blocks or not.
        """
        with self._pinned(number), self._ahead.batch() as batch:
            begun = self._ahead.begun(number) if first == 0 else None
            if begun is not None:
                batch.fill(await begun.take(number))
            course, index = _Course(number, total, blocks=blocks), first
            course.is_slow = begun is not None
            try:
                while index < total:
                    if not batch.chunks:
                        await self._fill(batch, course, index, lane=lane)
                    chunk = batch.take()
                    assert chunk is not None  # nobody ran since it was filled
                    index += chunks_in(chunk)
                    self._look_ahead(course, index + batch.count, lane)
                    yield chunk
            finally:
                course.end()

    def early(self, totals: Mapping[int, int], *, lane: Lane | None, blocks: bool) -> AbstractContextManager[None]:
        """Begin to read the first chunks of instances, which have so many in all, until the `with` ends."""
        counts = {number: min(READ_CHUNKS, total) for number, total in totals.items()}
        view = partial(_beginnings, counts=dict(counts), blocks=blocks)
        return self._ahead.early(self._ahead.begin(counts, lane, partial(self._readers.soon, view)))

    def are_in_memory(self, numbers: Collection[int]) -> bool:
        """Whether `early` gains nothing: the first of these instances and the last are in memory, most likely all."""
        ends = (min(numbers), max(numbers)) if numbers else ()
        try:
            return self._readers.at_once(lambda txn: [begin_is_readable(txn, number) for number in ends]) is not None
        except StoreError:  # who streams them will be told
            return False

    async def _fill(self, batch: Batch, course: "_Course", index: int, *, lane: Lane | None) -> None:
        """Fill an empty batch from chunk `index` on."""
        coming = course.take(index)
        if coming is not None:
            batch.fill(await coming.take(course.number))
        if not batch.chunks:
            batch.fill(await self._read(course, index, lane))

    async def _read(self, course: "_Course", index: int, lane: Lane | None) -> Sequence[Piece]:
        """Read what was not read before, and say of what cannot be read that it is suspect."""
        count = min(READ_CHUNKS, course.total - index)
        view = partial(_pieces, number=course.number, first=index, count=count, blocks=course.blocks)
        try:
            found = None if course.is_slow else self._readers.at_once(view)
            if found is not None:
                await trio.lowlevel.checkpoint()
                return found
            course.is_slow = True
            return await self._read_in_turn(view, lane)
        except InstanceGone:
            self._suspect(course.number)
            raise

    async def _read_in_turn(self, view: Callable[[Transaction], Sequence[Piece]], lane: Lane | None) -> Sequence[Piece]:
        if lane is None:
            return await self._readers.read(view)
        await lane.take()
        try:
            return await self._readers.read(view)
        finally:
            lane.give()

    def _look_ahead(self, course: "_Course", index: int, lane: Lane | None) -> None:
        """Begin to read what comes after what is held, if the disk is slow and that has not begun."""
        count = min(READ_CHUNKS, course.total - index)
        if course.is_slow and course.coming is None and count > 0:
            view = partial(_continuation, number=course.number, first=index, count=count, blocks=course.blocks)
            read = partial(self._readers.soon, view)
            course.coming, course.comes_from = self._ahead.begin({course.number: count}, lane, read), index


class _Course:
    """How far one stream has come: what it takes next, if that is being read, and from which chunk on that is.

    `is_slow`: the disk has had to be waited for.
    """

    __slots__ = ("blocks", "comes_from", "coming", "is_slow", "number", "total")

    def __init__(self, number: int, total: int, *, blocks: bool) -> None:
        self.blocks = blocks
        self.number = number
        self.total = total
        self.is_slow = False
        self.coming: Coming | None = None
        self.comes_from = 0

    def take(self, index: int) -> Coming | None:
        """Return what comes from chunk `index` on; what comes from another one is of no use any more."""
        coming, self.coming = self.coming, None
        if coming is not None and self.comes_from != index:
            coming.drop()
            return None
        return coming

    def end(self) -> None:
        """Nothing is taken any more."""
        if self.coming is not None:
            self.coming.drop()


def _pieces(txn: Transaction, number: int, *, first: int, count: int, blocks: bool) -> Sequence[Piece]:
    return (read_blocks if blocks else read_chunks)(txn, number, first=first, count=count)


def _beginnings(txn: Transaction, counts: Mapping[int, int], *, blocks: bool) -> ByNumber:
    """Read the first chunks of instances; one that is not whole is left out."""
    found: dict[int, Sequence[Piece]] = {}
    for number, count in counts.items():
        found |= _continuation(txn, number, first=0, count=count, blocks=blocks)
    return found


def _continuation(txn: Transaction, number: int, *, first: int, count: int, blocks: bool) -> ByNumber:
    try:
        return {number: _pieces(txn, number, first=first, count=count, blocks=blocks)}
    except InstanceGone:
        return {}
