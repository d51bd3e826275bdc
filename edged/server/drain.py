"""The moment when serving ends, as the connections see it.

What may live here: the one flag and who waits for it. A connection that runs its own tasks awaits `begun`;
one that waits for its next request does so inside `interruptible`, which costs no task. Invariant: it begins
once and never ends.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Drain:
    """Set once: take no new request, finish those that run."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self._waiting: set[trio.CancelScope] = set()

    def begin(self) -> None:
        """Interrupt all who only wait for a request; idempotent."""
        self.begun.set()
        for scope in self._waiting:
            scope.cancel()

    @contextmanager
    def interruptible(self, *, within_s: float) -> Iterator[trio.CancelScope]:
        """A scope for waiting on the next request: it ends when the drain begins, or its deadline passes."""
        with trio.CancelScope(deadline=trio.current_time() + within_s) as scope:
            if self.begun.is_set():
                scope.cancel()
            self._waiting.add(scope)
            try:
                yield scope
            finally:
                self._waiting.discard(scope)
