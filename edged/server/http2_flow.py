"""Windows of HTTP/2, of a connection or a stream, and which streams there are (RFC 9113 5.1, 5.2).

What may live here: the arithmetic of windows in both directions, and the memory of closed streams; pure.
Invariants: credit is announced exactly once for every octet that is off our hands, in pieces of half a window,
so that it does not cost a frame each; the memory of closed streams is bounded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from edged.server.http2_frames import ConnectionFault, ErrorCode
from edged.server.http2_settings import FIRST_WINDOW_BYTES, LARGEST_WINDOW

REMEMBERED = 512  # closed streams: late frames for those that we reset come within a round trip


class Closed(Enum):
    """How a stream came to its end."""

    ENDED = auto()  # by both sides
    RESET_HERE = auto()  # frames for it may still be under way
    RESET_THERE = auto()


@dataclass(slots=True)
class Flow:
    """What a connection, or a stream that is not closed, may still carry."""

    send_bytes: int = FIRST_WINDOW_BYTES  # the client's window for us
    receive_bytes: int = FIRST_WINDOW_BYTES  # ours for the client
    window_bytes: int = FIRST_WINDOW_BYTES  # what `receive_bytes` comes back to
    owed_bytes: int = 0  # credit that was not announced yet
    withheld_bytes: int = 0  # of `send_bytes`, until the client has shown that it is in HTTP/2
    receiving: bool = True  # the client has not ended it
    sending: bool = True  # we have not ended it
    closed: Closed | None = None

    def received(self, size: int) -> bool:
        """The client has sent so much; whether it was allowed to."""
        self.receive_bytes -= size
        return self.receive_bytes >= 0

    def opened(self, more: int) -> bool:
        """The client lets us send `more`; whether its window still has a possible size."""
        self.send_bytes += more
        return self.send_bytes <= LARGEST_WINDOW

    def withhold(self, all_but: int) -> None:
        """Make use of `all_but` octets alone of the client's window, until `let_go`."""
        self.withheld_bytes = max(0, self.send_bytes - all_but)
        self.send_bytes -= self.withheld_bytes

    def let_go(self) -> None:
        """Make use of the whole window."""
        self.send_bytes += self.withheld_bytes
        self.withheld_bytes = 0

    def enlarge(self, more: int) -> None:
        """Let the client send `more` ahead from now on."""
        self.receive_bytes += more
        self.window_bytes += more

    def shrink(self, less: int) -> None:
        """Let the client send `less` ahead from now on: so much of what was received is not given back."""
        self.window_bytes -= less

    def give_back(self, size: int) -> int:
        """So much of what was received is off our hands; the credit to announce now, mostly none."""
        self.owed_bytes += size
        if self.owed_bytes * 2 < self.window_bytes:
            return 0
        credit, self.owed_bytes = self.owed_bytes, 0
        self.receive_bytes += credit
        return credit


class Streams:
    """The streams of a connection, open and closed lately."""

    def __init__(self) -> None:
        self._open: dict[int, Flow] = {}
        self._closed: dict[int, Flow] = {}
        self._end_id: int | None = None  # the last one that is served
        self.last_id = 0

    def __len__(self) -> int:
        """How many are not closed."""
        return len(self._open)

    def __iter__(self) -> Iterator[Flow]:
        """Those that are not closed."""
        return iter(self._open.values())

    def begin(self, stream_id: int, *, send_bytes: int, receiving: bool) -> None:
        """A client has begun a stream, with this window for us; raises ConnectionFault."""
        if stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a client's streams have odd numbers")
        self.last_id = stream_id
        self._open[stream_id] = Flow(send_bytes=send_bytes, receiving=receiving)

    def get(self, stream_id: int) -> Flow | None:
        """A stream that is not closed."""
        return self._open.get(stream_id)

    def check_begun(self, stream_id: int) -> None:
        """Raise ConnectionFault for a stream that no request has opened (RFC 9113 5.1)."""
        if stream_id > self.last_id or stream_id % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a stream has not begun")

    def end_sending(self, stream_id: int) -> None:
        """We have ended a stream."""
        self._open[stream_id].sending = False
        self._settle(stream_id)

    def end_receiving(self, stream_id: int) -> None:
        """The client has ended a stream."""
        self._open[stream_id].receiving = False
        self._settle(stream_id)

    def close(self, stream_id: int, how: Closed) -> None:
        """A stream is over."""
        stream = self._closed[stream_id] = self._open.pop(stream_id)
        stream.closed = how
        if len(self._closed) > REMEMBERED:
            del self._closed[next(iter(self._closed))]

    def end(self) -> int:
        """The last stream that is served: the last one so far, whatever is begun later (RFC 9113 6.8)."""
        self._end_id = self.last_id if self._end_id is None else self._end_id
        return self._end_id

    def how_reset(self, stream_id: int) -> Closed:
        """How the stream was reset on which HEADERS come late; raises ConnectionFault if it was not (RFC 9113 5.1)."""
        stream = self._closed.get(stream_id)
        if stream is None or stream.closed is None:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the numbers of streams only grow")
        if stream.closed is Closed.ENDED:
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "a stream was used again")
        return stream.closed

    def get_closed(self, stream_id: int) -> Flow | None:
        """A stream that was closed; None if it never began, or that is long ago."""
        return self._closed.get(stream_id)

    def _settle(self, stream_id: int) -> None:
        stream = self._open[stream_id]
        if not (stream.sending or stream.receiving):
            self.close(stream_id, Closed.ENDED)
