"""The store as the services see it: `write` and `read` functions of a transaction, stream an instance, upload one.

Reads that may fault pages run in worker threads, a batch of chunks at a time; writes go through the one writer. The
inline form does both in the caller's thread: the same code on the same real LMDB under a virtual clock. What cannot be
streamed is noted as a suspect, for whoever looks after what is damaged.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from edged.dicom.edits import Piece
from edged.store.allocation import DiskRoom
from edged.store.budget import INTAKE_BYTES, Budget
from edged.store.chunks import Rest, chunk_count
from edged.store.counters import NEXT_INSTANCE
from edged.store.environment import Environment, opened, owned
from edged.store.errors import StoreError
from edged.store.read_ahead import Lane, ReadAhead
from edged.store.readers import Readers
from edged.store.schema import META, UNOWNED
from edged.store.space import Space
from edged.store.streams import Streams
from edged.store.sweeper import sweep
from edged.store.transaction import Transaction
from edged.store.writer import InlineWriter, ThreadWriter, Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

CLOSE_WITHIN_S = 30.0
READER_CHECK_S = 60.0

MOST_SUSPECTS = 1000
"""Further ones are not noted: the scrub comes by them, and whoever reads them again notes them again."""


class Suspects:
    """Numbers of instances that a reader found unreadable or not whole, until somebody has looked at them."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()
        self._noted = trio.Event()

    def note(self, number: int) -> None:
        """Doubt an instance; it may be gone."""
        if len(self.numbers) < MOST_SUSPECTS:
            self.numbers.add(number)
            self._noted.set()

    def discard(self, number: int) -> None:
        """Doubt it no longer."""
        self.numbers.discard(number)

    async def wait(self) -> None:
        """Wait until there are some."""
        while not self.numbers:
            self._noted = trio.Event()
            await self._noted.wait()


