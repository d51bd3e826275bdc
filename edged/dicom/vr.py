"""Value representations: which header each takes in explicit VR, and how wide its numbers are.

Facts of PS3.5 6.2 and 7.1.2 as tables, and the one function that writes an explicit VR little endian header.
VRs are two bytes everywhere in this folder, as they stand in a file.
"""

from struct import Struct
from typing import Final

UNDEFINED: Final = 0xFFFFFFFF

FILE_META: Final = 0x0002
"""The group of the file meta information (PS3.10 7.1)."""

LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""VRs with two reserved bytes and a 32-bit length (PS3.5 Table 7.1-1)."""

SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs with a 16-bit length (PS3.5 Table 7.1-2)."""

LONGEST_SHORT_VALUE: Final = 0xFFFE
"""The longest even value that a 16-bit length can state (PS3.5 6.2.2, note)."""

SWAP_WIDTH: Final[dict[bytes, int]] = {
    **dict.fromkeys((b"AT", b"OW", b"SS", b"US"), 2),
    **dict.fromkeys((b"FL", b"OF", b"OL", b"SL", b"UL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
}
"""Bytes in one number, for the VRs whose values depend on the byte order (PS3.5 7.3)."""

_SHORT = Struct("<HH2sH").pack
_LONG = Struct("<HH2sHL").pack


def looks_like_vr(text: bytes) -> bool:
    """Whether two bytes are capital letters, as every VR is, known or to come (PS3.5 6.2)."""
    return text.isalpha() and text.isupper()


def explicit_header(tag: int, vr: bytes, length: int) -> bytes:
    """An explicit VR little endian header; what its VR cannot hold, or is no known VR, becomes UN.

    Source: PS3.5 7.1.2 and 6.2.2.
    """
    if vr in SHORT_VRS:
        if length <= LONGEST_SHORT_VALUE:
            return _SHORT(tag >> 16, tag & 0xFFFF, vr, length)
        vr = b"UN"
    elif vr not in LONG_VRS:
        vr = b"UN"
    return _LONG(tag >> 16, tag & 0xFFFF, vr, 0, length)
