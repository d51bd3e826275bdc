"""Whether a client that never stalls is nevertheless too slow: a floor under what it moves.

What may live here: counting octets against the time that was spent waiting for them; pure, the clock is the
caller's. Strategy: windows one after the other, each as long as the waits in it add up to `pace_window_s`;
at the end of one the octets of it are judged. Only waiting counts, so an application that takes its time costs
its client nothing. Invariant: whoever moves `floor_bytes_per_s` in every window is never found slow.
"""

from edged.server.limits import DEFAULT, Limits


class Pace:
    """One direction of one request or connection."""

    __slots__ = ("_floor_bytes_per_s", "_moved_bytes", "_waited_s", "_window_s")

    def __init__(self, limits: Limits = DEFAULT) -> None:
        self._window_s = limits.pace_window_s
        self._floor_bytes_per_s = limits.floor_bytes_per_s
        self._waited_s = 0.0
        self._moved_bytes = 0

    def moved(self, size: int) -> None:
        """So many octets came or went."""
        self._moved_bytes += size

    def is_slow_after(self, waited_s: float) -> bool:
        """Whether the client has fallen below the floor, now that it was waited for so long once more."""
        self._waited_s += waited_s
        if self._waited_s < self._window_s:
            return False
        slow = self._moved_bytes < self._waited_s * self._floor_bytes_per_s
        self._waited_s, self._moved_bytes = 0.0, 0
        return slow
