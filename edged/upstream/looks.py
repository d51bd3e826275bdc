"""What could not be proven yet: when each instance may be tried again, and since when it is looked for in vain.

In memory and bounded. Of what waits the oldest notes go first: an instance without one is merely tried sooner. What is
missing keeps its place until it is seen, sent again or no longer looked for, so that everything gets its turn.
"""

import random
from collections import OrderedDict
from collections.abc import Container
from dataclasses import dataclass

from edged.upstream.notes import MOST_NOTES
from edged.upstream.retry import Backoff, Pace

LOOK_AGAIN = Pace(base_s=1.0, factor=2.0, cap_s=300.0, least=0.5)

LEAST_LOOKS = 3
"""Looks in vain before "not there" can be a verdict, spread over the time in which it must be."""

FORGOTTEN_S = 3600.0
"""Who was not looked for that long has moved on by other hands."""


@dataclass(frozen=True, slots=True)
class _Missing:
    """One that is not to be seen; `looks` counts those that lie apart, times are of the monotonic clock."""

    first_s: float
    counted_s: float
    last_s: float
    looks: int = 1


class Looks:
    """The notes of one destination's prover."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, Backoff] = OrderedDict()
        self._missing: OrderedDict[int, _Missing] = OrderedDict()

    def postpone(self, number: int, now: float) -> None:
        """Try it again later, ever more rarely."""
        backoff = self._of.pop(number, Backoff(LOOK_AGAIN))
        self._of[number] = backoff.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311 - jitter
        if len(self._of) > MOST_NOTES:
            self._of.popitem(last=False)

    @property
    def full(self) -> bool:
        """Whether notes are lost: then a walk must not begin at the same end again and again."""
        return len(self._of) >= MOST_NOTES

    def waiting(self, now: float) -> set[int]:
        """Return what must not be tried yet."""
        return {number for number, each in self._of.items() if not each.due(now)}

    def next_due_s(self, now: float) -> float | None:
        """Return when the next of those that wait is due."""
        return min((each.due_s for each in self._of.values() if not each.due(now)), default=None)

    def missed(self, number: int, now: float, *, within_s: float) -> bool:
        """Note that it was not to be seen; return whether that was so often and long enough to count.

        The time begins with the first look in vain of this run: no wall clock is asked, and none can be wrong.
        """
        before = self._missing.pop(number, None)
        if before is None:
            if not self._room(now):
                return False
            self._missing[number] = _Missing(now, now, now)
            return False
        apart = now - before.counted_s >= within_s / (2 * LEAST_LOOKS)
        after = _Missing(before.first_s, now if apart else before.counted_s, now, before.looks + apart)
        self._missing[number] = after
        return after.looks >= LEAST_LOOKS and now - after.first_s >= within_s

    def seen(self, number: int) -> None:
        """Note that it is there, whatever else is wrong with it."""
        self._missing.pop(number, None)

    def at_once(self, number: int, now: float) -> int:
        """Try it again at once if that is the first time, else later; return how often in a row it was in vain."""
        if number in self._of:
            self.postpone(number, now)
        else:
            self._of[number] = Backoff(LOOK_AGAIN, failures=1, due_s=now)
        return self._of[number].failures

    def forget(self, number: int) -> None:
        """It moved on."""
        self._of.pop(number, None)
        self._missing.pop(number, None)

    def _room(self, now: float) -> bool:
        if len(self._missing) < MOST_NOTES:
            return True
        number, oldest = next(iter(self._missing.items()))
        if now - oldest.last_s < FORGOTTEN_S:
            return False
        del self._missing[number]
        return True


class Passed(Container[int]):
    """The instance numbers that a walk through a queue passes over: those up to its cursor, and those excluded."""

    def __init__(self, cursor: int, excluded: Container[int]) -> None:
        self._cursor = cursor
        self._excluded = excluded

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and (number <= self._cursor or number in self._excluded)
