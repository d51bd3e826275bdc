"""The HTTP/2 side of the sink: one connection on h2, whose streams are read whole and answered.

Its windows are opened at once and again as the bytes come, so that only their size bounds a sender.
"""

import socket
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.settings

PREFACE = b"PRI * HTTP/2.0"
WINDOW_BYTES = 16 << 20
_DEFAULT_WINDOW = 65_535

Storing = Callable[[bytes, bytes, bytearray], bytes | None]


class _Stream:
    def __init__(self, head: dict[bytes, bytes]) -> None:
        self.method = head[b":method"]
        self.target = head[b":path"]
        self.body = bytearray()


class _Connection:
    """What one connection is in the middle of."""

    def __init__(self, stored: Storing, window: int) -> None:
        self._stored = stored
        self._streams: dict[int, _Stream] = {}
        self.protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))
        self.protocol.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.protocol.initiate_connection()
        if window > _DEFAULT_WINDOW:
            self.protocol.increment_flow_control_window(window - _DEFAULT_WINDOW)

    def take(self, event: h2.events.Event) -> None:
        """Do what an event asks for."""
        match event:
            case h2.events.RequestReceived(stream_id=number, headers=headers):
                self._streams[number] = _Stream(dict(headers))
            case h2.events.DataReceived(stream_id=number, data=data, flow_controlled_length=length):
                self._streams[number].body += data
                self.protocol.acknowledge_received_data(length, number)
            case h2.events.StreamEnded(stream_id=number):
                self._answer(number, self._streams.pop(number))

    def _answer(self, number: int, stream: _Stream) -> None:
        said = self._stored(stream.method, stream.target, stream.body)
        if said is None:
            self.protocol.send_headers(number, [(b":status", b"404")], end_stream=True)
            return
        fields = [(b":status", b"200"), (b"content-type", b"application/dicom+json")]
        self.protocol.send_headers(number, fields)
        room = self.protocol.max_outbound_frame_size
        for at in range(0, len(said), room):
            self.protocol.send_data(number, said[at : at + room])
        self.protocol.end_stream(number)


def serve_http2(stream: socket.socket, begun: bytes, stored: Storing, *, window: int) -> None:
    """Serve one connection until it ends; answers are smaller than the peer's window."""
    connection = _Connection(stored, window)
    data = begun
    while data:
        for event in connection.protocol.receive_data(data):
            connection.take(event)
        if said := connection.protocol.data_to_send():
            stream.sendall(said)
        data = stream.recv(1 << 18)
