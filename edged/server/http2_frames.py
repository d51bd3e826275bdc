"""HTTP/2 frames: octets in, frames out, and frames made (RFC 9113 3.4, 4 and 6).

What may live here: the preface, the layout of frames, padding, and field blocks put together from their
pieces; pure. Nothing of streams, windows or HPACK. Strategy: a frame is refused by its nine octets of head as
far as they tell, before one octet of its payload is waited for. Invariants: for any octets `take` yields
frames or raises ConnectionFault, nothing else; it holds no more than one frame and one field block, both of
bounded size.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
SETTING_BYTES = 6
PRIORITY_BYTES = 5
BLOCK_FRAMES = 64  # of one field block: an honest one has a few, each full (CVE-2024-27316)
MAX_STREAM_ID = 2**31 - 1

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_GIVEN = 0x20

_HEAD = struct.Struct(">HBBBL")
_LONG = struct.Struct(">L")
_SETTING = struct.Struct(">HL")


class FrameType(IntEnum):
    """RFC 9113 6; others are ignored (5.5)."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class ErrorCode(IntEnum):
    """RFC 9113 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """RFC 9113 6.5.2, RFC 8441 3, RFC 9218 2.1; others are ignored."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6
    ENABLE_CONNECT_PROTOCOL = 8
    NO_RFC7540_PRIORITIES = 9


OF_A_STREAM = frozenset(
    {FrameType.DATA, FrameType.HEADERS, FrameType.PRIORITY, FrameType.RST_STREAM, FrameType.CONTINUATION}
)
OF_THE_CONNECTION = frozenset({FrameType.SETTINGS, FrameType.PING, FrameType.GOAWAY})
LENGTHS: dict[int, int] = {FrameType.RST_STREAM: 4, FrameType.PING: 8, FrameType.WINDOW_UPDATE: 4}


