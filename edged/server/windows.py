"""How much HTTP/2 peers may send beyond what is read, over all connections.

What may live here: the arithmetic of what is lent, no protocol. Strategy: every request with a body takes a
first window, so small that streams nobody reads hold little; those whose bodies are being read have equal shares
of what is not kept for first windows. A share gets smaller when there are more of them: who has more than that by
then, gives it back as it is read, and who has less takes it. Whoever cannot have a first window is refused.
Invariant: 0 <= lent <= total, so the memory behind all windows is bounded whatever the clients do.
"""

from edged.server.limits import KIB

STEP_BYTES = 64 * KIB  # windows grow by no less: each time costs a frame


class WindowPool:
    """Octets that may be lent to streams, `reserve_bytes` of them for first windows only."""

    def __init__(self, total_bytes: int, *, reserve_bytes: int = 0) -> None:
        self._total_bytes = total_bytes
        self._reserve_bytes = reserve_bytes
        self._first_bytes = 0  # lent for first windows
        self._more_bytes = 0  # lent to make windows larger
        self.readers = 0  # which share the latter

    @property
    def free_bytes(self) -> int:
        """What may still be lent."""
        return self._total_bytes - self._first_bytes - self._more_bytes

    @property
    def share_bytes(self) -> int:
        """What each reader may have to make its window larger."""
        return max(0, self._for_more_bytes) // max(1, self.readers)

    @property
    def spare_bytes(self) -> int:
        """What may be lent for that at this moment, not above 0 while others have more than their share."""
        return self._for_more_bytes - self._more_bytes

    def lend_first(self, size: int) -> None:
        """Count `size` octets as lent for a first window; below 0 they come back."""
        self._first_bytes += size

    def lend_more(self, size: int) -> None:
        """The same of octets to make a window larger."""
        self._more_bytes += size

    @property
    def _for_more_bytes(self) -> int:
        return self._total_bytes - max(self._reserve_bytes, self._first_bytes)


class Window:
    """What one stream is lent by several pools together: that of its connection, and one that all of them share."""

    __slots__ = ("_first_bytes", "_more_bytes", "_pools", "_reading")

    def __init__(self, *pools: WindowPool) -> None:
        self._pools = pools
        self._first_bytes = 0
        self._more_bytes = 0
        self._reading = False

    def take_first(self, size: int) -> bool:
        """Take `size` octets for the first window, all or nothing."""
        if any(pool.free_bytes < size for pool in self._pools):
            return False
        self._lend_first(size)
        return True

    def begin_reading(self) -> None:
        """The body is being read: from now on it has its share."""
        self._count_reading(True)

    def end_reading(self) -> None:
        """No more of the body comes: what is there of it needs no share."""
        self._count_reading(False)

    def grow(self, most_bytes: int) -> int:
        """Take what is missing of its share, or of `most_bytes` if that is less; how much larger the window is now."""
        missing = most_bytes - self._more_bytes
        if missing <= 0 or not self._reading:
            return 0
        more = min(missing, self._share_bytes - self._more_bytes, *(pool.spare_bytes for pool in self._pools))
        if more < min(STEP_BYTES, missing):
            return 0
        self._lend_more(more)
        return more

    def shrink(self, size: int) -> int:
        """Give back what is beyond its share, out of `size` octets that were read; how much smaller the window is."""
        if not self._more_bytes:
            return 0
        less = min(size, max(0, self._more_bytes - self._share_bytes))
        self._lend_more(-less)
        return less

    def give_back(self) -> None:
        """Give back everything."""
        self.end_reading()
        self._lend_first(-self._first_bytes)
        self._lend_more(-self._more_bytes)

    @property
    def _share_bytes(self) -> int:
        return min(pool.share_bytes for pool in self._pools) if self._reading else 0

    def _count_reading(self, reading: bool) -> None:
        for pool in self._pools:
            pool.readers += reading - self._reading
        self._reading = reading

    def _lend_first(self, size: int) -> None:
        self._first_bytes += size
        for pool in self._pools:
            pool.lend_first(size)

    def _lend_more(self, size: int) -> None:
        self._more_bytes += size
        for pool in self._pools:
            pool.lend_more(size)
