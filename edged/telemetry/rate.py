"""How fast something goes: an exponentially weighted mean of bytes per second.

Pure: the moment is an argument, in seconds of a monotonic clock. What was counted a half-life ago
weighs half as much as what is counted now. The mean is taken over the time since counting began, so
that a young rate is right from its first seconds on instead of creeping up from zero. A clock that
goes back counts as one that stood still.
"""

import math
from dataclasses import dataclass, replace

HALF_LIFE_S = 10.0  # short enough to show a stall, long enough not to flicker between two batches

_LEAST_SPAN_S = 1.0  # what is counted within the first second counts as a second's worth


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate as of a moment: the decayed sum of what was counted, and when counting began."""

    decayed_bytes: float = 0.0
    counted_at: float = 0.0
    began_at: float | None = None

    def after(self, now: float, count_bytes: int) -> "Rate":
        """Return the rate after `count_bytes` more at the moment `now`."""
        if self.began_at is None:
            return Rate(decayed_bytes=float(count_bytes), counted_at=now, began_at=now)
        now = max(now, self.counted_at)
        decayed = self.decayed_bytes * _weight(now - self.counted_at)
        return replace(self, decayed_bytes=decayed + count_bytes, counted_at=now)

    def bytes_per_s(self, now: float) -> float:
        """Return the mean at the moment `now`, in bytes per second."""
        if self.began_at is None:
            return 0.0
        now = max(now, self.counted_at)
        span = max(now - self.began_at, _LEAST_SPAN_S)
        seconds = (1 - _weight(span)) * HALF_LIFE_S / math.log(2)  # the weights of the span, summed
        return self.decayed_bytes * _weight(now - self.counted_at) / seconds


def _weight(age_s: float) -> float:
    return float(0.5 ** (age_s / HALF_LIFE_S))
