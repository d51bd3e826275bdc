"""How much HTTP/2 peers may send beyond what is read, over all connections.

What may live here: the arithmetic of windows, no protocol. Strategy: every stream starts with a small window,
so that streams nobody reads hold little; one whose body is being read gets a large one while the pool lasts,
and works more slowly without. Invariant: 0 <= taken <= total, so the memory behind all windows is bounded
whatever the clients do.
"""


class WindowPool:
    """Octets that may be lent to streams; a pool lent from another one takes from both."""

    def __init__(self, total_bytes: int, parent: "WindowPool | None" = None) -> None:
        self._free_bytes = total_bytes
        self._parent = parent

    @property
    def free_bytes(self) -> int:
        """What may still be taken here."""
        return self._free_bytes

    def take(self, size: int) -> bool:
        """Lend `size` octets, all or nothing."""
        if size > self._free_bytes or (self._parent is not None and not self._parent.take(size)):
            return False
        self._free_bytes -= size
        return True

    def give(self, size: int) -> None:
        """Take `size` octets back."""
        self._free_bytes += size
        if self._parent is not None:
            self._parent.give(size)
