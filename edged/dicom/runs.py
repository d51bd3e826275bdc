"""The fast path: runs of small, complete elements that need nothing special.

Most of what a box receives is native explicit VR little endian, and almost every element of it is canonical as it
stands: such a run is passed in one tight loop and leaves as one slice. Implicit VR little endian, the second most, is
written anew element by element. Whatever is not plain ends a run and goes the general way, which gives the same
bytes, only slower. Watched values are shown to `look` in their order, because a later VR may depend on them.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from edged.dicom.attributes import KEPT, LONGEST_KEPT, PIXEL_DATA_TAGS
from edged.dicom.dictionary import CONTEXT, implicit_vr, is_private_creator
from edged.dicom.frame import Frame
from edged.dicom.vr import LONG_VRS, SHORT_VRS, explicit_header

PADDING: Final = 0xFFFCFFFC
"""Data Set Trailing Padding (PS3.10 7.2)."""

WATCHED: Final = frozenset((*KEPT, *PIXEL_DATA_TAGS, *CONTEXT))
"""Elements that somebody looks at: the index, or the choice of a later VR."""

Look = Callable[[Frame, int, bytes], None]

_header = Struct("<L2sH").unpack_from
_length = Struct("<L").unpack_from
_implicit_header = Struct("<HHL").unpack_from
_HEADER_SIZE: Final[dict[bytes, int]] = {
    **dict.fromkeys(SHORT_VRS, 8),
    **dict.fromkeys(LONG_VRS - {b"SQ"}, 12),
}
_AS_READ: Final = {tag >> 16 | (tag & 0xFFFF) << 16: tag for tag in WATCHED}
"""The watched tags by what they are when read as one little endian number."""
_PADDING_AS_READ: Final = 0xFFFCFFFC


def explicit_run(frame: Frame, view: memoryview, span: tuple[int, int], *, look: Look) -> int:
    """Where the run of canonical elements from the beginning of `span` ends, within it."""
    at, limit = span
    while at + 12 <= limit:
        tag, vr, length = _header(view, at)
        size = _HEADER_SIZE.get(vr)
        if size is None or tag < 0x10000 or tag & 0xFFFF == 0xFFFE or tag == _PADDING_AS_READ:
            break  # tag < 0x10000: element number 0, a group length
        if size == 12:
            (length,) = _length(view, at + 8)  # an undefined length is beyond any limit
        value = at + size
        end = value + length
        if end > limit:
            break
        if tag in _AS_READ:
            look(frame, _AS_READ[tag], bytes(view[value : min(end, value + LONGEST_KEPT)]))
        at = end
    return at


def implicit_run(frame: Frame, view: memoryview, span: tuple[int, int], *, look: Look) -> tuple[int, bytes]:
    """Where the run of plain elements from the beginning of `span` ends, and the canonical form of all of it."""
    at, limit = span
    canonical = bytearray()
    while at + 8 <= limit:
        group, element, length = _implicit_header(view, at)
        end = at + 8 + length
        if end > limit or length > LONGEST_KEPT or element == 0 or group >= 0xFFFC:
            break
        tag = group << 16 | element
        vr = implicit_vr(tag, frame.creators, frame.context)
        if vr == b"SQ":
            break
        value = view[at + 8 : end]
        if tag in WATCHED or is_private_creator(tag):
            look(frame, tag, bytes(value))
        canonical += explicit_header(tag, vr, length)
        canonical += value
        at = end
    return at, bytes(canonical)
