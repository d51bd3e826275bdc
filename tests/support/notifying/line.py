"""A line between a follower and its box, in memory and in virtual time, that can be cut or go silent at any moment.

What is on its way arrives up to LATEST_S after it was sent, in order. A cut loses it, and tells both ends; on a silent
line it is lost and nobody is told. An end that just goes lets what is on its way arrive.
"""

import math
import random
from collections.abc import Callable

import trio
import trio.testing

from edged.upstream.transport import Transport
from tests.support.memory_wire import Half, MemoryWire

DELAY_S = 0.05
LATEST_S = 2 * DELAY_S
"""What comes while the line carries something waits for that."""


class Line:
    """One connection; `near` is the follower's end, `dead_s` when the line began to lose what was sent."""

    def __init__(self, nursery: trio.Nursery, connect: Callable[[Half], None], chance: random.Random) -> None:
        near, self._near_end = trio.testing.memory_stream_pair()
        far, self._far_end = trio.testing.memory_stream_pair()
        self.near = Transport(MemoryWire(near))
        self.dead_s = math.inf
        self._silent = False
        self._chance = chance
        connect(far)
        nursery.start_soon(self._carry, self._near_end, self._far_end)
        nursery.start_soon(self._carry, self._far_end, self._near_end)

    def cut(self) -> None:
        """End at once, at both ends."""
        self._die()
        for end in (self._near_end, self._far_end):
            end.send_stream.close()
            end.receive_stream.close()

    def fall_silent(self) -> None:
        """Carry nothing any more, and tell nobody."""
        self._die()
        self._silent = True

    def leave(self) -> None:
        """End as the process at the near end does: what it has sent arrives, unless the far end sends something."""
        self._die()
        self.near.close()

    def _die(self) -> None:
        self.dead_s = min(self.dead_s, trio.current_time())

    async def _carry(self, source: Half, sink: Half) -> None:
        try:
            while data := await source.receive_some():
                await trio.sleep(self._chance.uniform(0, DELAY_S))
                if not self._silent:
                    await sink.send_all(data)
            if not self._silent:
                await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            if not self._silent:
                source.receive_stream.close()
                sink.send_stream.close()
