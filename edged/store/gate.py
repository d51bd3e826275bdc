"""Many readers or one that must be alone: the map may only be moved, or given up, while nobody reads it.

A view that is touched after the map was moved kills the process (MEASURED), so whoever moves it waits for the readers
that are inside and keeps new ones out meanwhile. Held for microseconds; never across an await.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Shared by readers in any thread, exclusive for the one who moves or closes the map."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Read inside."""
        with self._condition:
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                if not self._inside:
                    self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody reads, and keep everybody out."""
        with self._condition:
            while self._inside:
                self._condition.wait()
            yield
