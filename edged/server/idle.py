"""Kept connections on which no request is under way: they give way when there is no room for a new one.

What may live here: knowing them, and choosing one. Strategy: it is one of the address that has the most connections,
and of those the one that has waited longest; a client may meet the end of a kept connection at any time (RFC 9112
9.3). Invariant: a connection is known here only between two requests, and is chosen once.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

End = Callable[[], None]


class Idle:
    """The kept connections that wait for a next request, the longest first."""

    def __init__(self) -> None:
        self._waiting: dict[End, str] = {}

    def enter(self, address: str, end: End) -> None:
        """A connection waits; `end` makes it end, and `address` is what it counts as."""
        self._waiting.setdefault(end, address)

    def leave(self, end: End) -> None:
        """It waits no more; it need not have."""
        self._waiting.pop(end, None)

    @contextmanager
    def waiting(self, address: str, end: End) -> Iterator[None]:
        """A connection waits for as long as the block runs."""
        self.enter(address, end)
        try:
            yield
        finally:
            self.leave(end)

    def end_one(self, crowds: Mapping[str, int], *, only: bool = False) -> bool:
        """Have one end, of the address that has the most connections by `crowds`, `only` of those in there.

        Returns whether there was one.
        """
        found = [end for end, address in self._waiting.items() if address in crowds or not only]
        if not found:
            return False
        end = max(found, key=lambda each: crowds.get(self._waiting[each], 0))  # the first of equal ones
        self.leave(end)
        end()
        return True
