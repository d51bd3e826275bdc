"""The HTTP/2 state of one connection, on h2, without I/O: settings, windows, and a GOAWAY that does not cut.

h2 treats GOAWAY as the end of everything. It is not: streams up to its last id still get their answers, and servers end
every long connection this way (RFC 9113 6.8). This file holds the one method of h2 that is replaced for it.
"""

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
from h2.settings import SettingCodes
from hyperframe.frame import Frame, GoAwayFrame

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
        event.error_code = h2.errors.ErrorCodes(frame.error_code) if _is_known(frame.error_code) else frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]


def _is_known(code: int) -> bool:
    return code in h2.errors.ErrorCodes.__members__.values()


def error_name(code: int | None) -> str:
    """Give the name of an HTTP/2 error code. Source: RFC 9113 7."""
    return h2.errors.ErrorCodes(code).name if code is not None and _is_known(code) else f"error {code}"
