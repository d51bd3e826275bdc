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
from edged.dicom.vr import FILE_META, LONG_VRS, SHORT_VRS, explicit_header

PADDING: Final = 0xFFFCFFFC
"""Data Set Trailing Padding (PS3.10 7.2)."""

WATCHED: Final = frozenset((*KEPT, *PIXEL_DATA_TAGS, *CONTEXT))
"""Elements that somebody looks at: the index, or the choice of a later VR."""

Look = Callable[[Frame, int, bytes], None]

_header = Struct("<6sH").unpack_from
_length = Struct("<L").unpack_from
_TAG: Final = Struct("<HH")
_tag = _TAG.unpack_from
_implicit_header = Struct("<HHL").unpack_from
_ENDS_RUN: Final = 0
_LONGEST: Final = 0xFFFF
"""A longer value ends the run: it may be the body."""
_REMEMBERED: Final = 8192
"""Combinations of tag and VR; the data dictionary has about 5,000."""


def is_left_out(tag: int) -> bool:
    """Whether the canonical form has no such element, at any level: group lengths, file meta information, padding.

    File meta information does not belong in a data set; some programs that copy elements put it there all the same.
    At its beginning it would be taken for the head of the web exit. Source: PS3.5 7.1, 7.2, PS3.10 7.1.
    """
    return tag & 0xFFFF == 0 or tag >> 16 == FILE_META or tag == PADDING


class _Kinds(dict[bytes, int | str | None]):
    """By tag and VR what a run does with an element: with most, whose header is short, nothing (None).

    A keyword: its header is short as well, and the index keeps it. Else the size of its header, negative where somebody
    looks at the element, or _ENDS_RUN.
    """

    def __missing__(self, kind: bytes) -> int | str | None:
        if len(self) >= _REMEMBERED:
            self.clear()
        self[kind] = found = _kind_of(kind)
        return found


def _kind_of(kind: bytes) -> int | str | None:
    group, element = _tag(kind)
    tag, vr = group << 16 | element, kind[4:]
    size = 8 if vr in SHORT_VRS else 12 if vr in LONG_VRS and vr != b"SQ" else _ENDS_RUN
    if not size or group == 0xFFFE or is_left_out(tag):
        return _ENDS_RUN
    if tag in WATCHED:
        return KEPT[tag] if size == 8 and tag in KEPT and tag not in CONTEXT else -size
    return None if size == 8 else size


_kinds: Final = _Kinds()


def explicit_run(
    frame: Frame, view: memoryview, span: tuple[int, int], *, look: Look, attributes: dict[str, bytes] | None
) -> int:
    """Where the run of canonical elements from the beginning of `span` ends, within it.

    What is kept for the index goes to `attributes`, None below the top level.
    """
    at, limit = span
    header, kinds, last = _header, _kinds, limit - 12
    while at <= last:
        kind, length = header(view, at)
        found = kinds[kind]
        if found is None:
            end = at + 8 + length
        elif isinstance(found, str):
            end = at + 8 + length
            if end <= limit and attributes is not None:
                attributes[found] = bytes(view[at + 8 : end if length <= LONGEST_KEPT else at + 8 + LONGEST_KEPT])
        elif found == _ENDS_RUN:
            break
        else:
            value = at + abs(found)
            if value == at + 12:
                (length,) = _length(view, at + 8)
            if length > _LONGEST:
                break
            end = value + length
            if found < 0 and end <= limit:
                group, element = _tag(kind)
                look(frame, group << 16 | element, bytes(view[value : min(end, value + LONGEST_KEPT)]))
        if end > limit:
            break
        at = end
    return at


def implicit_run(frame: Frame, view: memoryview, span: tuple[int, int], *, look: Look) -> tuple[int, bytes]:
    """Where the run of plain elements from the beginning of `span` ends, and the canonical form of all of it."""
    at, limit = span
    canonical = bytearray()
    while at + 8 <= limit:
        group, element, length = _implicit_header(view, at)
        end = at + 8 + length
        if end > limit or length > LONGEST_KEPT or element == 0 or not FILE_META < group < 0xFFFC:
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
