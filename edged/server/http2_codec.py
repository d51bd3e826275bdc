"""h2's state machine as this server uses it: its settings, its windows, and three things h2 does not offer.

What may live here: how h2 is set up and where it is bent; no tasks, no I/O. h2 describes every received frame
for a log that is off, which costs a third of an upload; it cannot announce the end of a connection and go on
with its streams; it does not say how much it holds to be written. Each is a few lines here, and each has a
test.
"""

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import Event, StreamReset
from h2.exceptions import InvalidBodyLengthError
from h2.settings import SettingCodes, Settings
from h2.stream import StreamState
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

from edged.server.limits import KIB, Limits

FIRST_WINDOW_BYTES = 65_535  # what a stream may send before anybody reads it (RFC 9113 6.9.2)
FRAME_BYTES = 64 * KIB  # accepted; clients mostly keep to 16 KiB


class QuietDataFrame(DataFrame):
    """A DATA frame whose description is cheap."""

    def __repr__(self) -> str:
        return "DATA"


class Codec(H2Connection):
    """The server's side of one HTTP/2 connection."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(H2Configuration(client_side=False, header_encoding=None))
        self.local_settings = Settings(
            client=False,
            initial_values={
                SettingCodes.MAX_CONCURRENT_STREAMS: limits.streams,
                SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes,
                SettingCodes.MAX_FRAME_SIZE: FRAME_BYTES,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,  # RFC 8441 3
            },
        )
        self.max_inbound_frame_size = FRAME_BYTES  # h2 takes it over only from settings that change later
        self.decoder.max_header_list_size = limits.head_bytes
        self._frame_dispatch_table[QuietDataFrame] = self._frame_dispatch_table[DataFrame]
        self._connection_window_bytes = limits.connection_window_bytes

    @property
    def unsent_bytes(self) -> int:
        """What `data_to_send` would give."""
        return len(self._data_to_send)

    @property
    def ended(self) -> bool:
        """Whether GOAWAY was sent or received for good: nothing else can be sent."""
        return self.state_machine.state is ConnectionState.CLOSED

    def begin(self, settings: bytes | None = None) -> None:
        """Queue the server's preface and open the connection's window; `settings` are those of an upgrade."""
        if settings is None:
            self.initiate_connection()
        else:
            self.initiate_upgrade_connection(settings)
        self.increment_flow_control_window(self._connection_window_bytes - FIRST_WINDOW_BYTES)

    def announce_end(self) -> None:
        """Queue a GOAWAY that lets the streams that were begun finish (RFC 9113 6.8)."""
        self._prepare_for_sending([GoAwayFrame(0, last_stream_id=self.highest_inbound_stream_id)])

    def _receive_frame(self, frame: Frame) -> list[Event]:
        if type(frame) is not DataFrame:
            return super()._receive_frame(frame)
        frame.__class__ = QuietDataFrame
        try:
            return super()._receive_frame(frame)
        except InvalidBodyLengthError:
            return self._refuse_body(frame)

    def _refuse_body(self, frame: DataFrame) -> list[Event]:
        """A body that is not as long as was said ends its stream, not the connection (RFC 9113 8.1.1)."""
        self.acknowledge_received_data(frame.flow_controlled_length, frame.stream_id)
        answered = self.streams[frame.stream_id].state_machine.state is StreamState.HALF_CLOSED_LOCAL
        code = ErrorCodes.NO_ERROR if answered else ErrorCodes.PROTOCOL_ERROR
        self.reset_stream(frame.stream_id, code)
        return [StreamReset(stream_id=frame.stream_id, error_code=code, remote_reset=False)]
