"""How much HTTP/2 peers may send beyond what is read, over all connections.

What may live here: the arithmetic of what is lent, no protocol. Strategy: every request with a body takes a
first window, so small that streams nobody reads hold little; one whose body is being read gets a large one
while there is more than the reserve, and works more slowly without. Whoever cannot have a first window is
refused. Invariant: 0 <= lent <= total, so the memory behind all windows is bounded whatever the clients do.
"""


class WindowPool:
    """Octets that may be lent to streams, `reserve_bytes` of them for first windows only.

    A pool lent from another one takes from both.
    """

    def __init__(self, total_bytes: int, *, reserve_bytes: int = 0, parent: "WindowPool | None" = None) -> None:
        self._free_bytes = total_bytes
        self._reserve_bytes = reserve_bytes
        self._parent = parent

    @property
    def free_bytes(self) -> int:
        """What may still be taken here."""
        return self._free_bytes

    def take(self, size: int) -> bool:
        """Lend `size` octets for a first window, all or nothing."""
        if not self._has(size, beyond_reserve=False):
            return False
        self._lend(size)
        return True

    def take_more(self, size: int) -> bool:
        """Lend `size` octets to make a window larger, all or nothing."""
        if not self._has(size, beyond_reserve=True):
            return False
        self._lend(size)
        return True

    def give(self, size: int) -> None:
        """Take `size` octets back."""
        self._lend(-size)

    def _has(self, size: int, *, beyond_reserve: bool) -> bool:
        least = self._reserve_bytes if beyond_reserve else 0
        here = self._free_bytes - size >= least
        return here and (self._parent is None or self._parent._has(size, beyond_reserve=beyond_reserve))

    def _lend(self, size: int) -> None:
        self._free_bytes -= size
        if self._parent is not None:
            self._parent._lend(size)
