"""How much of what is committed is asked for again, and what an archive that shows something missing may be believed.

Pure: times come in, the next value goes out. Invariants: never more looks than the share of a day and the cap allow,
however long nothing was asked; nothing counts as lost that was missed while the archive showed nothing at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

DAY_S = 24 * 3600.0

MOST_AT_ONCE = 32
"""Looks in one step: what was not used meanwhile is not made up for."""

MOST_A_DAY = DAY_S
"""One look a second: no share of however many instances burdens an archive with more."""

UNSEEN_IN_A_ROW = 5
"""Misses without anything seen between them that are the archive's fault, or the way's, and no loss."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many looks may be made now: it grows with the time, by so many `a_day`."""

    at_s: float
    looks: float = 0.0

    def later(self, now: float, *, a_day: float) -> "Allowance":
        """As it is at `now`, a monotonic time in seconds."""
        grown = self.looks + min(a_day, MOST_A_DAY) * max(0.0, now - self.at_s) / DAY_S
        return Allowance(max(now, self.at_s), min(grown, MOST_AT_ONCE))

    def spent(self, looks: int) -> "Allowance":
        """After so many looks."""
        return replace(self, looks=max(0.0, self.looks - looks))

    def wait_s(self, *, a_day: float) -> float:
        """Seconds until another look may be made; infinite where none ever may."""
        missing = max(0.0, 1.0 - self.looks)
        return missing * DAY_S / min(a_day, MOST_A_DAY) if a_day > 0 else float("inf")


class Unseen:
    """What was missed since anything was seen: as long as nothing is, it says nothing of any instance.

    At most UNSEEN_IN_A_ROW instances are remembered, each once, by number and since when.
    """

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    @property
    def numbers(self) -> tuple[int, ...]:
        """The first of them."""
        return tuple(self._since)

    def seen(self) -> None:
        """Note that the archive shows something that it committed to."""
        self._since.clear()

    def missed(self, numbers: Iterable[int], now: float) -> None:
        """Note what was missed while nothing was seen."""
        for number in numbers:
            if len(self._since) < UNSEEN_IN_A_ROW:
                self._since.setdefault(number, now)

    def is_telling(self, now: float, *, within_s: float) -> bool:
        """Whether so many were missed, or one for so long, that a person has to look at it."""
        if len(self._since) == UNSEEN_IN_A_ROW:
            return True
        return any(now - since >= within_s for since in self._since.values())
