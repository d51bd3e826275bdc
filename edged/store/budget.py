"""The one intake budget: how many bytes may be in memory between the network and a commit (DESIGN §1.7).

Uploads take from it before they read on. When it is short, the upload that holds the most is told to spool what it
has, so neither a slow sender nor many at once can hold the others up: whatever is taken comes back with a commit.
"""

from collections.abc import Callable

import trio

INTAKE_BYTES = 48 << 20


class Share:
    """What one upload has taken; `spool_now` starts writing it out and must not wait."""

    __slots__ = ("bytes", "spool_now")

    def __init__(self, spool_now: Callable[[], None]) -> None:
        self.bytes = 0
        self.spool_now = spool_now


class Budget:
    """A counted number of bytes, shared by all uploads."""

    def __init__(self, total: int = INTAKE_BYTES) -> None:
        self.total = total
        self.free = total
        self._shares: set[Share] = set()
        self._waiting = trio.lowlevel.ParkingLot()

    def open(self, spool_now: Callable[[], None]) -> Share:
        """Begin an upload."""
        share = Share(spool_now)
        self._shares.add(share)
        return share

    async def take(self, share: Share, amount: int) -> None:
        """Take `amount` bytes, waiting until there are as many; at most the whole budget."""
        while self.free < amount:
            largest = max(self._shares, key=lambda each: each.bytes, default=None)
            if largest is not None and largest.bytes:
                largest.spool_now()
            await self._waiting.park()
        self.free -= amount
        share.bytes += amount

    def arrived(self, share: Share) -> None:
        """Leave an upload alone that is all here: it has nothing to spool; `close` gives back what it holds."""
        self._shares.discard(share)

    def move(self, share: Share, amount: int) -> None:
        """Take `amount` bytes off a share's own count: a commit will give them back."""
        share.bytes -= amount

    def give_back(self, amount: int) -> None:
        """Return bytes to everybody."""
        self.free += amount
        self._waiting.unpark_all()

    def close(self, share: Share) -> None:
        """End an upload and return what it still holds."""
        self._shares.discard(share)
        self.give_back(share.bytes)
        share.bytes = 0
