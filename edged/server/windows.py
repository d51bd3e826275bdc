"""How much HTTP/2 peers may send beyond what is read, over all connections.

What may live here: the arithmetic of what is lent, no protocol. Strategy: every request with a body takes a
first window, so small that streams nobody reads hold little; one whose body is being read gets a large one
while there is more than the reserve, and works more slowly without. Whoever cannot have a first window is
refused. Invariant: 0 <= lent <= total, so the memory behind all windows is bounded whatever the clients do.
"""


class WindowPool:
    """Octets that may be lent to streams, `reserve_bytes` of them for first windows only."""

    def __init__(self, total_bytes: int, *, reserve_bytes: int = 0) -> None:
        self._free_bytes = total_bytes
        self._reserve_bytes = reserve_bytes

    @property
    def free_bytes(self) -> int:
        """What may still be taken."""
        return self._free_bytes

    @property
    def spare_bytes(self) -> int:
        """What may still be taken to make windows larger."""
        return self._free_bytes - self._reserve_bytes

    def lend(self, size: int) -> None:
        """Count `size` octets as lent; below 0 they come back."""
        self._free_bytes -= size


class Windows:
    """Several pools that are lent from together: that of a connection, and one that all connections share."""

    def __init__(self, *pools: WindowPool) -> None:
        self._pools = pools

    def take(self, size: int) -> bool:
        """Lend `size` octets for a first window, all or nothing."""
        if any(pool.free_bytes < size for pool in self._pools):
            return False
        self._lend(size)
        return True

    def take_more(self, size: int) -> bool:
        """Lend `size` octets to make a window larger, all or nothing."""
        if any(pool.spare_bytes < size for pool in self._pools):
            return False
        self._lend(size)
        return True

    def give(self, size: int) -> None:
        """Take `size` octets back."""
        self._lend(-size)

    def _lend(self, size: int) -> None:
        for pool in self._pools:
            pool.lend(size)
