"""Room in the store: what is used, what running uploads have announced, and where new work is refused.

The soft cap lies below the capacity, because at the last page even a delete fails (MEASURED). An upload that announces
its length reserves it at once; one without a length reserves as it grows. What is committed leaves the reservation and
is counted as used.
"""

from collections.abc import Callable

from edged.store.errors import StoreFull

OVERHEAD_BYTES = 16 << 10
"""Rows and page ends of one instance beside its chunks, generously."""


class Space:
    """Counts reservations against the soft cap; `used` tells the bytes that the tables take now."""

    def __init__(self, capacity: int, soft_cap: int, used: Callable[[], int]) -> None:
        self.capacity = capacity
        self.soft_cap = soft_cap
        self._used = used
        self._reserved = 0

    @property
    def used(self) -> int:
        """Bytes that the tables take, without reservations."""
        return self._used()

    @property
    def free(self) -> int:
        """Bytes that may still be reserved."""
        return max(0, self.soft_cap - self._used() - self._reserved)

    def open(self, announced: int = 0) -> "Reservation":
        """Reserve the announced bytes; raises StoreFull when they are not there."""
        reservation = Reservation(self)
        reservation.extend(announced + OVERHEAD_BYTES)
        return reservation

    def change(self, amount: int) -> None:
        """Reserve more, or less when `amount` is negative; raises StoreFull."""
        if amount > self.free:
            raise StoreFull(f"no room: {self.free} bytes are free and {amount} are needed")
        self._reserved += amount


class Reservation:
    """Bytes promised to one request or upload; `gathered` ones wait for their commit."""

    __slots__ = ("_gathered", "_space", "held")

    def __init__(self, space: Space) -> None:
        self.held = 0
        self._gathered = 0
        self._space = space

    def extend(self, amount: int) -> None:
        """Promise more bytes; raises StoreFull."""
        self._space.change(amount)
        self.held += amount

    def gather(self, amount: int) -> None:
        """Count bytes that arrived, beyond the promise if need be; raises StoreFull."""
        beyond = self._gathered + amount - self.held
        if beyond > 0:
            self.extend(beyond)
        self._gathered += amount

    def settle(self, amount: int) -> None:
        """Let go of bytes that are committed or dropped."""
        self._gathered -= amount
        self.held -= amount
        self._space.change(-amount)

    def close(self) -> None:
        """Give back what is left."""
        self._space.change(-self.held)
        self.held = self._gathered = 0
