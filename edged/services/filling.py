"""How fast the store fills and drains, and what follows: hours to full, a Retry-After, conditions.

Samples of the used space over the last hour, and of the bytes that were evicted, are all it keeps. Nothing is foretold
from less than a minute.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from edged.store.store import Store
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import Live, StoreLive

EVERY_S = 10.0
WINDOW_S = 3600.0
LEAST_SPAN_S = 60.0
LEAST_RETRY_S, MOST_RETRY_S = 10, 3600
UNKNOWN_RETRY_S = 60
WARNING_SHARE, CRITICAL_SHARE = 0.80, 0.95
FILLING = "store-filling"


@dataclass(frozen=True, slots=True)
class _Sample:
    time: float
    used: int
    drained: int


class Filling:
    """Watches one store; `drained` is told by whoever evicts."""

    def __init__(self, store: Store, clock: Clock, conditions: Conditions, *, live: Live) -> None:
        self._live = live
        self._store = store
        self._clock = clock
        self._conditions = conditions
        self._drained = 0
        self._samples: deque[_Sample] = deque(maxlen=int(WINDOW_S / EVERY_S))

    async def keep(self) -> None:
        """Take samples for ever."""
        while True:
            self.sample()
            await trio.sleep(EVERY_S)

    def drained(self, size: int) -> None:
        """Count bytes that were let go."""
        self._drained += size

    def sample(self) -> None:
        """Note how full the store is now, and raise or clear the condition."""
        space = self._store.space
        self._samples.append(_Sample(self._clock.monotonic(), space.used, self._drained))
        self._live.store = StoreLive(hours_to_full=self.hours_to_full())
        share = space.used / max(space.limit, 1)
        if share < WARNING_SHARE:
            self._conditions.clear(FILLING)
            return
        severity = Severity.CRITICAL if share >= CRITICAL_SHARE else Severity.WARNING
        hint = (
            f"The store is {min(share, 1.0):.0%} full. Committed instances go first by themselves; if nothing is "
            "committed, look at the destinations, or give it a larger [store] capacity."
        )
        if space.limit < space.soft_cap:
            hint = "The disk has no room for what the store may still take. Free some space on it."
        self._conditions.raise_(FILLING, severity, hint)

    def hours_to_full(self) -> float | None:
        """Return the hours until new work is refused if it goes on like this; None when it does not fill."""
        rate = self._per_second(lambda sample: sample.used)
        if rate is None or rate <= 0:
            return None
        return round(self._store.space.free / rate / 3600, 2)

    def retry_after_s(self, needed: int) -> int:
        """Return the seconds after which there may be room for `needed` bytes, by the measured drain rate.

        After a failure of the store no rate tells anything: a person must act.
        """
        rate = self._per_second(lambda sample: sample.drained)
        if rate is None or rate <= 0 or self._store.failure.text is not None:
            return UNKNOWN_RETRY_S
        missing = max(0, needed - self._store.space.free)
        return min(max(int(missing / rate) + 1, LEAST_RETRY_S), MOST_RETRY_S)

    def _per_second(self, figure: Callable[[_Sample], int]) -> float | None:
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        span = last.time - first.time
        return None if span < LEAST_SPAN_S else (figure(last) - figure(first)) / span
