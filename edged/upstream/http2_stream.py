"""The requests in flight on one HTTP/2 connection, and what each of the peer's events does to them.

No I/O: the connection feeds h2's events in, and each request's task waits on its stream's `changed`. An answer's body
that goes into a sink waits in `arrived`, bounded by the stream's window, until the request's task takes it.

Invariants: a stream is over when `complete` or `fault` is set; neither is ever unset, and only one of them is set, so
an answer that is complete wins over whatever comes after it.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import h2.errors
import h2.events
import trio

from edged.telemetry.live import Phase
from edged.upstream.http2_protocol import error_name
from edged.upstream.message import Answer, NoAnswer, Request, Response
from edged.upstream.progress import Progress


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a stream gets no answer, `said` in the peer's words; without `phase` it is the one that the stream was in."""

    text: str
    not_processed: bool = False
    phase: Phase | None = None
    said: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Some of a body that a sink will take; `credit` is what the peer may send again then, in bytes."""

    data: bytes
    credit: int


@dataclass(slots=True)
class Stream:
    """One request in flight; `end_sent` and `end_seen` are each side's END_STREAM, `reset` the peer's RST_STREAM.

    Of the body `sent_bytes` were framed, and of those `left_bytes` were sent; `heard_bytes` are of the answer's.
    """

    id: int
    request: Request
    heard_at: float
    answer: Answer
    arrived: deque[Arrived] = field(default_factory=deque)
    complete: bool = False
    fault: Fault | None = None
    sent_bytes: int = 0
    left_bytes: int = 0
    heard_bytes: int = 0
    progress: Progress = field(default_factory=Progress)
    end_sent: bool = False
    end_seen: bool = False
    reset: bool = False
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def over(self) -> bool:
        """Nothing more is to be waited for."""
        return self.complete or self.fault is not None

    @property
    def refused(self) -> bool:
        """The rest of the body is unwanted."""
        return self.over or self.answer.refuses

    @property
    def has_left(self) -> bool:
        """All of the request was sent; of one without a body that is not asked."""
        return self.end_sent and self.left_bytes == (self.request.content_length or 0)

    @property
    def open(self) -> bool:
        """Whether the peer still has to be told that it is of no more interest."""
        return not self.reset and not (self.end_sent and self.end_seen)

    def wake(self) -> None:
        """Let the request's task look again."""
        self.changed.set()
        self.changed = trio.Event()

    def fail(self, fault: Fault) -> None:
        """Record why there will be no answer, unless it is over already."""
        if not self.over:
            self.fault = fault

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the final head. Source: RFC 9113 8.3.2."""
        fields = [(bytes(name), bytes(value)) for name, value in headers]
        status = next((value for name, value in fields if name == b":status"), b"")
        if len(status) == 3 and status.isdigit():
            self.answer.begin(int(status), [pair for pair in fields if not pair[0].startswith(b":")])
        else:
            self.fail(Fault("malformed answer: its status is not a number", phase=Phase.HTTP))

    def end(self) -> None:
        """Take the end of the answer."""
        self.end_seen = True
        if self.answer.status is None:
            self.fail(Fault("malformed answer: it ended before its head", phase=Phase.HTTP))
        self.complete = self.fault is None

    def check_decoded(self) -> None:
        """What a sink got must have been all of it; where there is none, the response says it. Raises NoAnswer."""
        if self.answer.broken and self.answer.sink is not None:
            raise self.no_answer(Fault("the answer is not what its Content-Encoding says", phase=Phase.BODY))

    def result(self) -> Response:
        """Give the response of a stream that is over. Raises NoAnswer."""
        if self.fault is not None:
            raise self.no_answer(self.fault)
        self.answer.end()
        self.check_decoded()
        return self.answer.response("2", request_sent=self.has_left, sent_bytes=self.left_bytes)

    def no_answer(self, fault: Fault) -> NoAnswer:
        """Make the exception that says so."""
        body = self.answer.status is not None or not self.end_sent
        error = NoAnswer(
            fault.phase or (Phase.BODY if body else Phase.HTTP),
            fault.text,
            sent_bytes=self.sent_bytes,
            not_processed=fault.not_processed,
            http2=True,
        )
        error.said = fault.said
        return error


class Streams:
    """All streams of a connection by their id. `settled`: the peer's SETTINGS came; `leaving`: its GOAWAY did."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._by_id: dict[int, Stream] = {}
        self.settled = False
        self.leaving = False

    def __len__(self) -> int:
        return len(self._by_id)

    def holds(self, stream_id: int) -> bool:
        """Whether a stream's body goes into a sink, whose task returns the credit for what it has taken."""
        stream = self._by_id.get(stream_id)
        return stream is not None and stream.answer.sink is not None

    def add(self, stream: Stream) -> None:
        """Take a new stream in."""
        self._by_id[stream.id] = stream

    def remove(self, stream: Stream) -> None:
        """Forget a stream; what still comes for it is ignored."""
        del self._by_id[stream.id]

    def fail_all(self, fault: Fault, *, above: int = 0) -> None:
        """Fail every stream whose id is higher than `above`."""
        for stream in self._by_id.values():
            if stream.id > above:
                stream.fail(fault)
                stream.wake()

    def apply(self, event: h2.events.Event, *, now: float) -> None:
        """Do what one of h2's events means for the streams; `now` in the clock of `Stream.heard_at`."""
        match event:
            case h2.events.RemoteSettingsChanged():
                self.settled = True
                self._wake_all()
            case h2.events.WindowUpdated(stream_id=0):
                self._wake_all()
            case h2.events.WindowUpdated():
                if stream := self._by_id.get(event.stream_id):
                    stream.wake()
            case h2.events.ConnectionTerminated():
                self._leave(event)
            case (
                h2.events.InformationalResponseReceived()
                | h2.events.ResponseReceived()
                | h2.events.DataReceived()
                | h2.events.StreamEnded()
                | h2.events.StreamReset()
            ):
                if stream := self._by_id.get(event.stream_id or 0):
                    stream.heard_at = now
                    self._answer(stream, event)
                    stream.wake()
            case _:
                pass

    def _answer(self, stream: Stream, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                stream.begin(event.headers)
            case h2.events.DataReceived():
                _add(stream, event)
                stream.complete = stream.answer.too_long and stream.fault is None
            case h2.events.StreamEnded():
                stream.end()
            case h2.events.StreamReset():
                stream.reset = True
                refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
                text = f"{self._peer} reset the stream: {error_name(event.error_code)}"
                stream.fail(Fault(text, not_processed=refused))

    def _leave(self, event: h2.events.ConnectionTerminated) -> None:
        self.leaving = True
        text = f"{self._peer} ended the connection: {error_name(event.error_code)}"
        self.fail_all(Fault(text, not_processed=True), above=event.last_stream_id or 0)

    def _wake_all(self) -> None:
        for stream in self._by_id.values():
            stream.wake()


def _add(stream: Stream, event: h2.events.DataReceived) -> None:
    stream.heard_bytes += len(event.data)
    if stream.answer.sink is None:
        stream.answer.add(event.data)
    else:
        stream.arrived.append(Arrived(event.data, event.flow_controlled_length))
