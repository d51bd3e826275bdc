"""One instance on its way into the store: gathered, spooled when it is large, admitted at the end.

A small instance waits in memory and is written by its admission; a large one is spooled in transactions of at most
SPOOL_BYTES, one committing while the next is gathered. What is in memory is taken from the intake budget; the upload
that holds the most is spooled early when the budget is short. Leaving the block without `admit` frees everything: the
chunks stay in `unowned` for the sweeper.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import outcome
import trio

from edged.config.choices import Duplicate
from edged.store.admission import START, Admitted, Outcome, Tail, admit, spool
from edged.store.chunks import Cutter
from edged.store.queue import Start
from edged.store.records import Instance
from edged.store.space import Reservation
from edged.store.store import Store
from edged.store.writer import Answer

SPOOL_BYTES = 8 << 20
ABANDON_WITHIN_S = 60.0

Done = Callable[[outcome.Outcome[Admitted]], None]


class Upload:
    """Takes the bytes of one instance; made by `upload`."""

    def __init__(self, store: Store, reservation: Reservation) -> None:
        self.number = store.new_number()
        self._store = store
        self._reservation = reservation
        self._cutter = Cutter()
        self._share = store.budget.open(self._spool_nowait)
        self._unsettled = 0
        self._has_spooled = False
        self._spooling = 0
        self._settled = trio.Event()
        self._error: BaseException | None = None
        self._arriving = True
        store.arriving += 1

    @property
    def spooled(self) -> bool:
        """Whether chunks were handed to the writer before the end of the instance was here."""
        return self._has_spooled

    async def add(self, data: bytes | memoryview) -> None:
        """Append bytes; waits while the intake budget is short. Raises StoreFull or StoreFailed."""
        self._reservation.gather(len(data))
        self._unsettled += len(data)
        await self._store.budget.take(self._share, len(data))
        self._cutter.add(data)
        if self._cutter.gathered >= SPOOL_BYTES:
            await self.wait_spooled()
            self._spool_nowait()

    async def admit(
        self, instance: Instance, *, start: Start = START, duplicate: Duplicate = Duplicate.REFUSE
    ) -> Admitted:
        """Make the instance exist; durable when this returns. Raises StoreFull or StoreFailed."""
        answer = Answer[Admitted]()
        self.admit_soon(instance, answer.done, start=start, duplicate=duplicate)
        return await answer.wait()

    def admit_soon(
        self, instance: Instance, done: Done, *, start: Start = START, duplicate: Duplicate = Duplicate.REFUSE
    ) -> None:
        """As admit, without waiting: `done` gets the outcome in the event loop, when the upload holds nothing more."""
        first, chunks = self._cutter.take_all()
        size = sum(map(len, chunks))
        tail = Tail(self.number, first, chunks)
        self._arrived()
        admission = partial(admit, instance=instance, tail=tail, start=start, duplicate=duplicate)
        self._store.writer.submit(admission, size, partial(self._admitted, done=done))

    def _admitted(self, result: outcome.Outcome[Admitted], done: Done) -> None:
        self._let_go()
        if isinstance(result, outcome.Value) and result.value.outcome is Outcome.REPLACED:
            self._store.sweep_soon()
        done(result)

    async def rest(self) -> Tail:
        """Hand over what is not in the store yet, of bytes that are complete and will not be admitted.

        It counts as in memory until `close`. Raises StoreFull or StoreFailed.
        """
        await self.wait_spooled()
        self._arrived()
        return Tail(self.number, *self._cutter.take_all())

    async def wait_spooled(self) -> None:
        """Wait until what was handed to the writer is committed; raises what went wrong."""
        while self._spooling:
            await self._settled.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Return what the upload holds; what was spooled and not admitted is left to the sweeper."""
        self._arrived()
        if self._spooling:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + ABANDON_WITHIN_S):
                while self._spooling:
                    await self._settled.wait()
        self._let_go()

    def _let_go(self) -> None:
        self._settle(self._unsettled)
        self._store.budget.close(self._share)
        self._store.finish(self.number, swept=self.spooled)

    def _arrived(self) -> None:
        """All of it is here, or no more will come."""
        if self._arriving:
            self._arriving = False
            self._store.budget.arrived(self._share)
            self._store.arriving -= 1

    def _settle(self, size: int) -> None:
        """These bytes are committed or dropped: their room is not reserved any more."""
        self._unsettled -= size
        self._reservation.settle(size)

    def _spool_nowait(self) -> None:
        if self._spooling:
            return
        first, chunks = self._cutter.take_whole()
        if not chunks:
            return
        size = sum(map(len, chunks))
        self._has_spooled = True
        self._spooling = size
        self._settled = trio.Event()
        self._store.budget.move(self._share, size)
        tail = Tail(self.number, first, chunks)
        self._store.writer.submit(partial(spool, tail=tail, now=time.time()), size, self._spooled)

    def _spooled(self, result: outcome.Outcome[None]) -> None:
        size, self._spooling = self._spooling, 0
        self._store.budget.give_back(size)
        self._settle(min(size, self._unsettled))  # nothing is left when `close` has given up waiting
        if isinstance(result, outcome.Error):
            self._error = result.error
        self._settled.set()


@asynccontextmanager
async def upload(store: Store, reservation: Reservation) -> AsyncIterator[Upload]:
    """Begin an instance; what is left of it when the block ends without an admission is let go."""
    begun = Upload(store, reservation)
    try:
        yield begun
    finally:
        await begun.close()
