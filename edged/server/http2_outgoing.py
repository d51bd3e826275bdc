"""What an HTTP/2 connection has to write, as octets, and HPACK in both directions (RFC 9113 4.3, RFC 7541).

What may live here: the buffer between the codec and the task that writes, field blocks made and read; nothing
of streams. Invariants: HPACK's tables never grow beyond their first size, whatever a client would allow; a
field section is read as far as its bound and not beyond.
"""

from hpack import Decoder, Encoder, HPACKError
from hpack.exceptions import OversizedHeaderListError

from edged.server.http2_events import Fields
from edged.server.http2_frames import END_HEADERS, END_STREAM, ConnectionFault, ErrorCode, FrameType, frame
from edged.server.http2_settings import TABLE_BYTES


class Outgoing:
    """Octets to write, in their order; `size` is what there is of them."""

    def __init__(self) -> None:
        self._encoder = Encoder()
        self._octets: list[bytes] = []
        self.size = 0

    def write(self, octets: bytes) -> None:
        """Frames that are complete."""
        self._octets.append(octets)
        self.size += len(octets)

    def write_fields(self, stream_id: int, fields: Fields, *, ended: bool, frame_bytes: int) -> None:
        """A field section, in as many frames as it takes."""
        block = self._encoder.encode(fields, huffman=False)  # which costs more time than it saves
        kind, flags = FrameType.HEADERS, END_STREAM if ended else 0
        while len(block) > frame_bytes:
            self.write(frame(kind, stream_id, block[:frame_bytes], flags=flags))
            kind, flags, block = FrameType.CONTINUATION, 0, block[frame_bytes:]
        self.write(frame(kind, stream_id, block, flags=flags | END_HEADERS))

    def shrink_table(self, size: int) -> None:
        """Keep HPACK's table to what the client allows; the next field block says so."""
        if size >= self._encoder.header_table_size:  # the same once more would make the encoder forget to say it
            return
        self._encoder.table_size_changes.clear()  # larger ones, which the client would not take any more
        self._encoder.header_table_size = size

    def take(self) -> bytes:
        """Everything that is to be written, once."""
        octets = b"".join(self._octets)
        self._octets.clear()
        self.size = 0
        return octets


class FieldReader:
    """HPACK's decoder; a section may be `list_bytes` large as RFC 9113 6.5.2 counts it."""

    def __init__(self, list_bytes: int) -> None:
        self._decoder = Decoder(max_header_list_size=list_bytes)
        self._decoder.max_allowed_table_size = TABLE_BYTES

    def read(self, block: bytes) -> Fields:
        """The fields of a whole block; raises ConnectionFault, for the next ones could not be read after it."""
        try:
            return [(bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)]
        except OversizedHeaderListError:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a field section is too large") from None
        except (HPACKError, IndexError):
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "a field block cannot be decoded") from None
