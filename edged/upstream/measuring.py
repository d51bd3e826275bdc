"""Bodies that are weighed while they are sent: what of them leaves, and for how long.

Invariant: a request is sent as it is; it is only counted. What is small says nothing and is not counted.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace

import trio

from edged.upstream.http_choice import Version
from edged.upstream.message import Body, Request
from edged.upstream.weighing import Weighing

LEAST_BYTES = 64 << 10
"""Of a body that is weighed: any other waits for its answer most of the time."""
PART_BYTES = 256 << 10
"""Counted at a time: little against a sample."""


@contextmanager
def weighed(weighing: Weighing | None, version: Version, request: Request) -> Iterator[Request]:
    """Give the request to send instead, and weigh it until the block ends; without `weighing` it stays as it is."""
    body = request.body
    if weighing is None or body is None or body.length < LEAST_BYTES:
        yield request
        return
    weighing.began(version, trio.current_time())
    try:
        yield replace(request, body=_WeighedBody(body, version, weighing))
    finally:
        weighing.ended(version, trio.current_time())


@dataclass(frozen=True, slots=True)
class _WeighedBody:
    body: Body
    version: Version
    weighing: Weighing

    @property
    def length(self) -> int:
        return self.body.length

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        async with aclosing(self.body.pieces()) as pieces:
            async for piece in pieces:
                view = memoryview(piece).cast("B")
                for start in range(0, len(view), PART_BYTES):
                    part = view[start : start + PART_BYTES]
                    yield part
                    self.weighing.moved(self.version, len(part), trio.current_time())