class ConnectionFault(Exception):
    """The client broke a rule that the whole connection depends on (RFC 9113 5.4.1)."""

    def __init__(self, code: ErrorCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame without its padding; HEADERS come with their whole field block, and without a priority."""

    kind: int
    flags: int
    stream_id: int
    payload: bytes
    flow_bytes: int  # what it takes from windows: the payload with its padding


class FrameReader:
    """What a client sends after the preface, frame by frame. Sizes are the most that is accepted."""

    def __init__(self, *, frame_bytes: int, block_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._block_bytes = block_bytes
        self._preface = PREFACE  # what is still to come of it
        self._first = True
        self._pending = bytearray()
        self._needed = 0  # octets until `_pending` can be read
        self._block: list[Frame] = []  # HEADERS and CONTINUATION without an end yet

    def take(self, octets: bytes) -> Iterator[Frame]:
        """The frames that are complete with `octets`; raises ConnectionFault at the first that is none."""
        if self._preface:
            octets = self._after_preface(octets)
        if self._pending:
            if len(self._pending) + len(octets) < self._needed:
                self._pending += octets
                return
            octets = b"".join((self._pending, octets))
            self._pending.clear()
        begin, self._needed = 0, HEAD_BYTES
        while len(octets) - begin >= HEAD_BYTES:
            high, low, kind, flags, stream_id = _HEAD.unpack_from(octets, begin)
            length, stream_id = high << 8 | low, stream_id & MAX_STREAM_ID
            self._check_head(kind, length, flags=flags, stream_id=stream_id)
            end = begin + HEAD_BYTES + length
            if end > len(octets):
                self._needed = end - begin
                break
            self._first = False
            frame = _unpadded(kind, octets[begin + HEAD_BYTES : end], flags=flags, stream_id=stream_id)
            begin = end
            whole = self._whole(frame)
            if whole is not None:
                yield whole
        self._pending += memoryview(octets)[begin:]

    def _after_preface(self, octets: bytes) -> bytes:
        head, rest = octets[: len(self._preface)], octets[len(self._preface) :]
        if not self._preface.startswith(head):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the preface is not that of HTTP/2")
        self._preface = self._preface[len(head) :]
        return rest

    def _check_head(self, kind: int, length: int, *, flags: int, stream_id: int) -> None:
        if self._first and (kind != FrameType.SETTINGS or flags & ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the preface ends with SETTINGS")
        if length > self._frame_bytes:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame is larger than was announced")
        if self._block and (kind != FrameType.CONTINUATION or stream_id != self._block[0].stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a field block is interrupted")
        if kind == FrameType.PUSH_PROMISE or (kind == FrameType.CONTINUATION and not self._block):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame has no place here")
        if (kind in OF_A_STREAM and not stream_id) or (kind in OF_THE_CONNECTION and stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame is not on the stream where it belongs")
        if length != LENGTHS.get(kind, length):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame has the wrong length")
        if (kind == FrameType.SETTINGS and length % SETTING_BYTES) or (kind == FrameType.GOAWAY and length < 8):
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame has the wrong length")
        if kind == FrameType.SETTINGS and flags & ACK and length:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement of settings is empty")

    def _whole(self, frame: Frame) -> Frame | None:
        """`frame`, unless it is a piece of a field block: then that, once it is complete."""
        if not self._block and (frame.kind != FrameType.HEADERS or frame.flags & END_HEADERS):
            return frame
        self._block.append(frame)
        size = sum(len(piece.payload) for piece in self._block)
        if size > self._block_bytes or len(self._block) > BLOCK_FRAMES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a field block is too large")
        if not frame.flags & END_HEADERS:
            return None
        first, block = self._block[0], b"".join(piece.payload for piece in self._block)
        self._block = []
        return Frame(first.kind, first.flags, first.stream_id, block, first.flow_bytes)


def frame(kind: FrameType, stream_id: int, payload: bytes = b"", *, flags: int = 0) -> bytes:
    """The octets of one frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings(values: Mapping[Setting, int]) -> bytes:
    """A SETTINGS frame (RFC 9113 6.5)."""
    return frame(FrameType.SETTINGS, 0, b"".join(_SETTING.pack(*pair) for pair in values.items()))


def window_update(stream_id: int, size: int) -> bytes:
    """A WINDOW_UPDATE frame (RFC 9113 6.9); stream 0 is the connection."""
    return frame(FrameType.WINDOW_UPDATE, stream_id, _LONG.pack(size))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    """A RST_STREAM frame (RFC 9113 6.4)."""
    return frame(FrameType.RST_STREAM, stream_id, _LONG.pack(code))


def goaway(last_stream_id: int, code: ErrorCode) -> bytes:
    """A GOAWAY frame (RFC 9113 6.8)."""
    return frame(FrameType.GOAWAY, 0, _LONG.pack(last_stream_id) + _LONG.pack(code))


def long_of(payload: bytes, at: int = 0) -> int:
    """The 32-bit number at an offset of a payload."""
    number: int = _LONG.unpack_from(payload, at)[0]
    return number


def settings_of(payload: bytes) -> Iterator[tuple[int, int]]:
    """The identifiers and values of a SETTINGS payload, in their order."""
    yield from _SETTING.iter_unpack(payload)


def _unpadded(kind: int, payload: bytes, *, flags: int, stream_id: int) -> Frame:
    size = len(payload)
    if kind in {FrameType.DATA, FrameType.HEADERS}:
        begin, padding = 0, 0
        if flags & PADDED:
            _need(size >= 1)
            begin, padding = 1, payload[0]
        if kind == FrameType.HEADERS and flags & PRIORITY_GIVEN:
            begin += PRIORITY_BYTES
            _need(size >= begin)
        if padding > size - begin:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame has more padding than payload")
        if begin:
            payload = payload[begin : size - padding]
    return Frame(kind, flags, stream_id, payload, size)


def _need(there: bool) -> None:
    if not there:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a frame ends before its fields do")
