"""Room in the store: what is used, what running uploads have announced, and where new work is refused.

The soft cap lies below the capacity, because at the last page even a delete fails (MEASURED). An upload that announces
its length reserves it at once; one without a length reserves as it grows. What is committed leaves the reservation and
is counted as used. Where the disk has not promised the file its pages, what the disk can give is a second cap. After a
failure nothing is reserved any more, so that work is refused before it comes.
"""

from collections.abc import Callable

from edged.store.errors import StoreFailed, StoreFull
from edged.store.failure import Failure

OVERHEAD_BYTES = 16 << 10
"""Rows and page ends of one instance beside its chunks, generously."""


class Space:
    """Counts reservations against the caps; `used` tells the bytes that the tables take now.

    `room` tells the bytes that the disk can give in all; it is set where the data file is not preallocated.
    """

    def __init__(self, capacity: int, soft_cap: int, used: Callable[[], int], *, failure: Failure) -> None:
        self.capacity = capacity
        self.soft_cap = soft_cap
        self.room: Callable[[], int] | None = None
        self._used = used
        self._failure = failure
        self._reserved = 0

    @property
    def used(self) -> int:
        """Bytes that the tables take, without reservations."""
        return self._used()

    @property
    def limit(self) -> int:
        """Bytes that the tables may take now: the soft cap, or less where the disk cannot give as much."""
        return self.soft_cap if self.room is None else min(self.soft_cap, self.room())

    @property
    def free(self) -> int:
        """Bytes that may still be reserved."""
        return max(0, self.limit - self._used() - self._reserved)

    def open(self, announced: int = 0) -> "Reservation":
        """Reserve the announced bytes; raises StoreFull when they are not there, StoreFailed after a failure."""
        reservation = Reservation(self)
        reservation.extend(announced + OVERHEAD_BYTES)
        return reservation

    def change(self, amount: int) -> None:
        """Reserve more, or less when `amount` is negative; raises StoreFull and StoreFailed."""
        if amount > 0 and self._failure.text is not None:
            raise StoreFailed(self._failure.text)
        if amount > self.free:
            raise StoreFull(f"no room: {self.free} bytes are free and {amount} are needed")
        self._reserved += amount


class Reservation:
    """Bytes promised to one request or upload; `gathered` ones wait for their commit."""

    __slots__ = ("_gathered", "_is_closed", "_space", "held")

    def __init__(self, space: Space) -> None:
        self.held = 0
        self._gathered = 0
        self._is_closed = False
        self._space = space

    def extend(self, amount: int) -> None:
        """Promise more bytes; raises StoreFull and StoreFailed."""
        self._space.change(amount)
        self.held += amount

    def gather(self, amount: int) -> None:
        """Count bytes that arrived, beyond the promise if need be; raises StoreFull and StoreFailed."""
        beyond = self._gathered + amount - self.held
        if beyond > 0:
            self.extend(beyond)
        self._gathered += amount

    def settle(self, amount: int) -> None:
        """Let go of bytes that are committed or dropped; nothing is left to let go of once it is closed."""
        if self._is_closed:
            return
        self._gathered -= amount
        self.held -= amount
        self._space.change(-amount)

    def close(self) -> None:
        """Give back what is left."""
        self._is_closed = True
        self._space.change(-self.held)
        self.held = self._gathered = 0
