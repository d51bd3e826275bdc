"""How fast a destination may be sent to: whoever sends takes from its pace what is about to leave.

A pace is shared by all workers of a destination, and holds within a body: what leaves at a time is small, whatever the
size of an instance. Waiting for it is this side's own doing: no deadline that watches a peer's progress runs meanwhile,
since a body waits before it gives its next piece.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import trio

from edged.upstream.destination import Destination
from edged.upstream.message import Body
from edged.upstream.token_bucket import Bucket, rate_at

PIECE_S = 0.25
"""What leaves at a time takes so long at most: a peer always sees progress, and workers take turns."""
LEAST_PIECE_BYTES = 1024
LEAST_WAIT_S = 0.01
"""A shorter wait is not worth a timer; it is made up for by the next."""
TELL_S = 30.0
"""How long after the begin of a window its rate is told, at the latest; it holds at once."""


class PaceKeeper(Protocol):
    """The pace of one destination."""

    async def take(self, size: int, *, urgent: bool) -> int:
        """Wait until some of `size` bytes may leave, and return how many; urgent ones leave at once, and count."""


class Pace:
    """Keeps to `Destination.rates`, read anew for each piece."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._bucket = Bucket()

    async def take(self, size: int, *, urgent: bool) -> int:
        """As PaceKeeper."""
        rate = rate_now(self._destination)
        if rate is None:
            return size
        size = size if urgent else min(size, max(LEAST_PIECE_BYTES, int(rate * PIECE_S)))
        self._bucket, wait_s = self._bucket.take(trio.current_time(), size, rate=rate, urgent=urgent)
        if wait_s >= LEAST_WAIT_S:
            await trio.sleep(wait_s)
        return size


@dataclass(frozen=True, slots=True)
class PacedBody:
    """A body whose pieces leave at a pace."""

    body: Body
    pace: PaceKeeper
    urgent: bool

    @property
    def length(self) -> int:
        """Bytes in all."""
        return self.body.length

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Give the bytes of the body, each piece of them when it may leave."""
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                left = memoryview(piece).cast("B")
                while left:
                    size = await self.pace.take(len(left), urgent=self.urgent)
                    yield left[:size]
                    left = left[size:]


def rate_now(destination: Destination) -> float | None:
    """Return the bytes per second that a destination may be sent now, None for no bound."""
    rates, clock = destination.rates, destination.box.clock
    if not rates:
        return None
    when = datetime.fromtimestamp(clock.wall(), UTC).astimezone() if clock.trusted() else None
    return rate_at(rates, when)


async def keep_told(destination: Destination) -> None:
    """Tell the rate that holds, whenever it is another one; runs until cancelled."""
    told: float | None = None
    while True:
        tuned = destination.box.tuned.next
        if (rate := rate_now(destination)) != told:
            destination.tell(rate_limit=rate)
            told = rate
        with trio.move_on_after(TELL_S):
            await tuned.wait()


def pace_keeper_for(destination: Destination) -> PaceKeeper:
    """Return the pace of a destination."""
    return Pace(destination)
