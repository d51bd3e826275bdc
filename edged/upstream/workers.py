"""The workers of one destination: how many of them send at the same time.

Each takes work by itself and knows nothing of the others but what they share: leases, breaker, notes, sizes.
"""

import trio

from edged.upstream.destination import Destination
from edged.upstream.pace import keep_told
from edged.upstream.sender import Sender


class Workers:
    """Runs the senders of one destination."""

    def __init__(self, destination: Destination, sender: Sender) -> None:
        self._destination = destination
        self._sender = sender

    async def work(self) -> None:
        """Send with as many at once as the settings say, for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_told, self._destination)
            for _ in range(self._destination.settings.parallel):
                nursery.start_soon(self._sender.work)
