"""Reading without stopping the loop: at once what is in memory, the rest in worker threads, when asked for or before.

A read may fault pages, and an SD card takes its time. What is read `soon` goes on while the loop does other work, in
threads of its own: so nobody who waits for a read stands behind what nobody waits for yet. The inline form reads in
the caller's thread and nothing before it is asked for.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import Generic, Protocol, TypeVar

import trio

from edged.store.finder import NotInMemory
from edged.store.transaction import Transaction

T = TypeVar("T")

READERS = 8
SOON = 4
"""Threads of those that read before they are asked."""


class Reading(Generic[T]):
    """What a thread reads meanwhile; `ended` is called in the loop when it is over, whatever became of it."""

    def __init__(self, future: Future[T], ended: Callable[[], None]) -> None:
        self._future = future
        self._ended = ended
        self._over = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        future.add_done_callback(self._tell)

    async def wait(self) -> T | None:
        """Return what was read, None where it was cancelled. Raises what reading raised."""
        await self._over.wait()
        return None if self._future.cancelled() else self._future.result()

    def cancel(self) -> None:
        """Read it no more, unless it has begun."""
        self._future.cancel()

    def _tell(self, _: Future[T]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._finish)

    def _finish(self) -> None:
        self._over.set()
        self._ended()


class _Begin(Protocol):
    def __call__(self, *, only_memory: bool = ...) -> AbstractContextManager[Transaction]: ...


class Readers:
    """The threads that read one store; `reading` begins a read transaction."""

    def __init__(self, reading: "_Begin", *, inline: bool) -> None:
        self._reading = reading
        self._inline = inline
        self._limiter = trio.CapacityLimiter(READERS)
        self._pool = ThreadPoolExecutor(SOON, thread_name_prefix="read-ahead")

    def now(self, view: Callable[[Transaction], T]) -> T:
        """Return what `view` makes of a read transaction, in this thread."""
        with self._reading() as txn:
            return view(txn)

    def at_once(self, view: Callable[[Transaction], T]) -> T | None:
        """As now, of chunks that are in memory; None where the disk would have to be waited for."""
        try:
            with self._reading(only_memory=True) as txn:
                return view(txn)
        except NotInMemory:
            return None

    async def read(self, view: Callable[[Transaction], T]) -> T:
        """Return what `view` makes of a read transaction, in a worker thread."""
        if self._inline:
            await trio.lowlevel.checkpoint()
            return self.now(view)
        return await trio.to_thread.run_sync(self.now, view, limiter=self._limiter)

    def soon(self, view: Callable[[Transaction], T], ended: Callable[[], None]) -> Reading[T] | None:
        """Begin to read what will be asked for; None where nothing is read before."""
        return None if self._inline else Reading(self._pool.submit(self.now, view), ended)

    def close(self) -> None:
        """End the threads, and wait for what they read now: nothing may look into a store that is closed."""
        self._pool.shutdown(wait=True, cancel_futures=True)
