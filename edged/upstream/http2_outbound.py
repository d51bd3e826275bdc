"""What an HTTP/2 connection has framed and not yet sent, in order, and who is to know when it has been.

One task puts it on the wire; any task may add. What could not be sent is dropped: whoever reads the connection finds
its end.

Invariant: `queued_bytes` is what waits here, with what is being sent; `sent` wakes whoever waits for that to change.
"""

from collections import deque
from dataclasses import dataclass

import trio

from edged.upstream.http2_stream import Stream
from edged.upstream.transport import Transport


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
        """Wait for the next octets and send them; False when the peer took none within so many seconds."""
        while not self._queue:
            self._queued = trio.Event()
            await self._queued.wait()
        outgoing = self._queue.popleft()
        with trio.move_on_after(within_s) as patience:
            if await transport.send(outgoing.data) and outgoing.stream is not None:
                outgoing.stream.left_bytes += outgoing.body_bytes
        self.queued_bytes -= len(outgoing.data)
        self.wake()
        return not patience.cancelled_caught
