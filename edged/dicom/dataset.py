"""The push reader of a data set: any encoding in, the canonical form out.

Canonical form: Explicit VR Little Endian, sequences and items of undefined length, no group lengths, no trailing
padding; encapsulated pixel data as it is. The data-set digest is the digest of this form, and the web exit of an
instance in Implicit VR or Big Endian is this form, so scan, digest and conversion cannot disagree.
Strategy: the output is the input with edits; a native explicit data set passes whole runs of elements at a time.
No value is collected because of its length: at most `LONGEST_KEPT` bytes of a watched one are waited for.
Invariants: the output does not depend on how the input was cut; at most `DEEPEST` frames are open.
"""

from struct import Struct
from typing import Final

from edged.dicom.attributes import KEPT, LONGEST_KEPT, PIXEL_DATA_TAGS
from edged.dicom.dictionary import CONTEXT, PIXEL_DATA, implicit_vr, is_private_creator
from edged.dicom.edits import DROP, KEEP, Edits, Piece, swapped
from edged.dicom.errors import DicomError
from edged.dicom.frame import (
    BIG,
    CLOSE_ITEM,
    CLOSE_SEQUENCE,
    ENDLESS,
    ITEM,
    ITEM_DELIMITATION,
    LITTLE,
    OPEN_ITEM,
    SEQUENCE_DELIMITATION,
    Frame,
    Header,
    Kind,
    fragment_item,
)
from edged.dicom.reasons import FailureReason
from edged.dicom.vr import LONG_VRS, SHORT_VRS, SWAP_WIDTH, UNDEFINED, explicit_header

DEEPEST: Final = 64
"""Frames open at once: about 32 sequences within each other. Structured reports nest about ten."""

_MOST_AT_ONCE: Final = 1 << 20
_JOIN: Final = 4096
"""How much of a new piece is copied to complete what the last one left."""
_PADDING: Final = 0xFFFCFFFC
_WATCHED: Final = frozenset((*KEPT, *PIXEL_DATA_TAGS, *CONTEXT))

_HEADER = Struct("<L2sH").unpack_from
_LENGTH = Struct("<L").unpack_from
_HEADER_SIZE: Final[dict[bytes, int]] = {
    **dict.fromkeys(SHORT_VRS, 8),
    **dict.fromkeys(LONG_VRS - {b"SQ"}, 12),
}
_STOPS: Final = frozenset(tag >> 16 | (tag & 0xFFFF) << 16 for tag in (*_WATCHED, _PADDING))
"""Tags, read as one little endian number, at which a run ends."""


def _bad(text: str) -> DicomError:
    return DicomError(FailureReason.CANNOT_UNDERSTAND, text)


