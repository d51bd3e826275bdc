"""Whether a client that never stalls is nevertheless too slow: a floor under what it moves.

What may live here: counting octets against the time that was spent waiting for them; pure, the clock is the
caller's. Strategy: windows one after the other, each as long as the waits in it add up to `pace_window_s`;
at the end of one the octets of it are judged. Only waiting counts, so an application that takes its time costs
its client nothing. Bodies that share a line share what was `Moved` on it: that they come one after the other
is the client's choice. Invariants: whoever moves `floor_bytes_per_s` in every window is never found slow; a `Part`
is never found less taken than it is.
"""

from edged.server.limits import DEFAULT, Limits


class Moved:
    """The octets that came or went so far, for all who share a line."""

    __slots__ = ("total_bytes",)

    def __init__(self) -> None:
        self.total_bytes = 0


class Part:
    """What one of several has put on a line that all of them share, and how much of it was taken at the other end.

    Octets leave a line in their order, but nobody keeps book of whose they are: those that leave it while some of
    this one are there count as its own, as long as it has put as many on it.
    """

    __slots__ = ("_counted_bytes", "_end_bytes", "_line_bytes", "_put_bytes")

    def __init__(self) -> None:
        self._put_bytes = 0
        self._counted_bytes = 0  # of them as taken
        self._end_bytes = 0  # of the line, where the last of them stands
        self._line_bytes = 0  # that had been taken of the line when this was asked last

    def put(self, size: int, end_bytes: int) -> None:
        """`size` octets more, up to where the line has had `end_bytes`."""
        self._put_bytes += size
        self._end_bytes = end_bytes

    def taken(self, line_bytes: int) -> int:
        """How many more were taken since this was asked last, now that `line_bytes` of the line were."""
        left_bytes, before_bytes = self._put_bytes - self._counted_bytes, self._line_bytes
        more = left_bytes if line_bytes >= self._end_bytes else min(left_bytes, line_bytes - before_bytes)
        self._counted_bytes += more
        self._line_bytes = line_bytes
        return more


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
