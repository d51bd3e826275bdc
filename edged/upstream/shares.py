"""Who reads from the disk for a destination: turns that all destinations share, so that none starves another.

A turn is one read of a batch of chunks. When all are taken the next goes to the destination that has the fewest, so
that one with many workers gets no more than one with few. There are never so many that nobody else can read, and fewer
while instances arrive: to take them in goes before to pass them on.

Invariants: a destination that waits gets a turn before one that has more; who waits is not overtaken by who comes
later for the same destination; a turn that was given is ended exactly once, by whoever took it.
"""

from collections import deque
from collections.abc import Callable

import trio

MOST_READING = 6
"""Of the store's eight readers: two are left to whoever answers a sender."""
MOST_WHILE_BUSY = 3
"""As long as instances arrive."""


class Shares:
    """The turns of all destinations; `busy` tells whether instances arrive."""

    def __init__(self, busy: Callable[[], bool]) -> None:
        self._busy = busy
        self.lanes: list[Lane] = []
        self.reading = 0

    def lane(self) -> "Lane":
        """Return the turns of one more destination."""
        lane = Lane(self)
        self.lanes.append(lane)
        return lane

    def has_room(self) -> bool:
        """Whether one more may read now."""
        return self.reading < (MOST_WHILE_BUSY if self._busy() else MOST_READING)

    def hand_on(self) -> None:
        """Give what is free to those who wait, the destination with the fewest first."""
        while self.has_room() and (lanes := [lane for lane in self.lanes if lane.is_waiting]):
            min(lanes, key=lambda lane: lane.reading).grant()


class Lane:
    """The turns of one destination, for all of its workers."""

    def __init__(self, shares: Shares) -> None:
        self.reading = 0
        self._shares = shares
        self._waiting = deque[trio.Event]()

    @property
    def is_waiting(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    async def take(self) -> None:
        """Wait for a turn; a destination that reads nothing gets one at once after whoever reads now."""
        granted = trio.Event()
        self._waiting.append(granted)
        self._shares.hand_on()
        try:
            await granted.wait()
        except trio.Cancelled:
            if granted.is_set():
                self.give()
            else:
                self._waiting.remove(granted)
            raise

    def take_nowait(self) -> bool:
        """Take a turn if nobody waits for one and there is room."""
        if not self._shares.has_room() or any(lane.is_waiting for lane in self._shares.lanes):
            return False
        self._count(1)
        return True

    def grant(self) -> None:
        """Give a turn to the one that waits for the longest."""
        self._count(1)
        self._waiting.popleft().set()

    def give(self) -> None:
        """End a turn."""
        self._count(-1)
        self._shares.hand_on()

    def _count(self, change: int) -> None:
        self.reading += change
        self._shares.reading += change
