"""The HTTP/2 state of one connection, on h2, without I/O: settings, windows, and a GOAWAY that does not cut.

h2 treats GOAWAY as the end of everything. It is not: streams up to its last id still get their answers, and servers end
every long connection this way (RFC 9113 6.8). This file holds the one method of h2 that is replaced for it.
"""

import contextlib

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

from edged.upstream.endpoint import Endpoint
from edged.upstream.message import Request

STREAM_WINDOW_BYTES = 1 << 20
"""For each answer. Answers are taken in as they come, so the window only has to cover the round trip."""
CONNECTION_WINDOW_BYTES = 16 << 20


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
        self._upgraded = False
        self._widest = [0, 0]  # windows for what is sent: of the connection, of a stream

    def upgrade(self) -> str:
        """Begin with a request made in HTTP/1.1: gives the value of its HTTP2-Settings. Source: RFC 7540 3.2.1."""
        self._upgraded = True
        return (self.initiate_upgrade_connection() or b"").rstrip(b"=").decode("ascii")

    def hello(self) -> None:
        """Put preface, settings and the connection's window on the wire. Source: RFC 9113 3.4, 6.9.2."""
        if not self._upgraded:
            self.initiate_connection()
        self.increment_flow_control_window(CONNECTION_WINDOW_BYTES - self.inbound_flow_control_window)

    @property
    def may_open(self) -> bool:
        """Whether the peer's SETTINGS allow one stream more."""
        return self.open_outbound_streams < self.remote_settings.max_concurrent_streams

    def note_windows(self, event: h2.events.Event) -> None:
        """Keep in mind how much the peer lets be sent at once, where an event may have made it more."""
        stream = self.remote_settings.initial_window_size
        if isinstance(event, h2.events.WindowUpdated) and event.stream_id:
            with contextlib.suppress(h2.exceptions.ProtocolError):  # it is over
                stream = self.local_flow_control_window(event.stream_id)
        elif not isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            return
        self._widest = [max(self._widest[0], self.outbound_flow_control_window), max(self._widest[1], stream)]

    def window_bytes(self, streams: int) -> int:
        """Bytes of so many bodies that the peer has let be on their way at once, at the most."""
        return min(self._widest[0], streams * self._widest[1])

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = h2.errors.ErrorCodes(frame.error_code) if _is_known(frame.error_code) else frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def _is_known(code: int) -> bool:
    return code in h2.errors.ErrorCodes.__members__.values()


def head_of(request: Request, endpoint: Endpoint) -> list[tuple[str, str]]:
    """Give the fields of a request, pseudo-header fields first. Source: RFC 9113 8.3.1."""
    headers = [
        (":method", request.method),
        (":scheme", endpoint.scheme),
        (":authority", endpoint.authority),
        (":path", request.target),
        *((name.lower(), value) for name, value in request.headers),
    ]
    if request.content_length is not None:
        headers.append(("content-length", str(request.content_length)))
    return headers


def error_name(code: int | None) -> str:
    """Give the name of an HTTP/2 error code. Source: RFC 9113 7."""
    return h2.errors.ErrorCodes(code).name if code is not None and _is_known(code) else f"error {code}"
