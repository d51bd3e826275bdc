"""One HTTP/2 stream: the answer on its way out, and what is known of the request on its way in.

What may live here: what belongs to a stream and knows nothing of the connection's tasks. Strategy: the
application hands over one piece at a time and waits until it is taken; the connection takes from it as the
windows allow. Invariants: at most one piece of the application is held; only waits for the client's windows
count against it, for a slow line is shared with the other streams and has the deadlines of its connection, and
windows do not open before what was written has come over that line; an application whose request changes nothing is
not let run for a client that does not want its answer.
"""

from dataclasses import dataclass, field

import trio

from edged.server.inbox import GONE, Inbox
from edged.server.limits import Limits
from edged.server.pace import Pace, Part
from edged.server.windows import Window
from edged.server.wire import Disconnected, Wire

EMPTY = memoryview(b"")


@dataclass(slots=True, eq=False)
class Stream:
    """A stream between its request and the return of its application."""

    stream_id: int
    inbox: Inbox  # where its DATA goes
    limits: Limits
    wire: Wire
    length: int | None = None  # of the body, as the request says
    safe: bool = False  # its request changes nothing (RFC 9110 9.2.1)
    window: Window = field(default_factory=Window)  # what it is lent
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)  # of its application
    receiving: bool = True  # the client has not ended it
    begun: bool = False  # the head of the answer is written
    piece: memoryview = EMPTY
    ending: bool = False  # nothing follows the piece
    ended: bool = False  # END_STREAM is written
    gone: bool = False  # reset by either side, or the connection is over
    starved: bool = False  # the client's windows were found closed
    unread: bool = False  # the client has left them closed for too long, or as good as closed
    _progress: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    _pace: Pace = field(init=False)
    _written: Part = field(default_factory=Part)
    _received_bytes: int = 0

    def __post_init__(self) -> None:
        self._pace = Pace(self.limits)

    @property
    def has_output(self) -> bool:
        """Whether there is something to write, windows aside."""
        return not self.ended and not self.gone and (bool(self.piece) or self.ending)

    def received(self, size: int, *, ended: bool) -> bool:
        """So much more of the body came; whether that agrees with its length (RFC 9113 8.1.1)."""
        self._received_bytes += size
        self.receiving = not ended
        if ended:
            self.window.end_reading()
        if self.length is None:
            return True
        return self._received_bytes == self.length if ended else self._received_bytes <= self.length

    async def offer(self, data: bytes) -> None:
        """Hold `data` for the connection to take, after what was there; raises Disconnected."""
        self.check()
        while self.piece:
            await self._wait_progress()
        self.piece = memoryview(data)

    async def wait_taken(self) -> None:
        """Until all that was offered is written; raises Disconnected."""
        while self.piece:
            await self._wait_progress()

    async def wait_ended(self) -> None:
        """Until END_STREAM is written; raises Disconnected unless it was."""
        while not self.ended:
            self.check()
            await self._wait_progress()

    def taken(self, size: int, *, last: bool, end_bytes: int) -> None:
        """`size` octets were written, and END_STREAM with them if they were the `last`; `end_bytes`: see `Part`."""
        self.piece = self.piece[size:]
        self.ended = last
        self.starved = False
        self._written.put(size, end_bytes)
        self._progress.unpark_all()

    def leave(self) -> None:
        """The stream is over: drop what is held, and tell the application at both ends."""
        self.gone = True
        self.piece = EMPTY
        self.window.end_reading()
        self._progress.unpark_all()
        self.inbox.put_nowait(GONE)
        if self.safe and not self.ended:
            self.scope.cancel()

    def check(self) -> None:
        """Raise Disconnected if the stream is over."""
        if self.gone:
            raise Disconnected("the stream is over")

    async def _wait_progress(self) -> None:
        began, was_starved = trio.current_time(), self.starved
        if was_starved:
            self._count_taken()
        with trio.move_on_after(self.limits.write_s) as wait:
            await self._progress.park()
        if self.ended:
            return
        self.check()
        if not was_starved:
            return
        moved_bytes = self._count_taken()
        slow = self._pace.is_slow_after(trio.current_time() - began)
        if slow or (wait.cancelled_caught and self.starved and not moved_bytes):
            self.unread = True
            raise Disconnected("the client gives no window")

    def _count_taken(self) -> int:
        """How much of what was written the client's end of the line has taken since this was asked last."""
        moved_bytes = self._written.taken(self.wire.taken_bytes)
        self._pace.moved(moved_bytes)
        return moved_bytes
