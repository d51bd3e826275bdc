"""The request bodies of one HTTP/2 connection: windows lent, DATA to where it is taken, credit back.

What may live here: what happens to octets of bodies between the codec and the inboxes; nothing of requests and
answers. Strategy: a stream is lent a window from the pools when it begins, and more while its body is read.
Invariants: the windows of the streams never add up to more than the connection's, so no stream can stop another;
WebSockets, which last, are lent from a pool of their own and never more than a first window; every octet that came
is given back to the connection's window once: when it is taken, when nobody will take it, or when it is dropped.
"""

from functools import partial

from edged.server.exchange import Service
from edged.server.head_gate import Head
from edged.server.http2_codec import Codec
from edged.server.http2_frames import ErrorCode
from edged.server.http2_output import Output
from edged.server.http2_request import Malformed, length_of
from edged.server.http2_settings import FIRST_WINDOW_BYTES
from edged.server.http2_stream import Stream
from edged.server.inbox import Inbox
from edged.server.pace import Moved, Pace
from edged.server.windows import Window, WindowPool

LATE_WINDOWS = 4  # full windows of DATA after an answer until its stream is reset
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Bodies:
    """The bodies under way on one connection, and those that come too late."""

    def __init__(self, codec: Codec, output: Output, service: Service) -> None:
        self._codec = codec
        self._output = output
        self._limits = service.limits
        reserve_bytes = service.limits.streams * FIRST_WINDOW_BYTES
        own = WindowPool(service.limits.connection_window_bytes, reserve_bytes=reserve_bytes)
        self._pools = own, service.windows
        self._websocket_pools = own, service.websocket_windows
        self._moved = Moved()  # a client may well send its bodies one after the other
        self._late_bytes: dict[int, int] = {}  # by answered stream that the client has not ended

    def begin(self, stream_id: int, head: Head, *, ended: bool) -> Stream | None:
        """The stream of a request, with its first window; None when there is none to be had. Raises Malformed."""
        length, limits, websocket = length_of(head), self._limits, head.method == "CONNECT"
        if ended and length:
            raise Malformed("a body is shorter than was said")
        window = Window(*(self._websocket_pools if websocket else self._pools))
        if not ended and not window.take_first(FIRST_WINDOW_BYTES):
            return None
        inbox = Inbox() if websocket else Inbox(stall_s=limits.body_s, pace=Pace(limits, self._moved))
        stream = Stream(stream_id, inbox, limits, self._output.wire, length=length, window=window)
        stream.safe = head.method in SAFE
        inbox.on_taken = partial(self._taken, stream)
        if not websocket:
            inbox.on_first = partial(self._enlarge, stream, head)
        if ended:
            self.received(stream_id, stream, b"", ended=True)
        return stream

    def received(self, stream_id: int, stream: Stream | None, data: bytes, *, ended: bool) -> None:
        """A piece of a body, `stream` being None when its application has returned; raises Malformed."""
        if stream is None or stream.ended or stream.inbox.over:  # nobody will take it
            if self._is_too_late(stream_id, len(data), ended=ended):
                self._codec.reset(stream_id, ErrorCode.NO_ERROR)  # RFC 9113 8.1
                self._output.wake()
                if stream is not None:
                    stream.leave()
        elif not stream.received(len(data), ended=ended):
            self._credit(stream_id, len(data))
            raise Malformed("a body is not as long as was said")
        elif data or ended:
            stream.inbox.put_nowait({"type": "http.request", "body": data, "more_body": not ended})

    def forget(self, stream_id: int) -> None:
        """A stream was reset: nothing comes late on it."""
        self._late_bytes.pop(stream_id, None)

    def finish(self, stream: Stream) -> None:
        """The application of a stream has returned."""
        stream.window.give_back()
        self._credit(stream.stream_id, stream.inbox.drop())

    def _is_too_late(self, stream_id: int, size: int, *, ended: bool) -> bool:
        """Drop DATA that nobody takes, with its credit; whether the client must long have read why.

        Beyond its window a client sends only after it has seen the credit, and so the answer that went before.
        """
        self._credit(stream_id, size)
        late_bytes = self._late_bytes.pop(stream_id, 0) + size
        if late_bytes > LATE_WINDOWS * self._limits.stream_window_bytes:
            return True
        if not ended:
            self._late_bytes[stream_id] = late_bytes
        return False

    def _enlarge(self, stream: Stream, head: Head) -> None:
        """The application reads: from now on the client may send more ahead, as far as the pools reach."""
        if not stream.receiving or stream.gone:
            return
        if b"100-continue" in head.tokens(b"expect") and not stream.begun and not stream.inbox.queued_bytes:
            self._codec.send_continue(stream.stream_id)
        stream.window.begin_reading()
        self._grow(stream)
        self._output.wake()

    def _taken(self, stream: Stream, size: int) -> None:
        """The application has taken a piece of a body: the stream may have more or less of a window by now."""
        if size:
            self._codec.credit(stream.stream_id, size, less=stream.window.shrink(size))
            self._grow(stream)
            self._output.wake()

    def _grow(self, stream: Stream) -> None:
        more = stream.window.grow(self._limits.stream_window_bytes - FIRST_WINDOW_BYTES)
        if more:
            self._codec.enlarge(stream.stream_id, more)

    def _credit(self, stream_id: int, size: int) -> None:
        if size:
            self._codec.credit(stream_id, size)
            self._output.wake()
