"""Waiting for a password to be checked: how many may, and whose turn is next.

What may live here: places and turns, nothing that knows of passwords. Strategy: whoever is the first of an address
finds room where others do not, and so does the first with another user name; turns go round the lines, so that one with
many is not before one with few. Invariants: the places are bounded, by address and in all; a place or a turn is given
back however the waiting ends.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import trio

FIRST_OF_NAME = 2
FIRST_OF_ADDRESS = 4
"""How many times the room that the others have."""


class Places:
    """Places for those who wait: so many of one address, and so many in all."""

    def __init__(self, most: int, of_address: int) -> None:
        self._most = most
        self._of_address = of_address
        self._names: Counter[tuple[str, str]] = Counter()
        self._addresses: Counter[str] = Counter()

    def has_room(self, address: str, name: str) -> bool:
        """Whether one more can wait who comes from this address with this user name."""
        here = self._addresses[address]
        more = 1 if self._names[address, name] else FIRST_OF_NAME
        most = self._most * (more if here else FIRST_OF_ADDRESS)
        return here < self._of_address * more and self._addresses.total() < most

    def holds(self, address: str) -> bool:
        """Whether somebody of this address waits."""
        return self._addresses[address] > 0

    @contextmanager
    def taken(self, address: str, name: str) -> Iterator[None]:
        """Hold a place that there is room for."""
        self._names[address, name] += 1
        self._addresses[address] += 1
        try:
            yield
        finally:
            self._names -= Counter({(address, name): 1})  # forgets who has none left
            self._addresses -= Counter({address: 1})


class Lines:
    """A line for each address, in which who came first is first."""

    def __init__(self) -> None:
        self._locks: dict[str, trio.Lock] = {}

    @asynccontextmanager
    async def first(self, address: str) -> AsyncIterator[None]:
        """Wait to be the first of the line, and be it for the block."""
        lock = self._locks.setdefault(address, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():  # it would be held by the next of the line
                self._locks.pop(address, None)


class Rounds:
    """One turn at a time, going round the lines; within a line who came first is first."""

    def __init__(self) -> None:
        self._held = False
        self._lines: OrderedDict[str, deque[trio.Event]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, line: str) -> AsyncIterator[None]:
        """Wait for a turn and hold it."""
        if self._held:
            await self._wait(line)
        self._held = True
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, line: str) -> None:
        called = trio.Event()
        self._lines.setdefault(line, deque()).append(called)
        try:
            await called.wait()
        finally:
            if not called.is_set():
                self._lines[line].remove(called)
                if not self._lines[line]:
                    del self._lines[line]

    def _pass_on(self) -> None:
        """Call the first of the line that has not been called for the longest; the turn stays held for it."""
        if not self._lines:
            self._held = False
            return
        line, waiting = self._lines.popitem(last=False)
        waiting.popleft().set()
        if waiting:
            self._lines[line] = waiting
