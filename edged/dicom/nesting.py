"""The open sequences, items and fragments of a data set, and their canonical form.

What opens and what closes is read and written here: sequences and items leave with undefined length, whatever they
came with (PS3.5 7.5), fragments as they are (PS3.5 A.4). The elements between are `dataset.py`'s.
Invariants: the first frame is the data set and is never closed; at most `DEEPEST` frames are open; no frame reaches
beyond the one it is in.
"""

from typing import Final

from edged.dicom.dictionary import PIXEL_DATA
from edged.dicom.edits import KEEP, Edits
from edged.dicom.errors import DicomError
from edged.dicom.frame import (
    CLOSE_ITEM,
    CLOSE_SEQUENCE,
    ENDLESS,
    ITEM,
    LITTLE,
    OPEN_ITEM,
    SEQUENCE_DELIMITATION,
    Frame,
    Header,
    Kind,
    fragment_item,
)
from edged.dicom.reasons import FailureReason
from edged.dicom.vr import UNDEFINED, explicit_header

DEEPEST: Final = 64
"""Frames open at once: about 32 sequences within each other. Structured reports nest about ten."""


_FIRST_LEVEL: Final = 2


def misunderstood(text: str) -> DicomError:
    """The error for a structure that makes no sense."""
    return DicomError(FailureReason.CANNOT_UNDERSTAND, text)


class Nesting:
    """The frames that are open at the position of `out`; `base` is where its piece of input begins."""

    __slots__ = ("_frames", "_out", "base", "frame", "top")

    def __init__(self, out: Edits) -> None:
        self.top = Frame(Kind.DATA_SET, ENDLESS, LITTLE)
        self.frame = self.top
        self.base = 0
        self._frames = [self.top]
        self._out = out

    @property
    def offset(self) -> int:
        """The position in the data set."""
        return self.base + self._out.at

    @property
    def is_first_level(self) -> bool:
        """Whether the open frame is right inside the data set."""
        return len(self._frames) == _FIRST_LEVEL

    def require_room(self, header: Header) -> None:
        """Raise unless the element or item, with its value where it tells a length, fits into the open frame."""
        tag, _, length, size = header
        if self.offset + size + (0 if length == UNDEFINED else length) > self.frame.end:
            raise misunderstood(f"Element {tag:08X} is longer than what holds it.")

    def open(self, header: Header, vr: bytes) -> bool | None:
        """Open the sequence or the fragments that `header` begins; `vr` is its VR, told or not.

        False when more bytes are needed; None when it is a plain value after all, its VR but guessed.
        """
        tag, told, length, size = header
        out, outer = self._out, self.frame
        order = outer.order
        if length:
            if out.at + size + 4 > len(out.view):
                return False
            found = outer.order_of_item(out.view, out.at + size, may_be_empty=length == UNDEFINED)
            if found is None and length != UNDEFINED and not told:
                return None
            if found is None:
                raise misunderstood(f"Element {tag:08X} should hold items and does not.")
            order = found
        kind = Kind.SEQUENCE if vr in (b"SQ", b"UN") and tag != PIXEL_DATA else Kind.FRAGMENTS
        canonical = b"SQ" if kind is Kind.SEQUENCE else vr
        is_canonical = told == canonical and length == UNDEFINED and outer.order is LITTLE
        self._enter(kind, header, b"" if is_canonical else explicit_header(tag, canonical, UNDEFINED))
        if order is not outer.order:  # UN is little endian and implicit wherever it stands (PS3.5 6.2.2)
            self.frame.order = order
            self.frame.explicit = False
        return True

    def item(self) -> bool:
        """Take what stands between items: the next one, or the end of the sequence. False when it is not all here."""
        out, frame = self._out, self.frame
        header = frame.header(out.view, out.at)
        if header is None:
            return False
        tag, _, length, size = header
        if tag == SEQUENCE_DELIMITATION:
            self.close_at_delimiter()
            return True
        self.require_room(header)
        if tag != ITEM:
            raise misunderstood(f"{tag:08X} stands where an item should.")
        if frame.kind is Kind.SEQUENCE:
            is_canonical = length == UNDEFINED and frame.order is LITTLE
            self._enter(Kind.DATA_SET, header, b"" if is_canonical else OPEN_ITEM)
            return True
        if length == UNDEFINED:
            raise misunderstood("A fragment has no length.")
        if frame.order is not LITTLE:
            out.replace(out.at, out.at + size, fragment_item(length))
        out.at += size
        out.value(length, KEEP)
        return True

    def close_at_delimiter(self) -> None:
        """Close the open frame by the delimiter that stands here."""
        out = self._out
        canonical = CLOSE_ITEM if self.frame.kind is Kind.DATA_SET else CLOSE_SEQUENCE
        if out.view[out.at : out.at + 8] != canonical:
            out.replace(out.at, out.at + 8, canonical)
        out.at += 8
        if self.offset > self.frame.end:
            raise misunderstood("A delimiter stands across the end of what holds it.")
        self._leave()

    def close_at_end(self) -> None:
        """Close the open frame where its length says so."""
        if not self.frame.has_length:
            raise misunderstood("A sequence or item is not closed in what holds it.")
        canonical = CLOSE_ITEM if self.frame.kind is Kind.DATA_SET else CLOSE_SEQUENCE
        self._out.replace(self._out.at, self._out.at, canonical)
        self._leave()

    def _enter(self, kind: Kind, header: Header, canonical: bytes) -> None:
        """Open a frame behind `header`, which leaves as `canonical`, or as it is."""
        if len(self._frames) >= DEEPEST:
            raise misunderstood("Sequences are nested too deep.")
        _, _, length, size = header
        out = self._out
        if canonical:
            out.replace(out.at, out.at + size, canonical)
        out.at += size
        self.frame = self.frame.child(kind, None if length == UNDEFINED else self.offset + length)
        self._frames.append(self.frame)

    def _leave(self) -> None:
        self._frames.pop()
        self.frame = self._frames[-1]
