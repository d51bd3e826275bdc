"""The guard against parking a whole queue: five refused for good in a row are the destination's fault, not theirs.

One per destination and kind of refusal, in memory only, and pure. Nothing is parked before the destination has taken
anything since the start, so that a restart never begins a row of five anew with instances already aside. Invariant: at
most PARKS_IN_A_ROW instances are remembered, each once, and none that was refused before something was taken.
"""

from enum import StrEnum

PARKS_IN_A_ROW = 5


class Ruled(StrEnum):
    """What becomes of an instance that was refused for good."""

    PARK = "park"
    WAIT = "wait"  # aside in memory, until the destination has taken another
    BLAME = "blame"  # the destination: what was parked in this row is to be given back


class ParkGuard:
    """Counts the instances refused since one was taken (DESIGN 5); `taken` is how many were, since the start."""

    __slots__ = ("_blamed", "_row", "_taken")

    def __init__(self) -> None:
        self._row: list[int] = []
        self._taken = 0
        self._blamed = False

    @property
    def row(self) -> tuple[int, ...]:
        """The instances refused since one was taken, in order."""
        return tuple(self._row)

    def refuses_all(self, taken: int) -> bool:
        """Whether five were refused in a row, and none was taken since."""
        return self._blamed and taken == self._taken

    def refused(self, number: int, *, taken: int) -> Ruled:
        """One more is refused for good. The same one again is no new evidence."""
        if taken != self._taken:
            self._row.clear()
            self._taken, self._blamed = taken, False
        if not self._blamed and number not in self._row:
            self._row.append(number)
            self._blamed = len(self._row) == PARKS_IN_A_ROW
        if self._blamed:
            return Ruled.BLAME
        return Ruled.PARK if taken else Ruled.WAIT

    def absolve(self) -> None:
        """It has an instance that it was asked for: it does not refuse everything. The row begins anew."""
        self._row.clear()
        self._blamed = False
