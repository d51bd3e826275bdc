"""The one writer: a thread that commits what waits as one group.

An operation is a replayable function of a transaction. A group is bounded in bytes and operations, and waits for
those that are to be expected (`linger`). After an error LMDB's transaction is unusable: the group is aborted and its
members run alone; nobody is answered from an aborted group. After an error of the device nothing is written any more:
the next fsync would succeed without the first one's pages. The failure is told before the operations that met it are
answered, and the environment is reopened so that it cannot write. When the map is full, an operation that brings no
bytes (a delete, a verdict) opens the reserve behind it; one that does is refused.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import lmdb
import outcome
import trio

from edged.store.environment import Environment
from edged.store.errors import StoreFailed, StoreFull
from edged.store.failure import Failure
from edged.store.linger import Linger
from edged.store.transaction import Transaction

T = TypeVar("T")

GROUP_BYTES = 16 << 20
GROUP_OPERATIONS = 256
ANSWER_WITHIN_S = 300.0
"""A write is never abandoned half way, but a writer that hangs in the device must not hang the whole shutdown."""

_NO_ROOM = (lmdb.MapFullError, lmdb.TxnFullError)
_OF_AN_OPERATION = (
    *_NO_ROOM,
    lmdb.BadTxnError,
    lmdb.BadValsizeError,
    lmdb.KeyExistsError,
    lmdb.NotFoundError,
)


@dataclass(slots=True)
class _Operation(Generic[T]):
    apply: Callable[[Transaction], T]
    size: int
    done: Callable[[outcome.Outcome[T]], None]
    result: outcome.Outcome[T] | None = None

    @property
    def brings(self) -> bool:
        """Whether it brings bytes: whoever sent them waits for the answer, and then sends more."""
        return self.size > 0

    def answer(self) -> None:
        """Hand over the outcome."""
        self.done(self.result or outcome.Error(StoreFailed("not committed")))


class Answer(Generic[T]):
    """The outcome of an operation, for a task to wait for: `done` is what takes it."""

    def __init__(self) -> None:
        self._answered = trio.Event()
        self._result: outcome.Outcome[T] = outcome.Error(
            StoreFailed(f"the store did not answer for {ANSWER_WITHIN_S:.0f} s. Check the disk.")
        )

    def done(self, result: outcome.Outcome[T]) -> None:
        """Take the outcome."""
        self._result = result
        self._answered.set()

    async def wait(self) -> T:
        """Return the outcome's value or raise its error.

        A cancelled caller still waits, so that nobody acts on an unknown outcome. Raises StoreFailed after
        ANSWER_WITHIN_S seconds.
        """
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_WITHIN_S):
            await self._answered.wait()
        return self._result.unwrap()


class Group:
    """Commits groups of operations synchronously; knows no threads."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.failed: str | None = None

    def operation(
        self, apply: Callable[[Transaction], T], size: int, done: Callable[[outcome.Outcome[T]], None]
    ) -> _Operation[T]:
        """Make an operation for `commit`."""
        return _Operation(apply, size, done)

    def commit(self, operations: list[_Operation[Any]]) -> None:
        """Give every operation its outcome; what succeeded is durable when this returns."""
        if not self._together(operations):
            for operation in operations:
                operation.result = self._alone(operation)

    def retreat(self) -> None:
        """After a failure: give up writing for good; reading goes on. Called when the operations are answered."""
        if self.failed is not None:
            self._environment.reopen_to_read()

    def _together(self, operations: list[_Operation[Any]]) -> bool:
        if self.failed is not None or len(operations) < 2:
            return False
        try:
            results = self._transact(operations)
        except Exception as error:  # noqa: BLE001 - whoever caused it fails again, alone and with its own error
            self._judge(error)
            return False
        for operation, result in zip(operations, results, strict=True):
            operation.result = outcome.Value(result)
        return True

    def _alone(self, operation: _Operation[T]) -> outcome.Outcome[T]:
        if self.failed is not None:
            return outcome.Error(StoreFailed(self.failed))
        try:
            return outcome.Value(self._transact([operation])[0])
        except _NO_ROOM:
            if operation.size == 0 and self._environment.open_hatch():
                return self._alone(operation)
            return outcome.Error(StoreFull("the store has no page left for this operation"))
        except Exception as error:  # noqa: BLE001 - it belongs to whoever asked for the operation
            self._judge(error)
            return outcome.Error(StoreFailed(self.failed) if self.failed else error)

    def _judge(self, error: Exception) -> None:
        if isinstance(error, lmdb.Error) and not isinstance(error, _OF_AN_OPERATION):
            self.failed = f"the store cannot write: {error}. Check the disk, then restart edged."

    def _transact(self, operations: list[_Operation[Any]]) -> list[Any]:
        with self._environment.writing() as txn:
            return [operation.apply(txn) for operation in operations]


