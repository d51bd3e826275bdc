"""The state of one HTTP/2 connection and of its streams, on the server's side (RFC 9113 5 and 6).

What may live here: what a frame means where the connection stands, windows and settings; no tasks, no I/O, no
clock. Strategy: octets in, events out, and octets to write in `out`, which the one who writes empties. A rule
that is broken costs its stream (RST_STREAM, event Lost) where that is enough, else ConnectionFault is raised.
Invariants: for any octets there are events or ConnectionFault, nothing else; a stream is known from its request
until both sides have ended it, and then remembered for a while; no window is ever exceeded on either side.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus

from edged.server import http2_frames as frames
from edged.server.http2_events import Event, Fields, Leaving, Lost, Received, Requested, Trailed
from edged.server.http2_flow import Closed, Flow, Streams
from edged.server.http2_frames import (
    ACK,
    END_STREAM,
    MAX_STREAM_ID,
    PRIORITY_BYTES,
    ConnectionFault,
    ErrorCode,
    Frame,
    FrameReader,
    FrameType,
)
from edged.server.http2_outgoing import FieldReader, Outgoing
from edged.server.http2_patience import Patience
from edged.server.http2_settings import (
    FIRST_WINDOW_BYTES,
    FRAME_BYTES,
    LARGEST_WINDOW,
    ClientSettings,
    our_settings,
)
from edged.server.limits import KIB, Limits

CRUMB_BYTES = 256  # a frame of late DATA below this costs more than it carries
OVERSIZE = 2  # field sections up to this multiple of the limit are read and refused, beyond it the connection ends
UPGRADING_BYTES = 16 * KIB  # of an answer, until a client is in HTTP/2: with 32 KiB behind the 101 curl 7.88 gives up
GOODBYE = b"farewell"  # the PING that tells when a client has seen that the connection ends


class Codec:
    """The server's side of one HTTP/2 connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._reader = FrameReader(frame_bytes=FRAME_BYTES, block_bytes=OVERSIZE * limits.head_bytes)
        self._field_reader = FieldReader(OVERSIZE * limits.head_bytes)
        self._streams = Streams()
        self._connection = Flow()
        self._client = ClientSettings()
        self._patience = Patience()
        self._handlers: dict[int, Callable[[Frame], Event | None]] = {
            FrameType.DATA: self._data,
            FrameType.HEADERS: self._headers,
            FrameType.RST_STREAM: self._rst_stream,
            FrameType.SETTINGS: self._settings,
            FrameType.PING: self._ping,
            FrameType.GOAWAY: self._goaway,
            FrameType.WINDOW_UPDATE: self._window_update,
        }
        self.out = Outgoing()
        self.requests = 0  # that the client has begun
        self.farewell_seen = False  # the client knows that no more streams are wanted
        self.refusing = False  # every new stream

    def begin(self, settings: bytes | None = None) -> None:
        """Say our settings; those of an h2c upgrade, with stream 1 begun, are the client's. Raises ConnectionFault."""
        self.out.write(frames.settings(our_settings(self._limits)))
        more = self._limits.connection_window_bytes - FIRST_WINDOW_BYTES
        self._connection.enlarge(more)
        self.out.write(frames.window_update(0, more))
        if settings is not None:
            self._apply(settings)
            self._connection.withhold(UPGRADING_BYTES)
            self._streams.begin(1, send_bytes=self._client.window_bytes, receiving=False)

    def receive(self, octets: bytes, now: float) -> Iterator[Event | None]:
        """What each frame says, None if that is all done here, at `now` in seconds; raises ConnectionFault."""
        self._patience.passed(now)
        for frame in self._reader.take(octets):
            yield self._handlers.get(frame.kind, self._ignored)(frame)

    def sendable(self, stream_id: int) -> int:
        """How much a DATA frame may carry now; 0 when a window is closed."""
        stream = self._streams.get(stream_id)
        windows = 0 if stream is None else min(self._connection.send_bytes, stream.send_bytes)
        return max(0, min(windows, self._client.frame_bytes))

    def send_headers(self, stream_id: int, fields: Fields, *, ended: bool) -> None:
        """The head of an answer on a stream that is not reset; names are in lower case."""
        self.out.write_fields(stream_id, fields, ended=ended, frame_bytes=self._client.frame_bytes)
        if ended:
            self._sent(stream_id)

    def send_continue(self, stream_id: int) -> None:
        """100 Continue, before the answer (RFC 9110 15.2.1)."""
        if self._streams.get(stream_id) is not None:
            self.send_headers(stream_id, [(b":status", b"%d" % HTTPStatus.CONTINUE)], ended=False)

    def refuse(self, stream_id: int, fields: Fields, body: bytes) -> None:
        """A whole answer of our own, without the body if the client has no window for it; raises ConnectionFault."""
        self._patience.spend()
        if len(body) > self.sendable(stream_id):
            fields, body = [field for field in fields if field[0] != b"content-length"], b""
        self.out.write_fields(stream_id, fields, ended=not body, frame_bytes=self._client.frame_bytes)
        if body:
            self._write_data(stream_id, body, ended=True)
        self._streams.end_sending(stream_id)

    def send_data(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        """A piece of an answer, no larger than `sendable`."""
        self._write_data(stream_id, data, ended=ended)
        self._patience.moved(len(data))
        if ended:
            self._sent(stream_id)

    def reset(self, stream_id: int, code: ErrorCode) -> None:
        """End a stream at once, if it is not closed."""
        if self._streams.get(stream_id) is not None:
            self.out.write(frames.rst_stream(stream_id, code))
            self._streams.close(stream_id, Closed.RESET_HERE)

    def fault(self, stream_id: int, code: ErrorCode) -> Event:
        """The client broke a rule on a stream (RFC 9113 5.4.2); raises ConnectionFault when it does so too often."""
        self._patience.spend()
        self.reset(stream_id, code)
        return Lost(stream_id)

    def credit(self, stream_id: int, size: int, *, less: int = 0) -> None:
        """So many octets of a stream are off our hands: the client may send as many more, but `less` on the stream."""
        self._return(0, self._connection, size)
        stream = self._streams.get(stream_id)
        if stream is not None and stream.receiving:
            stream.shrink(less)
            self._return(stream_id, stream, size - less)

    def enlarge(self, stream_id: int, more: int) -> None:
        """Let the client send `more` octets ahead on a stream."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.receiving:
            stream.enlarge(more)
            self.out.write(frames.window_update(stream_id, more))

    def announce_end(self) -> None:
        """Ask for no more streams; those under way are served until `farewell_seen` (RFC 9113 6.8)."""
        self.out.write(frames.goaway(MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self.out.write(frames.frame(FrameType.PING, 0, GOODBYE))

    def end(self, code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Say which stream was the last; the later ones are refused."""
        self.refusing = True
        self.out.write(frames.goaway(self._streams.end(), code))

    def _headers(self, frame: Frame) -> Event | None:
        fields = self._field_reader.read(frame.payload)
        stream_id, ended = frame.stream_id, bool(frame.flags & END_STREAM)
        stream = self._streams.get(stream_id)
        if stream is not None:
            return self._trailers(frame, stream, fields)
        if stream_id <= self._streams.last_id:
            self._late_headers(stream_id)
            return None
        self._streams.begin(stream_id, send_bytes=self._client.window_bytes, receiving=not ended)
        self.requests += 1
        if self.refusing or len(self._streams) > self._limits.streams:
            self.fault(stream_id, ErrorCode.REFUSED_STREAM)
            return None
        return Requested(stream_id, fields, ended)

    def _trailers(self, frame: Frame, stream: Flow, fields: Fields) -> Event | None:
        if not stream.receiving:
            return self.fault(frame.stream_id, ErrorCode.STREAM_CLOSED)
        if not frame.flags & END_STREAM:
            return self.fault(frame.stream_id, ErrorCode.PROTOCOL_ERROR)
        self._streams.end_receiving(frame.stream_id)
        return Trailed(frame.stream_id, fields)

    def _late_headers(self, stream_id: int) -> None:
        if self._streams.how_reset(stream_id) is Closed.RESET_THERE:
            self.out.write(frames.rst_stream(stream_id, ErrorCode.STREAM_CLOSED))
        self._patience.spend()

    def _data(self, frame: Frame) -> Event | None:
        stream_id, size = frame.stream_id, frame.flow_bytes
        self._streams.check_begun(stream_id)
        if not self._connection.received(size):
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window was exceeded")
        stream = self._streams.get(stream_id)
        if stream is None or not stream.receiving:
            return self._late_data(stream_id, size)
        if not stream.received(size):
            self._return(0, self._connection, size)
            return self.fault(stream_id, ErrorCode.FLOW_CONTROL_ERROR)
        ended = bool(frame.flags & END_STREAM)
        if not frame.payload and not ended:
            self._patience.spend()
        self._patience.moved(len(frame.payload))
        self.credit(stream_id, size - len(frame.payload))  # padding
        if ended:
            self._streams.end_receiving(stream_id)
        return Received(stream_id, frame.payload, ended)

    def _late_data(self, stream_id: int, size: int) -> Event | None:
        self._return(0, self._connection, size)
        if self._streams.get(stream_id) is not None:
            return self.fault(stream_id, ErrorCode.STREAM_CLOSED)
        stream = self._streams.get_closed(stream_id)
        if stream is None or stream.closed is not Closed.RESET_HERE:
            self.out.write(frames.rst_stream(stream_id, ErrorCode.STREAM_CLOSED))
            self._patience.spend()
        elif not stream.received(size) or size < CRUMB_BYTES:  # what was under way came within its window
            self._patience.spend()
        return None

    def _rst_stream(self, frame: Frame) -> Event | None:
        self._streams.check_begun(frame.stream_id)
        self._patience.spend()
        if self._streams.get(frame.stream_id) is None:
            return None
        self._streams.close(frame.stream_id, Closed.RESET_THERE)
        return Lost(frame.stream_id)

    def _settings(self, frame: Frame) -> None:
        self._patience.spend()
        if not frame.flags & ACK:
            self._apply(frame.payload)
            self._connection.let_go()
            self.out.write(frames.frame(FrameType.SETTINGS, 0, flags=ACK))

    def _apply(self, payload: bytes) -> None:
        before = self._client.window_bytes
        self._client.read(payload)
        self.out.shrink_table(self._client.table_bytes)
        for stream in self._streams:
            if not stream.opened(self._client.window_bytes - before):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")

    def _ping(self, frame: Frame) -> None:
        self._patience.spend()
        if not frame.flags & ACK:
            self.out.write(frames.frame(FrameType.PING, 0, frame.payload, flags=ACK))
        elif frame.payload == GOODBYE:
            self.farewell_seen = True

    def _goaway(self, frame: Frame) -> Event:
        self._patience.spend()
        return Leaving(frames.long_of(frame.payload, 4))

    def _window_update(self, frame: Frame) -> Event | None:
        self._patience.spend()
        more, stream_id = frames.long_of(frame.payload) & LARGEST_WINDOW, frame.stream_id
        if stream_id == 0:
            if not more:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window is opened by nothing")
            if not self._connection.opened(more):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
            return None
        self._streams.check_begun(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None:
            return None
        if not more:
            return self.fault(stream_id, ErrorCode.PROTOCOL_ERROR)
        return None if stream.opened(more) else self.fault(stream_id, ErrorCode.FLOW_CONTROL_ERROR)

    def _ignored(self, frame: Frame) -> Event | None:
        """PRIORITY, which is not used (RFC 9113 5.3.2), and frames that are not known (5.5)."""
        self._patience.spend()
        if frame.kind != FrameType.PRIORITY or len(frame.payload) == PRIORITY_BYTES:
            return None
        if self._streams.get(frame.stream_id) is None:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a priority has the wrong length")
        return self.fault(frame.stream_id, ErrorCode.FRAME_SIZE_ERROR)

    def _write_data(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        stream = self._streams.get(stream_id)
        assert stream is not None
        stream.send_bytes -= len(data)
        self._connection.send_bytes -= len(data)
        self.out.write(frames.frame(FrameType.DATA, stream_id, data, flags=END_STREAM if ended else 0))

    def _sent(self, stream_id: int) -> None:
        self._patience.answered()
        self._streams.end_sending(stream_id)

    def _return(self, stream_id: int, flow: Flow, size: int) -> None:
        credit = flow.give_back(size)
        if credit:
            self.out.write(frames.window_update(stream_id, credit))
