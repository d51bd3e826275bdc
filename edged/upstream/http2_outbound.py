"""What an HTTP/2 connection has framed and not yet sent, in order, and who is to know when it has been.

One task puts it on the wire; any task may add. What could not be sent is dropped: whoever reads the connection finds
its end.

Invariant: `queued_bytes` is what waits here, with what is being sent; `sent` wakes whoever waits for that to change.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import trio

from edged.upstream.http2_stream import Stream
from edged.upstream.progress import Steps
from edged.upstream.transport import Transport

GATHER_BYTES = 128 << 10
"""From which on no more is sent at a time: while that leaves, the next is framed."""
GATHER_MOST = 64
"""Of what is small, so many at a time; the kernel takes a thousand."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Octets for the wire; `body_bytes` of them are of the body of the stream's request, if there is a stream."""

    data: bytes
    stream: Stream | None
    body_bytes: int


class Outbound:
    """The queue of one connection."""

    def __init__(self) -> None:
        self.queued_bytes = 0
        self.sent = trio.Event()
        self._queue: deque[Outgoing] = deque()
        self._queued = trio.Event()

    def put(self, outgoing: Outgoing) -> None:
        """Add to the end."""
        self._queue.append(outgoing)
        self.queued_bytes += len(outgoing.data)
        self._queued.set()

    def wake(self) -> None:
        """Let everybody look again."""
        self.sent.set()
        self.sent = trio.Event()

    async def send_next(self, transport: Transport, *, within_s: float) -> bool:
        """Wait for the next octets and send them; False when the peer took too few within so many seconds."""
        while not self._queue:
            self._queued = trio.Event()
            await self._queued.wait()
        gathered = self._gather()
        steps = Steps()
        with trio.move_on_after(within_s) as patience:

            def taken(size: int) -> None:
                if steps.made(size):
                    patience.deadline = trio.current_time() + within_s

            with transport.telling(taken):
                if await transport.send(*(outgoing.data for outgoing in gathered)):
                    _note_left(gathered)
        self.queued_bytes -= sum(len(outgoing.data) for outgoing in gathered)
        self.wake()
        return not patience.cancelled_caught

    def _gather(self) -> list[Outgoing]:
        """Take what is sent at a time: the first, and others as long as it is not too much."""
        gathered, size = list[Outgoing](), 0
        while self._queue and size < GATHER_BYTES and len(gathered) < GATHER_MOST:
            gathered.append(self._queue.popleft())
            size += len(gathered[-1].data)
        return gathered


def _note_left(gathered: Iterable[Outgoing]) -> None:
    for outgoing in gathered:
        if outgoing.stream is not None:
            outgoing.stream.left_bytes += outgoing.body_bytes
