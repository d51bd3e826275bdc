"""The settings of both sides of an HTTP/2 connection (RFC 9113 6.5).

What may live here: their values, their ranges, and what of the client's is made use of; pure. Invariants: what
a client allows beyond our own bounds is never used; after ConnectionFault the settings are not used again.
"""

from edged.server.http2_frames import SETTING_BYTES, ConnectionFault, ErrorCode, Setting, settings_of
from edged.server.limits import KIB, Limits

FIRST_WINDOW_BYTES = 65_535  # of the connection and of each stream (RFC 9113 6.9.2)
LARGEST_WINDOW = 2**31 - 1
FRAME_BYTES = 64 * KIB  # accepted and made; clients mostly keep to 16 KiB
FIRST_FRAME_BYTES = 16 * KIB  # what every client accepts (RFC 9113 4.2)
LARGEST_FRAME = 2**24 - 1
TABLE_BYTES = 4096  # of HPACK, on both sides; the table that a client allows may be smaller, never larger
MAX_SETTINGS = 32  # in one frame; there are eight, and upgrade.py has the same bound


def our_settings(limits: Limits) -> dict[Setting, int]:
    """What the server announces."""
    return {
        Setting.MAX_CONCURRENT_STREAMS: limits.streams,
        Setting.MAX_FRAME_SIZE: FRAME_BYTES,
        Setting.MAX_HEADER_LIST_SIZE: limits.head_bytes,
        Setting.ENABLE_CONNECT_PROTOCOL: 1,
        Setting.NO_RFC7540_PRIORITIES: 1,
    }


class ClientSettings:
    """What the client has announced so far, as far as it matters here."""

    __slots__ = ("frame_bytes", "table_bytes", "window_bytes")

    def __init__(self) -> None:
        self.frame_bytes = FIRST_FRAME_BYTES
        self.table_bytes = TABLE_BYTES
        self.window_bytes = FIRST_WINDOW_BYTES

    def read(self, payload: bytes) -> None:
        """Take over the payload of a SETTINGS frame; raises ConnectionFault."""
        if len(payload) > MAX_SETTINGS * SETTING_BYTES:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many settings")
        for setting, value in settings_of(payload):
            match setting:
                case Setting.ENABLE_PUSH | Setting.ENABLE_CONNECT_PROTOCOL if value > 1:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a setting is neither 0 nor 1")
                case Setting.INITIAL_WINDOW_SIZE:
                    if value > LARGEST_WINDOW:
                        raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "an initial window is out of range")
                    self.window_bytes = value
                case Setting.MAX_FRAME_SIZE:
                    if not FIRST_FRAME_BYTES <= value <= LARGEST_FRAME:
                        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame size is out of range")
                    self.frame_bytes = min(value, FRAME_BYTES)
                case Setting.HEADER_TABLE_SIZE:  # to have it grow again would be allowed, and brings little
                    self.table_bytes = min(value, self.table_bytes)
