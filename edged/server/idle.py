"""Connections on which no request is under way: they give way when there is no room for a new one.

What may live here: knowing them, and choosing one. Strategy: kept ones that wait for a next request give way first; it
is one of the address that has the most connections, and of those the one that has waited longest; a client may meet
the end of a kept connection at any time (RFC 9112 9.3). Those that have not brought a whole request head yet follow,
but only of a crowd: nobody who has few connections is cut for being slow. Invariant: a connection is known here only
outside a request, and is chosen once.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

End = Callable[[], None]


class Idle:
    """The connections that wait for a request, the longest first."""

    def __init__(self) -> None:
        self._kept: dict[End, str] = {}  # for a next one
        self._begun: dict[End, str] = {}  # for a whole head

    def enter(self, address: str, end: End) -> None:
        """A kept connection waits; `end` makes it end, and `address` is what it counts as."""
        self._kept.setdefault(end, address)

    def begin(self, address: str, end: End) -> None:
        """A connection waits for a whole head."""
        self._begun.setdefault(end, address)

    def leave(self, end: End) -> None:
        """It waits no more; it need not have."""
        self._kept.pop(end, None)
        self._begun.pop(end, None)

    @contextmanager
    def waiting(self, address: str, end: End) -> Iterator[None]:
        """A kept connection waits for as long as the block runs."""
        self.enter(address, end)
        try:
            yield
        finally:
            self.leave(end)

    @contextmanager
    def beginning(self, address: str, end: End) -> Iterator[None]:
        """A connection waits for a whole head for as long as the block runs."""
        self.begin(address, end)
        try:
            yield
        finally:
            self.leave(end)

    def end_one(self, crowds: Mapping[str, int], *, only: bool = False) -> bool:
        """Have a kept one end, of the address that has the most connections by `crowds`, `only` of those in there.

        Returns whether there was one.
        """
        return self._end_first({end: whose for end, whose in self._kept.items() if whose in crowds or not only}, crowds)

    def end_beginner(self, crowds: Mapping[str, int], *, above: int) -> bool:
        """The same with one that waits for a whole head, if its address has more connections than `above`."""
        return self._end_first({end: at for end, at in self._begun.items() if crowds.get(at, 0) > above}, crowds)

    def _end_first(self, found: Mapping[End, str], crowds: Mapping[str, int]) -> bool:
        if not found:
            return False
        end = max(found, key=lambda each: crowds.get(found[each], 0))  # the first of equal ones
        self.leave(end)
        end()
        return True
