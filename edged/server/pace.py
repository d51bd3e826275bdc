"""Whether a client that never stalls is nevertheless too slow: a floor under what it moves.

What may live here: counting octets against the time that was spent waiting for them; pure, the clock is the
caller's. Strategy: windows one after the other, each as long as the waits in it add up to `pace_window_s`;
at the end of one the octets of it are judged. Only waiting counts, so an application that takes its time costs
its client nothing. Bodies that share a line share what was `Moved` on it: that they come one after the other
is the client's choice. Invariant: whoever moves `floor_bytes_per_s` in every window is never found slow.
"""

from edged.server.limits import DEFAULT, Limits


class Moved:
    """The octets that came or went so far, for all who share a line."""

    __slots__ = ("total_bytes",)

    def __init__(self) -> None:
        self.total_bytes = 0


class Pace:
    """One direction of one request or connection."""

    __slots__ = ("_before_bytes", "_floor_bytes_per_s", "_moved", "_waited_s", "_window_s")

    def __init__(self, limits: Limits = DEFAULT, moved: Moved | None = None) -> None:
        self._window_s = limits.pace_window_s
        self._floor_bytes_per_s = limits.floor_bytes_per_s
        self._waited_s = 0.0
        self._moved = moved or Moved()
        self._before_bytes = self._moved.total_bytes  # when the window began

    @property
    def moved_bytes(self) -> int:
        """What has come or gone so far, on the whole line."""
        return self._moved.total_bytes

    def moved(self, size: int) -> None:
        """So many octets came or went."""
        self._moved.total_bytes += size

    def is_slow_after(self, waited_s: float) -> bool:
        """Whether the client has fallen below the floor, now that it was waited for so long once more."""
        self._waited_s += waited_s
        if self._waited_s < self._window_s:
            return False
        moved_bytes, self._before_bytes = self.moved_bytes - self._before_bytes, self.moved_bytes
        slow = moved_bytes < self._waited_s * self._floor_bytes_per_s
        self._waited_s = 0.0
        return slow
