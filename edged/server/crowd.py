"""How many connections there are, in all and of each address.

What may live here: the count, and whether another one fits. Strategy: connections that carry requests are one crowd,
those that have become WebSockets another: a session lasts, and would keep the place of a request for ever.
Invariants: whoever has entered leaves once; nothing is kept of an address without connections; the empty address is
counted in all only.
"""


class Crowd:
    """The connections of one kind, with their caps."""

    def __init__(self, most: int, most_of_address: int) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self.total = 0
        self.by_address: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether there are as many as may be."""
        return self.total >= self._most

    def crowded(self, address: str) -> bool:
        """Whether there are as many of one address as may be."""
        return self.by_address.get(address, 0) >= self._most_of_address

    def enter(self, address: str) -> None:
        """Count one in."""
        self.total += 1
        if address:
            self.by_address[address] = self.by_address.get(address, 0) + 1

    def leave(self, address: str) -> None:
        """Count one out that has entered."""
        self.total -= 1
        if address:
            self.by_address[address] -= 1
            if not self.by_address[address]:
                del self.by_address[address]
