"""One HTTP/2 stream: the answer on its way out, and the credit for what has come in.

What may live here: what belongs to a stream and knows nothing of the connection's tasks. Strategy: the
application hands over one piece at a time and waits until it is taken; the connection takes from it as the
windows allow. Invariants: at most one piece of the application is held; every octet received is given back as
credit exactly once, whether it was taken, dropped or came too late.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from hypercorn.protocol.events import Event

from edged.server.inbox import Inbox
from edged.server.wire import Disconnected

EMPTY = memoryview(b"")
Deliver = Callable[[Event], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Stream:
    """A stream between its request and the return of its application."""

    stream_id: int
    inbox: Inbox  # where its DATA goes
    deliver: Deliver  # the way there, and to the application
    write_s: float
    receiving: bool = True  # the client has not ended it
    piece: memoryview = EMPTY
    ending: bool = False  # nothing follows the piece
    ended: bool = False  # END_STREAM is written
    gone: bool = False  # reset by either side, or the connection is over
    lent_bytes: int = 0  # what its window has been enlarged by
    _progress: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @property
    def has_output(self) -> bool:
        """Whether there is something to write, windows aside."""
        return not self.ended and not self.gone and (bool(self.piece) or self.ending)

    async def offer(self, data: bytes) -> None:
        """Hold `data` for the connection to take, after what was there; raises Disconnected."""
        await self._wait_taken()
        self.piece = memoryview(data)

    async def wait_ended(self) -> None:
        """Until END_STREAM is written; raises Disconnected."""
        while not self.ended:
            await self._wait_progress()

    def taken(self, size: int, *, last: bool) -> None:
        """`size` octets were written, and END_STREAM with them if they were the `last`."""
        self.piece = self.piece[size:]
        self.ended = last
        self._progress.unpark_all()

    def leave(self) -> None:
        """The stream is over: drop what is held and wake the application."""
        self.gone = True
        self.piece = EMPTY
        self._progress.unpark_all()

    async def _wait_taken(self) -> None:
        self.check()
        while self.piece:
            await self._wait_progress()

    async def _wait_progress(self) -> None:
        self.check()
        with trio.move_on_after(self.write_s):
            await self._progress.park()
            self.check()
            return
        raise Disconnected("the client gives no window")

    def check(self) -> None:
        """Raise Disconnected if the stream is over."""
        if self.gone:
            raise Disconnected("the stream is over")
