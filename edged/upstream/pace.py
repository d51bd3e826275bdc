"""How fast a destination may be sent to: whoever sends takes from its pace what is about to leave.

A pace is shared by all workers of a destination. Waiting for it is this side's own doing: no deadline that watches a
peer's progress runs meanwhile, since a body waits before it gives its next piece.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from edged.upstream.destination import Destination
from edged.upstream.message import Body


class PaceKeeper(Protocol):
    """The pace of one destination; its rates are `Destination.rates`, read anew each time."""

    @property
    def bounded(self) -> bool:
        """Whether there is anything to wait for."""

    async def take(self, size: int, *, urgent: bool) -> None:
        """Wait until `size` bytes may leave; urgent ones leave at once, and count."""


class Unbounded:
    """As fast as the link is."""

    bounded = False

    async def take(self, size: int, *, urgent: bool) -> None:
        """As PaceKeeper."""


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
        """Give the pieces of the body, each when it may leave."""
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                await self.pace.take(len(piece), urgent=self.urgent)
                yield piece


def pace_keeper_for(destination: Destination) -> PaceKeeper:
    """Return the pace of a destination."""
    del destination  # its rates are not kept yet
    return Unbounded()
