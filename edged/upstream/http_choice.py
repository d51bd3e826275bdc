"""Which HTTP a destination is spoken to in that offers both: decided by what was measured, with the reason.

Pure. HTTP/2 shares one connection, of which the peer lets at most a window be on its way; that over the round trip is
the most it can carry. HTTP/1.1 in parallel has no such bound, and costs less to send. So HTTP/2 is chosen where its
window is wide enough, and stays chosen while it carries at least nearly as much as HTTP/1.1 did.

Invariants: what was not measured is tried only where the window does not say that it must be slower. Between two
versions that were both measured, the one that is settled stays unless the other is clearly better, so that nothing
alternates while nothing changes; and what is chosen is never slower than the other by more than `MARGIN`.
"""

from dataclasses import dataclass
from enum import StrEnum

MARGIN = 0.1
"""By which the other must be better; the least difference that a measurement of seconds tells from chance."""
ENOUGH_BYTES_PER_S = 2e6
"""What the window must allow for HTTP/2 to come first: on any slower one, a batch would last too long to learn from."""


class Version(StrEnum):
    """What a connection speaks."""

    ONE = "1.1"
    TWO = "2"


@dataclass(frozen=True, slots=True)
class Measured:
    """What is known of a peer: bytes per second of either version, None while not measured.

    `window_bytes` may be on their way over HTTP/2 at once. `settled` is what was chosen when both were last measured.
    """

    offered: bool | None = None
    round_trip_s: float | None = None
    window_bytes: int | None = None
    one: float | None = None
    two: float | None = None
    settled: Version | None = None

    @property
    def compared(self) -> bool:
        """Both were measured."""
        return self.one is not None and self.two is not None

    @property
    def bound(self) -> float | None:
        """Bytes per second that the window allows over HTTP/2; None where it bounds nothing that is known."""
        if not self.round_trip_s or self.window_bytes is None:
            return None
        return self.window_bytes / self.round_trip_s


@dataclass(frozen=True, slots=True)
class Chosen:
    """A version, and why, in words for people."""

    version: Version
    reason: str


def choose(seen: Measured) -> Chosen:
    """Choose the version of the next requests; one of which nothing is known yet is chosen to be measured."""
    bound = seen.bound
    if seen.offered is False:
        return Chosen(Version.ONE, "the peer does not offer HTTP/2")
    if seen.one is None and seen.two is None:
        return _unmeasured(seen, bound)
    if seen.two is None:
        one = seen.one or 0.0
        if bound is not None and bound < (1 - MARGIN) * one:
            return Chosen(Version.ONE, f"it reached {_rate(one)}, {_allowed(seen, bound)}")
        return Chosen(Version.TWO, f"to be measured: HTTP/1.1 reached {_rate(one)}")
    if seen.one is None:
        return Chosen(Version.ONE, f"to be measured: HTTP/2 reached {_rate(seen.two)}")
    figures = f"HTTP/1.1 reached {_rate(seen.one)}, HTTP/2 {_rate(seen.two)}"
    return Chosen(_better(seen.one, seen.two, seen.settled), figures)


def _unmeasured(seen: Measured, bound: float | None) -> Chosen:
    if bound is None:
        return Chosen(Version.TWO, "the peer offers it")
    version = Version.TWO if bound >= ENOUGH_BYTES_PER_S else Version.ONE
    return Chosen(version, f"not measured yet; {_allowed(seen, bound)}")


def _better(one: float, two: float, settled: Version | None) -> Version:
    """The settled one stays in doubt, and HTTP/2 where none is settled: it needs fewer connections."""
    if settled is Version.ONE:
        return Version.TWO if two * (1 - MARGIN) > one else Version.ONE
    return Version.ONE if one * (1 - MARGIN) > two else Version.TWO


def _allowed(seen: Measured, bound: float) -> str:
    window, trip_ms = (seen.window_bytes or 0) / 1024, (seen.round_trip_s or 0.0) * 1000
    return f"the window of HTTP/2 ({window:.0f} KiB, round trip {trip_ms:.0f} ms) allows {_rate(bound)}"


def _rate(bytes_per_s: float) -> str:
    return f"{bytes_per_s / 1e6:.1f} MB/s"
