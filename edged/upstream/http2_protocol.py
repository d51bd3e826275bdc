"""The HTTP/2 state of one connection, on h2, without I/O: windows and settings of this side, and a GOAWAY that does not cut.

h2 treats GOAWAY as the end of everything. It is not: streams up to its last id still get their answers, and servers end
every long connection this way (RFC 9113 6.8). This file holds the one method of h2 that is replaced for it, and
`Stream`, what is known of one request.

Invariants: a stream is over when `complete` or `fault` is set, and neither is ever unset. An answer that is complete
wins over a fault that comes after it.
"""

from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import trio
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

from edged.upstream.message import Answer, NoAnswer, Phase, Request, Response

STREAM_WINDOW_BYTES = 1 << 20
"""Of each answer in flight. Answers are read as they come, so nothing is held back by it."""
CONNECTION_WINDOW_BYTES = 16 << 20
FIRST_REFUSAL = 300
"""From this status on the rest of a body is unwanted; a 2xx may begin while the peer still reads."""


class Protocol(h2.connection.H2Connection):
    """A client's connection that outlives GOAWAY."""

    def __init__(self) -> None:
        super().__init__(h2.config.H2Configuration(client_side=True, header_encoding=None))
        self.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )

    def hello(self) -> None:
        """Put preface, settings and the connection's window on the wire. Source: RFC 9113 3.4, 6.9.2."""
        self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW_BYTES - self.inbound_flow_control_window)

    @property
    def may_open(self) -> bool:
        """Whether the peer's SETTINGS allow one stream more."""
        return self.open_outbound_streams < self.remote_settings.max_concurrent_streams

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def error_name(code: int | None) -> str:
    """The name of an HTTP/2 error code. Source: RFC 9113 7."""
    try:
        return h2.errors.ErrorCodes(code or 0).name
    except ValueError:
        return f"error {code}"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a stream will get no answer; `phase` None means the phase it was in."""

    text: str
    not_processed: bool = False
    phase: Phase | None = None


@dataclass(slots=True)
class Stream:
    """One request in flight."""

    id: int
    request: Request
    heard_at: float
    answer: Answer = field(default_factory=Answer)
    complete: bool = False
    fault: Fault | None = None
    sent_bytes: int = 0
    end_sent: bool = False
    changed: trio.Event = field(default_factory=trio.Event)

    @property
    def over(self) -> bool:
        """Nothing more is to be waited for."""
        return self.complete or self.fault is not None

    @property
    def refused(self) -> bool:
        """The rest of the body is unwanted."""
        return self.over or (self.answer.status or 0) >= FIRST_REFUSAL

    def wake(self) -> None:
        """Let the request's task look again."""
        self.changed.set()
        self.changed = trio.Event()

    def fail(self, fault: Fault) -> None:
        """Record why there will be no answer, the first time."""
        if not self.over:
            self.fault = fault
        self.wake()

    def begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        """Take the final head; h2 has made sure of one :status."""
        status = next((value for name, value in headers if name == b":status"), b"")
        if len(status) == 3 and status.isdigit():
            fields = [(name, value) for name, value in headers if not name.startswith(b":")]
            self.answer.begin(int(status), fields)
        else:
            self.fail(Fault("malformed answer: its status is not a number", phase=Phase.HTTP))

    def result(self) -> Response:
        """The response of a stream that is over. Raises NoAnswer."""
        if self.complete and self.answer.status is not None:
            return self.answer.response("2")
        fault = self.fault or Fault("malformed answer: it ended without a head", phase=Phase.HTTP)
        raise self.no_answer(fault)

    def no_answer(self, fault: Fault) -> NoAnswer:
        """Make the exception that says so."""
        begun = self.answer.status is not None or not self.end_sent
        phase = fault.phase or (Phase.BODY if begun else Phase.HTTP)
        return NoAnswer(
            phase, fault.text, sent_bytes=self.sent_bytes, not_processed=fault.not_processed, http2=True
        )