class Writer(Protocol):
    """What the store needs of a writer."""

    group: Group
    failure: Failure
    """Told in the event loop."""

    async def run(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        """Apply and commit; return what `apply` returned, raise what it raised, StoreFull or StoreFailed."""

    def submit(self, apply: Callable[[Transaction], T], size: int, done: Callable[[outcome.Outcome[T]], None]) -> None:
        """As run, without waiting: `done` gets the outcome, in the event loop."""


class InlineWriter:
    """The same groups, committed in the caller's thread: for tests with a virtual clock and for offline commands."""

    def __init__(self, environment: Environment) -> None:
        self.group = Group(environment)
        self.failure = Failure()

    async def run(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        """As Writer.run; `size` in bytes."""
        await trio.lowlevel.checkpoint()
        return self.run_now(apply, size)

    def run_now(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        """As run, without a checkpoint."""
        results: list[outcome.Outcome[T]] = []
        self.submit(apply, size, results.append)
        return results[0].unwrap()

    def submit(self, apply: Callable[[Transaction], T], size: int, done: Callable[[outcome.Outcome[T]], None]) -> None:
        """As Writer.submit."""
        operation = _Operation(apply, size, done)
        self._commit(operation)
        operation.answer()

    def _commit(self, operation: _Operation[Any]) -> None:
        self.group.commit([operation])
        if self.group.failed is not None:
            self.failure.happened(self.group.failed)
            self.group.retreat()


class ThreadWriter:
    """The writer thread of a daemon; `start` and `stop` bracket its life."""

    def __init__(self, environment: Environment, linger: Linger | None = None) -> None:
        self.group = Group(environment)
        self.failure = Failure()
        self.busy_since: float | None = None
        self._inbox: queue.SimpleQueue[_Operation[Any] | None] = queue.SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.Thread(target=self._loop, name="edged-writer", daemon=True)
        self._linger = linger or Linger()
        self._taken: deque[_Operation[Any] | None] = deque()
        """Out of the inbox, and not in a group yet."""
        self._stopping = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self, within_s: float) -> None:
        """Commit what was submitted and end the thread; gives up waiting after `within_s` seconds."""
        self._stopping = True
        self._inbox.put(None)
        await trio.to_thread.run_sync(self._thread.join, within_s)

    async def run(self, apply: Callable[[Transaction], T], size: int = 0) -> T:
        """As Writer.run; a cancelled caller still waits, so that nobody acts on an unknown outcome."""
        answer = Answer[T]()
        self.submit(apply, size, answer.done)
        return await answer.wait()

    def submit(self, apply: Callable[[Transaction], T], size: int, done: Callable[[outcome.Outcome[T]], None]) -> None:
        """As Writer.submit."""
        if self._stopping:
            self._token.run_sync_soon(done, outcome.Error(StoreFailed("the store is closing")))
            return
        self._inbox.put(_Operation(apply, size, done))

    def _loop(self) -> None:
        while (first := self._next()) is not None:
            operations, ended = self._gather(first)
            self.busy_since = began = time.monotonic()
            self.group.commit(operations)
            self.busy_since = None
            self._learn(operations, began)
            self._answer(operations)
            self.group.retreat()
            if ended:
                return

    def _gather(self, first: _Operation[Any]) -> tuple[list[_Operation[Any]], bool]:
        operations, size, senders = [first], first.size, int(first.brings)
        while len(operations) < GROUP_OPERATIONS:
            try:
                following = self._next(within_s=self._linger.patience(senders, time.monotonic()))
            except queue.Empty:
                break
            if following is None:
                return operations, True
            if size + following.size > GROUP_BYTES:
                self._taken.appendleft(following)
                break
            operations.append(following)
            size += following.size
            senders += following.brings
        return operations, False

    def _next(self, within_s: float | None = None) -> _Operation[Any] | None:
        if self._taken:
            return self._taken.popleft()
        return self._inbox.get_nowait() if within_s == 0.0 else self._inbox.get(timeout=within_s)

    def _learn(self, operations: list[_Operation[Any]], began: float) -> None:
        """Tell the linger of a commit of senders; others may not even have flushed."""
        senders = sum(operation.brings for operation in operations)
        if senders:
            with suppress(queue.Empty):
                while True:
                    self._taken.append(self._inbox.get_nowait())
            waiting, now = sum(each is not None and each.brings for each in self._taken), time.monotonic()
            self._linger.answered(senders, waiting=waiting, seconds=now - began, now=now)

    def _answer(self, operations: list[_Operation[Any]]) -> None:
        failed = self.group.failed

        def deliver() -> None:
            if failed is not None:
                self.failure.happened(failed)
            for operation in operations:
                operation.answer()

        try:
            self._token.run_sync_soon(deliver)
        except trio.RunFinishedError:
            return