class Store:
    """One open store; made by `open_store`."""

    def __init__(
        self, environment: Environment, writer: Writer, *, inline: bool, intake_bytes: int = INTAKE_BYTES
    ) -> None:
        self.writer = writer
        self.failure = writer.failure
        self.allocation = environment.allocation
        self.budget = Budget(intake_bytes)
        self.read_ahead = ReadAhead()
        self.processor = trio.Lock()
        """For stretches of work on what is read that would stop the loop if several came at once."""
        self.suspects = Suspects()
        self.arriving = 0
        self.space = Space(
            environment.capacity, environment.soft_cap, lambda: environment.used_bytes, failure=writer.failure
        )
        if not self.allocation.preallocated:
            self.space.room = DiskRoom(self.allocation.data)
        self._uploading: set[int] = set()
        self._stuck: set[int] = set()
        self._unowned = trio.Event()
        self._swept = trio.Event()
        self._sweeping = False
        self._unswept = True
        self._environment = environment
        self._pinned: Counter[int] = Counter()
        self._readers = Readers(environment.reading, inline=inline)
        self.streams = Streams(self._readers, self.read_ahead, pinned=self.pinned, suspect=self.suspects.note)
        self._next_number = self.read_now(lambda txn: txn.counter(NEXT_INSTANCE)) + 1

    def new_number(self) -> int:
        """Give out the number of an instance that begins to arrive."""
        number = self._next_number
        self._next_number += 1
        self._uploading.add(number)
        return number

    def finish(self, number: int, *, swept: bool) -> None:
        """End an upload; `swept` says that it may have left chunks for the sweeper."""
        self._uploading.discard(number)
        if swept:
            self._unowned.set()

    async def write(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        """Apply and commit; durable when this returns. Raises what `apply` raised, StoreFull or StoreFailed."""
        return await self.writer.run(apply, size)

    async def read(self, view: Callable[[Transaction], T]) -> T:
        """Return what `view` makes of a read transaction; it must copy what it keeps."""
        return await self._readers.read(view)

    def read_now(self, view: Callable[[Transaction], T]) -> T:
        """As read, in this thread: for what is small and surely in memory."""
        return self._readers.now(view)

    @contextmanager
    def pinned(self, number: int) -> Iterator[None]:
        """Keep the chunks of an instance from being swept while they are read."""
        self._pinned[number] += 1
        try:
            yield
        finally:
            self._pinned[number] -= 1
            if not self._pinned[number]:
                del self._pinned[number]
                if self._sweeping or self._unswept:  # it may be what the sweeper had to leave
                    self._unowned.set()

    def busy(self, *, besides: int | None = None) -> bool:
        """Whether instances are arriving, or others than `besides` are being read."""
        return self.arriving > 0 or any(number != besides for number in self._pinned)

    def stream(
        self, number: int, size: int, *, first: int = 0, lane: Lane | None = None, blocks: bool = False
    ) -> AsyncGenerator[Piece, None]:
        """Yield the chunks of an instance that hold its first `size` bytes, from the `first` chunk on.

        `lane`: whose turns to read it uses; `blocks`: several chunks as one. Raises InstanceGone and
        InstanceUnreadable, and makes the instance a suspect then.
        """
        return self.streams.stream(number, chunk_count(size), first=first, lane=lane, blocks=blocks)

    def early(
        self, sizes: Mapping[int, int], *, lane: Lane | None = None, blocks: bool = False
    ) -> AbstractContextManager[None]:
        """Begin to read the beginnings of instances that will be streamed soon, and forget them with the `with`.

        `sizes`: the bytes of each that will be streamed, by number; `lane` and `blocks` as in `stream`.
        """
        totals = {number: chunk_count(size) for number, size in sizes.items()}
        return self.streams.early(totals, lane=lane, blocks=blocks)

    async def keep_swept(self) -> None:
        """Work off `unowned` whenever there is something in it; runs until cancelled."""
        while True:
            self._unowned, self._sweeping = trio.Event(), True
            while await self._sweep_once():
                pass
            self._unswept = self.read_now(lambda txn: txn.count(UNOWNED)) > 0
            self._sweeping = False
            self._swept.set()
            self._swept = trio.Event()
            await self._unowned.wait()

    async def _sweep_once(self) -> bool:
        busy, below = self._uploading | self._stuck | set(self._pinned), self._next_number
        swept = await self.write(lambda txn: sweep(txn, busy, below))
        if swept is not None and swept.rest is Rest.UNREADABLE:
            log.error("chunks of number %d cannot be freed: the disk cannot read them", swept.number)
            self._stuck.add(swept.number)
        return swept is not None

    def sweep_soon(self) -> None:
        """Wake the sweeper: something became unowned."""
        self._unowned.set()

    async def wait_swept(self) -> None:
        """Wait until the sweeper has nothing to do."""
        while self._sweeping or self._unowned.is_set():
            await self._swept.wait()

    async def keep_readers_checked(self) -> None:
        """Clear the reader slots of dead processes every minute; runs until cancelled."""
        while True:
            await trio.sleep(READER_CHECK_S)
            self._environment.reader_check()

    def close(self) -> None:
        """End what reads; the writer is ended by whoever began it."""
        self._readers.close()

    def stuck_s(self, now: float) -> float:
        """Return for how long the running write operation has run, in seconds of the monotonic clock `now`."""
        since = self.writer.busy_since if isinstance(self.writer, ThreadWriter) else None
        return 0.0 if since is None else now - since


@asynccontextmanager
async def open_store(
    data_dir: Path, capacity: int | None = None, *, inline: bool = False, intake_bytes: int = INTAKE_BYTES
) -> AsyncIterator[Store]:
    """Own the data directory, open its store (made if there is none) and close it at the end.

    `capacity` in bytes; None keeps that of the store or takes 80 % of the free space. Where the disk has no room for
    it the store is smaller, and says so by its `allocation`. Uploads may hold `intake_bytes` in memory. Raises
    StoreError.
    """
    with owned(data_dir), opened(data_dir, capacity, make_do=True) as environment:
        if inline:
            yield Store(environment, InlineWriter(environment), inline=True, intake_bytes=intake_bytes)
            return
        writer = ThreadWriter(environment)
        writer.start()
        store = None
        try:
            store = Store(environment, writer, inline=False, intake_bytes=intake_bytes)
            with suppress(StoreError):  # it has been told as the failure, and what is there can be read
                await store.write(_note_opened)
            yield store
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_WITHIN_S):
                await writer.stop(CLOSE_WITHIN_S)
            if store is not None:
                store.close()


def _note_opened(txn: Transaction) -> None:
    """Commit something before anything is believed: a life that ended in a failure may have left a meta page that is
    in the system's cache and not on the disk, and what it shows must not be acknowledged as stored already.
    """
    txn.put(META, b"opened", msgspec.msgpack.encode(time.time()))
