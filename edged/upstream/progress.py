"""A floor under what an answer moves, so that a peer that never quite stalls cannot keep a connection for ever.

Pure; the clock is the caller's. Of a request each step has its own time, whatever leaves at once. Of an answer it is
windows, one after the other, each as long as the waits in it add up to `WINDOW_S`; at the end of one its bytes are
judged. Only waiting for the peer counts: a sink may take its time.

Invariant: whoever moves `FLOOR_BYTES_PER_S` in every window is never found slow.
"""

WINDOW_S = 120.0
FLOOR_BYTES_PER_S = 256
"""Of an answer's body; what this side asks of those who send to it."""

STEP_BYTES = 64 << 10
"""Of a request, for which its deadline for progress is given: more than 1 kB/s is asked of the slowest link."""


class Steps:
    """What of a request leaves."""

    __slots__ = ("_bytes",)

    def __init__(self) -> None:
        self._bytes = 0

    def made(self, size: int) -> bool:
        """Tell whether, with `size` bytes more, enough has left for the next to have its time from now on."""
        self._bytes += size
        if self._bytes < STEP_BYTES:
            return False
        self._bytes = 0
        return True


class Progress:
    """The body of one answer."""

    __slots__ = ("_bytes", "_waited_s")

    def __init__(self) -> None:
        self._bytes = 0
        self._waited_s = 0.0

    def is_slow_after(self, waited_s: float, size: int) -> bool:
        """Tell whether the peer is below the floor, now that `size` bytes came after `waited_s` seconds of waiting."""
        self._waited_s += waited_s
        self._bytes += size
        if self._waited_s < WINDOW_S:
            return False
        slow = self._bytes < self._waited_s * FLOOR_BYTES_PER_S
        self._waited_s, self._bytes = 0.0, 0
        return slow