class DataSetReader:
    """Reads one data set as it comes; `attributes` and `has_pixel_data` tell what its top level held."""

    def __init__(self, *, little: bool = True) -> None:
        self.attributes: dict[str, bytes] = {}
        self.has_pixel_data = False
        self._top = Frame(Kind.DATA_SET, ENDLESS, LITTLE if little else BIG)
        self._frames = [self._top]
        self._out = Edits()
        self._carry = b""
        self._base = 0
        self._only_zeros = False

    @property
    def is_explicit(self) -> bool | None:
        """Whether the data set is in explicit VR; None until its first element came."""
        return self._top.explicit

    @property
    def is_little(self) -> bool:
        """Whether the data set is little endian, by its first element once that came."""
        return self._top.order is LITTLE

    def feed(self, data: bytes | memoryview) -> list[Piece]:
        """Take the next bytes; returns the canonical ones that are certain now, partly as views of `data`.

        Raises DicomError CANNOT_UNDERSTAND.
        """
        pieces = self._out.pieces = []
        view = memoryview(data)
        while len(view):
            if self._carry:
                self._consume(memoryview(self._carry + view[:_JOIN]))
                view = view[_JOIN:]
            else:
                self._consume(view[:_MOST_AT_ONCE])
                view = view[_MOST_AT_ONCE:]
        return pieces

    def finish(self) -> None:
        """The data set ends here. Raises DicomError TRUNCATED when something in it is not complete."""
        if self._carry or self._out.in_value or len(self._frames) > 1:
            raise DicomError(FailureReason.TRUNCATED, "The data set ends inside an element.")

    def _consume(self, view: memoryview) -> None:
        self._out.begin(view)
        while self._step():
            pass
        self._base += self._out.at
        self._carry = self._out.end()

    def _step(self) -> bool:
        """Go on by one element, item or piece of a value; False when more bytes are needed."""
        out = self._out
        if out.in_value:
            return out.pass_value()
        frame = self._frames[-1]
        if self._base + out.at == frame.end:
            self._close_at_end(frame)
            return True
        if self._only_zeros:
            return self._skip_zeros()
        if frame.kind is not Kind.DATA_SET:
            return self._item(frame)
        if frame.explicit and frame.order is LITTLE:
            self._run(frame)
        return self._element(frame)

    def _run(self, frame: Frame) -> None:
        """Pass the elements that are canonical as they stand and that nobody watches."""
        view = self._out.view
        at = self._out.at
        limit = min(len(view), frame.end - self._base)
        while at + 12 <= limit:
            tag, vr, length = _HEADER(view, at)
            size = _HEADER_SIZE.get(vr)
            if size is None or tag < 0x10000 or tag in _STOPS or tag & 0xFFFF == 0xFFFE:
                break
            if size == 12:
                (length,) = _LENGTH(view, at + 8)  # an undefined length is beyond any limit
            end = at + size + length
            if end > limit:
                break
            at = end
        self._out.at = at

    def _element(self, frame: Frame) -> bool:
        """One element, whatever it is."""
        out = self._out
        header = frame.header(out.view, out.at)
        if header is None:
            return False
        tag, told, length, size = header
        if tag >> 16 == 0xFFFE:
            return self._delimiter(frame, tag)
        known = 0 if length == UNDEFINED else length
        if self._base + out.at + size + known > frame.end:
            raise _bad(f"Element {tag:08X} is longer than what holds it.")
        if tag & 0xFFFF == 0 or tag == _PADDING:
            return self._drop(header)
        vr = told or implicit_vr(tag, frame.creators, frame.context)
        if length == UNDEFINED or vr == b"SQ":
            opened = self._open(frame, header, vr)
            if opened is not None:
                return opened
            vr = b"UN"
        return self._value(frame, header, vr)

    def _value(self, frame: Frame, header: Header, vr: bytes) -> bool:
        """Begin a value, after a look at it if it is watched."""
        tag, told, length, size = header
        mode = KEEP if frame.order is LITTLE else SWAP_WIDTH.get(vr, KEEP)
        if tag in _WATCHED or (not frame.explicit and is_private_creator(tag)):
            raw = self._peek(size, length)
            if raw is None:
                return False
            self._look(frame, tag, raw if mode == KEEP else swapped(raw, mode))
        out = self._out
        start = out.at
        out.at = start + size
        if not told or frame.order is not LITTLE:
            out.replace(start, out.at, explicit_header(tag, vr, length))
        out.value(length, mode)
        return True

    def _peek(self, size: int, length: int) -> bytes | None:
        """The beginning of the value behind a header of `size` bytes; None when it is not here yet."""
        begin = self._out.at + size
        end = begin + min(length, LONGEST_KEPT)
        return bytes(self._out.view[begin:end]) if end <= len(self._out.view) else None

    def _look(self, frame: Frame, tag: int, raw: bytes) -> None:
        """Note a watched value: for whoever reads `attributes`, or as context of what follows."""
        if frame is self._top:
            if tag in KEPT:
                self.attributes[KEPT[tag]] = raw
            self.has_pixel_data |= tag in PIXEL_DATA_TAGS
        if tag in CONTEXT:
            frame.context = {**frame.context, tag: int.from_bytes(raw[:2], "little")}
        elif is_private_creator(tag):
            frame.remember_creator(tag, raw)

    def _open(self, frame: Frame, header: Header, vr: bytes) -> bool | None:
        """Open a sequence or the fragments of a value; None when it is a plain value after all."""
        tag, told, length, size = header
        out = self._out
        inner_order = frame.order
        if length:
            if out.at + size + 4 > len(out.view):
                return False
            found = frame.order_of_item(out.view, out.at + size, may_be_empty=length == UNDEFINED)
            if found is None:
                if length != UNDEFINED and not told:
                    return None
                raise _bad(f"Element {tag:08X} should hold items and does not.")
            inner_order = found
        kind = Kind.SEQUENCE if vr in (b"SQ", b"UN") and tag != PIXEL_DATA else Kind.FRAGMENTS
        self.has_pixel_data |= frame is self._top and tag in PIXEL_DATA_TAGS
        canonical_vr = b"SQ" if kind is Kind.SEQUENCE else vr
        start = out.at
        out.at = start + size
        if told != canonical_vr or length != UNDEFINED or frame.order is not LITTLE:
            out.replace(start, out.at, explicit_header(tag, canonical_vr, UNDEFINED))
        self._push(frame, kind, length)
        if inner_order is not frame.order:  # UN is little endian and implicit wherever it stands (PS3.5 6.2.2)
            self._frames[-1].order = inner_order
            self._frames[-1].explicit = False
        return True

    def _item(self, frame: Frame) -> bool:
        """What stands between items: the next one, or the end of the sequence."""
        out = self._out
        header = frame.header(out.view, out.at)
        if header is None:
            return False
        tag, _, length, size = header
        known = 0 if length == UNDEFINED else length
        if tag == SEQUENCE_DELIMITATION:
            return self._close_at_delimiter(frame, CLOSE_SEQUENCE)
        if tag != ITEM or self._base + out.at + size + known > frame.end:
            raise _bad(f"{tag:08X} stands where an item should, or is longer than what holds it.")
        start = out.at
        out.at = start + size
        if frame.kind is Kind.SEQUENCE:
            if length != UNDEFINED or frame.order is not LITTLE:
                out.replace(start, out.at, OPEN_ITEM)
            self._push(frame, Kind.DATA_SET, length)
            return True
        if length == UNDEFINED:
            raise _bad("A fragment has no length.")
        if frame.order is not LITTLE:
            out.replace(start, out.at, fragment_item(length))
        out.value(length, KEEP)
        return True

    def _push(self, frame: Frame, kind: Kind, length: int) -> None:
        if len(self._frames) >= DEEPEST:
            raise _bad("Sequences are nested too deep.")
        end = None if length == UNDEFINED else self._base + self._out.at + length
        self._frames.append(frame.child(kind, end))

    def _delimiter(self, frame: Frame, tag: int) -> bool:
        """A delimiter among elements: the end of an item, or a stray one behind the last element."""
        if frame is self._top and tag != ITEM:
            return self._drop((tag, b"", 0, 8))
        if tag != ITEM_DELIMITATION:
            raise _bad(f"{tag:08X} stands where an element should.")
        return self._close_at_delimiter(frame, CLOSE_ITEM)

    def _close_at_delimiter(self, frame: Frame, canonical: bytes) -> bool:
        out = self._out
        out.replace(out.at, out.at + 8, canonical)
        out.at += 8
        if frame.has_length and self._base + out.at > frame.end:
            raise _bad("A delimiter stands across the end of what it should end.")
        self._frames.pop()
        return True

    def _close_at_end(self, frame: Frame) -> None:
        if not frame.has_length:
            raise _bad("A sequence or item is not closed in what holds it.")
        canonical = CLOSE_ITEM if frame.kind is Kind.DATA_SET else CLOSE_SEQUENCE
        self._out.replace(self._out.at, self._out.at, canonical)
        self._frames.pop()

    def _drop(self, header: Header) -> bool:
        """Leave an element out: group lengths, padding, stray delimiters."""
        tag, _, length, size = header
        if length == UNDEFINED:
            raise _bad(f"Element {tag:08X} has no length.")
        out = self._out
        out.replace(out.at, out.at + size, b"")
        out.at += size
        out.value(length, DROP)
        self._only_zeros = tag == length == 0 and len(self._frames) == 1
        return True

    def _skip_zeros(self) -> bool:
        """Zeros behind the last element, as written by what fills up blocks."""
        out = self._out
        if bytes(out.view[out.at :]).strip(b"\0"):
            raise _bad("Something stands behind the padding.")
        out.replace(out.at, len(out.view), b"")
        out.at = len(out.view)
        return False
