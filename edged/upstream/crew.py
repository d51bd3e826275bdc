"""How many workers of one destination are wanted now, as they share it: in memory, and told to the world.

What it should be is learned by `width`; here it is kept, and who is not wanted waits.
"""

from edged.services.bell import Bell
from edged.upstream.destination import Destination
from edged.upstream.width import Width


class Crew:
    """The workers of one destination, by their places from 0 on."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._width = Width.first(destination.settings.parallel)
        self._changed = Bell()
        destination.tell(workers=self._width.value)

    @property
    def age(self) -> int:
        """Counts how often the number changed; what is told of a batch goes with the age when it began."""
        return self._width.age

    async def wait_wanted(self, place: int) -> None:
        """Wait until there are to be more workers than `place`."""
        while place >= self._width.value:
            await self._changed.next.wait()

    def finished(self, size: int, seconds: float, *, age: int) -> None:
        """Note that the destination took a batch."""
        self._become(self._width.finished(size, seconds, age=age))

    def starved(self) -> None:
        """Note that a worker found nothing to do."""
        self._become(self._width.starved())

    def pushed_back(self, *, age: int) -> None:
        """Note that the destination asked for less."""
        self._become(self._width.pushed_back(age=age))

    def _become(self, width: Width) -> None:
        changed, self._width = width.value != self._width.value, width
        if changed:
            self._destination.tell(workers=width.value)
            self._changed.ring()
