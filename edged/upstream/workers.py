"""The workers of one destination: how many of them send at the same time.

Each takes work by itself and knows nothing of the others but what they share: leases, breaker, notes, sizes, and how
many of them are wanted now (`crew`). One that is not wanted waits after its batch until it is again.
"""

import trio

from edged.upstream.crew import Crew
from edged.upstream.destination import Destination
from edged.upstream.pace import keep_told
from edged.upstream.sender import Sender


class Workers:
    """Runs the senders of one destination."""

    def __init__(self, destination: Destination, sender: Sender, crew: Crew) -> None:
        self._destination = destination
        self._sender = sender
        self._crew = crew

    async def work(self) -> None:
        """Send with as many at once as helps, at most as many as the settings say, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_told, self._destination)
            for place in range(self._destination.settings.parallel):
                nursery.start_soon(self._work, place)

    async def _work(self, place: int) -> None:
        while True:
            await self._crew.wait_wanted(place)
            await self._sender.work_once()
