"""How long a PING takes to a peer and back: the round trip of an HTTP/2 connection.

Invariant: whoever waits is woken when the answer comes, when the connection ends, or when the time is over.
"""

import math
from collections.abc import Callable

import trio

OPAQUE = b"trip-001"
MOST = 3
"""Measured one after the other: a busy machine only makes one longer, so the shortest is the truest."""
SHORT_S = 0.005
"""One that is so short says enough."""


class RoundTrip:
    """The shortest of a few, in `seconds`; None while none is known. `ping` sends one PING."""

    def __init__(self, ping: Callable[[], None]) -> None:
        self.seconds: float | None = None
        self._ping = ping
        self._returned = trio.Event()
        self._over = False

    async def wait_measured(self, within_s: float) -> None:
        """Measure it, in so many seconds at most. Source: RFC 9113 6.7."""
        with trio.move_on_after(within_s):
            for _ in range(MOST):
                self._returned, began = trio.Event(), trio.current_time()
                if self._over:
                    return
                self._ping()
                await self._returned.wait()
                self.seconds = min(self.seconds or math.inf, trio.current_time() - began)
                if self.seconds <= SHORT_S:
                    return

    def returned(self, *, over: bool = False) -> None:
        """Note that a PING came back, or that none will any more."""
        self._over = self._over or over
        self._returned.set()
