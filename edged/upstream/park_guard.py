"""The guard against parking a whole queue: five parks in a row are the destination's fault, not theirs.

One per destination, in memory only. Invariant: at most PARKS_IN_A_ROW SOP Instance UIDs are remembered, each
once, and none that was parked before an instance was accepted.
"""

from dataclasses import dataclass

PARKS_IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class Unpark:
    """Take these out of parking and hold the destination: it is misconfigured."""

    uids: tuple[str, ...]


class ParkGuard:
    """Counts the instances parked since one was accepted (DESIGN 5)."""

    __slots__ = ("_parked",)

    def __init__(self) -> None:
        self._parked: list[str] = []

    def record_accepted(self) -> None:
        """The destination took an instance: what was parked before stays parked."""
        self._parked.clear()

    def record_parked(self, uid: str) -> Unpark | None:
        """One more is parked; the fifth gives all five back. The same one parked again is no new evidence."""
        if uid not in self._parked:
            self._parked.append(uid)
        if len(self._parked) < PARKS_IN_A_ROW:
            return None
        uids = tuple(self._parked)
        self._parked.clear()
        return Unpark(uids)
