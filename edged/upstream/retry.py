"""When to try again: back-off, the breaker of a destination, and the slow lane of a doubtful instance.

All values are frozen; every step takes the time and a random number and gives the next value, so that the same
history always gives the same plan. Times are seconds of one monotonic clock.

Invariants: a wait never exceeds the pace's cap plus the capped Retry-After; a Retry-After is never undercut but on a
person's command; a failure never brings a due time forward; the breaker moves only along its table and an illegal
move raises.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

RETRY_AFTER_CAP_S = 3600.0  # a peer may ask for quiet, but not for oblivion
STUCK_AFTER = 5  # doubtful answers while others pass
OVERDUE_AFTER_S = 24 * 3600.0  # in the slow lane before it becomes a condition
_MANY = 64  # doublings that reach every cap


@dataclass(frozen=True, slots=True)
class Pace:
    """How waits grow: base times factor for each failure up to cap; least is the share that is never jittered."""

    base_s: float = 1.0
    factor: float = 2.0
    cap_s: float = 300.0
    least: float = 0.0

    def ceiling_s(self, failures: int) -> float:
        """The longest wait after so many failures in a row."""
        return min(self.cap_s, self.base_s * self.factor ** min(max(failures - 1, 0), _MANY))


DESTINATION = Pace()
SLOW_LANE = Pace(base_s=60.0, factor=4.0, cap_s=6 * 3600.0, least=0.5)
DAILY = Pace(base_s=24 * 3600.0, factor=1.0, cap_s=24 * 3600.0, least=0.9)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row and when the next try is due."""

    pace: Pace = DESTINATION
    failures: int = 0
    due_s: float = 0.0

    def failed(self, now: float, *, retry_after_s: float | None, random01: float) -> "Backoff":
        """After one more failure: full jitter, above a Retry-After if there is one (RFC 9110 10.2.3)."""
        ceiling = self.pace.ceiling_s(self.failures + 1)
        share = self.pace.least + (1.0 - self.pace.least) * random01
        due = now + retry_floor_s(retry_after_s) + share * ceiling
        return replace(self, failures=self.failures + 1, due_s=max(due, self.due_s))

    def deferred(self, now: float, retry_after_s: float | None) -> "Backoff":
        """Not before now plus Retry-After, without counting a failure."""
        return replace(self, due_s=max(self.due_s, now + retry_floor_s(retry_after_s)))

    def hastened(self, now: float) -> "Backoff":
        """Due now, since somebody knows more; the failures stay counted."""
        return replace(self, due_s=min(self.due_s, now))

    def recovered(self) -> "Backoff":
        """After a success: nothing to wait for."""
        return replace(self, failures=0, due_s=0.0)

    def due(self, now: float) -> bool:
        """Whether the next try may begin."""
        return now >= self.due_s

    @property
    def should_log(self) -> bool:
        """Whether this failure is one for the log: the first, second, fourth, eighth and so on of a row."""
        return self.failures > 0 and self.failures & (self.failures - 1) == 0


def retry_floor_s(retry_after_s: float | None) -> float:
    """A Retry-After as the least wait, never negative and never over RETRY_AFTER_CAP_S."""
    if retry_after_s is None or math.isnan(retry_after_s):
        return 0.0
    return min(max(retry_after_s, 0.0), RETRY_AFTER_CAP_S)


class BreakerState(StrEnum):
    """CLOSED lets all through, OPEN nothing until it is due, PROBING one at a time."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Move(StrEnum):
    """What happens to a breaker."""

    FAILED = "failed"
    PASSED = "passed"
    PROBE = "probe"
    ABANDONED = "abandoned"  # a probe that was cancelled before it told anything


class IllegalMove(Exception):
    """A breaker was moved against its table: a fault of the caller."""


BREAKER_MOVES: Mapping[tuple[BreakerState, Move], BreakerState] = MappingProxyType(
    {
        (BreakerState.CLOSED, Move.PASSED): BreakerState.CLOSED,
        (BreakerState.CLOSED, Move.FAILED): BreakerState.OPEN,
        (BreakerState.OPEN, Move.PROBE): BreakerState.PROBING,
        (BreakerState.OPEN, Move.FAILED): BreakerState.OPEN,  # a request begun before it opened
        (BreakerState.OPEN, Move.PASSED): BreakerState.CLOSED,  # the same, and as good as a probe
        (BreakerState.PROBING, Move.PASSED): BreakerState.CLOSED,
        (BreakerState.PROBING, Move.FAILED): BreakerState.OPEN,
        (BreakerState.PROBING, Move.ABANDONED): BreakerState.OPEN,
    }
)


@dataclass(frozen=True, slots=True)
class Breaker:
    """A destination's breaker with its back-off; `backoff.failures` before `passed` is the N of "recovered after N"."""

    state: BreakerState = BreakerState.CLOSED
    backoff: Backoff = Backoff()

    def failed(self, now: float, *, retry_after_s: float | None, random01: float) -> "Breaker":
        """After a failure of the destination; parallel requests that fail together count as one."""
        if self.state is BreakerState.OPEN:
            return Breaker(self._moved(Move.FAILED), self.backoff.deferred(now, retry_after_s))
        backoff = self.backoff.failed(now, retry_after_s=retry_after_s, random01=random01)
        return Breaker(self._moved(Move.FAILED), backoff)

    def passed(self) -> "Breaker":
        """After the destination took something."""
        return Breaker(self._moved(Move.PASSED), self.backoff.recovered())

    def probe(self, now: float) -> "Breaker":
        """One try begins; raises IllegalMove unless it is open and due."""
        if not self.backoff.due(now):
            raise IllegalMove(f"a probe {self.backoff.due_s - now:.1f} s before it is due")
        return Breaker(self._moved(Move.PROBE), self.backoff)

    def hastened(self, now: float) -> "Breaker":
        """Somebody knows more than it learnt: it may be probed now."""
        return replace(self, backoff=self.backoff.hastened(now))

    def abandoned(self) -> "Breaker":
        """The probe was cancelled: open as before, and due at once."""
        return Breaker(self._moved(Move.ABANDONED), self.backoff)

    def _moved(self, move: Move) -> BreakerState:
        try:
            return BREAKER_MOVES[self.state, move]
        except KeyError:
            raise IllegalMove(f"{move} while {self.state}") from None


@dataclass(frozen=True, slots=True)
class SlowLane:
    """One doubtful instance: tried alone, ever more rarely; doubtful counts only answers while others passed."""

    since_s: float
    backoff: Backoff = Backoff(SLOW_LANE)
    doubtful: int = 0

    def doubted(self, now: float, *, others_passed: bool, random01: float) -> "SlowLane":
        """After one more doubtful answer; the fifth while others passed makes it stuck and daily."""
        doubtful = self.doubtful + others_passed
        pace = DAILY if doubtful >= STUCK_AFTER else SLOW_LANE
        backoff = replace(self.backoff, pace=pace).failed(now, retry_after_s=None, random01=random01)
        return SlowLane(self.since_s, backoff, doubtful)

    @property
    def stuck(self) -> bool:
        """Whether it is out of the batches and tried only daily and on command."""
        return self.doubtful >= STUCK_AFTER

    def due(self, now: float) -> bool:
        """Whether its next try may begin."""
        return self.backoff.due(now)

    def overdue(self, now: float) -> bool:
        """Whether it has been here so long that a condition must say so."""
        return now - self.since_s >= OVERDUE_AFTER_S
