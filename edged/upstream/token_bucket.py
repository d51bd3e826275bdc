"""A token bucket, and which rate holds when: what may leave now, and how long the next has to wait.

Pure: the moment and the rate are arguments, the rate anew each time, so that it may change at any moment. Whoever takes
has a reservation: those who wait are served in the order in which they asked, and a new rate delays nobody who waits.

Invariants: of what is not urgent no more leaves within a time than the rate gives in it and in BURST_S, and the last
piece; what could have left and did not is made up for up to BURST_S. Urgent bytes hold others up by URGENT_S at most.
"""

from dataclasses import dataclass
from datetime import datetime

from edged.config import Rates, RateWindow

BURST_S = 1.0
"""What is made up for after a pause; within a minute less than two in a hundred."""
URGENT_S = 2.0
"""How far urgent bytes push the others back: a body that has begun must not stall until the peer gives it up."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """`free_s`: from when on the next bytes may leave, in seconds of a monotonic clock."""

    free_s: float = float("-inf")

    def take(self, now: float, size: int, *, rate: float, urgent: bool = False) -> tuple["Bucket", float]:
        """Return the bucket without `size` bytes, and the seconds until they may leave; `rate` in bytes per second."""
        begin = max(self.free_s, now - BURST_S)
        end = begin + size / rate
        if urgent:
            return Bucket(min(end, max(begin, now + URGENT_S))), 0.0
        return Bucket(end), max(0.0, begin - now)


def rate_at(rates: Rates, when: datetime | None) -> float | None:
    """Return the bytes per second that hold at a local time, None for no bound.

    Without a time, because no clock can be believed, it is the least of all rates.
    """
    if when is None:
        return min((each.bytes_per_s for each in rates if each.bytes_per_s is not None), default=None)
    return next((each.bytes_per_s for each in rates if _covers(each, when)), None)


def _covers(window: RateWindow, when: datetime) -> bool:
    """Whether a moment is in a window; one that goes on into the next day belongs to the day on which it begins."""
    minute, today = when.hour * 60 + when.minute, when.weekday()
    if window.begin_minute < window.end_minute:
        return today in window.days and window.begin_minute <= minute < window.end_minute
    yesterday = (today - 1) % 7
    return (today in window.days and minute >= window.begin_minute) or (
        yesterday in window.days and minute < window.end_minute
    )
