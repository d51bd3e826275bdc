"""The push reader of a data set: any encoding in, the canonical form out.

Canonical form: Explicit VR Little Endian, sequences and items of undefined length, no group lengths, no file meta
information, no trailing padding; encapsulated pixel data as it is. The data-set digest is the digest of this form, and
the web exit of an instance in Implicit VR or Big Endian is this form, so scan, digest and conversion cannot disagree.
Strategy: the output is the input with edits; plain elements pass in whole runs, the others one by one.
Invariants: the output does not depend on how the input was cut; no value is collected because of its length, at most
`LONGEST_KEPT` bytes of a watched one are waited for.
"""

from typing import Final

from edged.dicom.attributes import KEPT, LONGEST_KEPT, PIXEL_DATA_TAGS
from edged.dicom.dictionary import CONTEXT, implicit_vr, is_private_creator
from edged.dicom.edits import DROP, KEEP, Edits, Piece, swapped
from edged.dicom.errors import DicomError
from edged.dicom.frame import ITEM, ITEM_DELIMITATION, LITTLE, Frame, Header, Kind
from edged.dicom.nesting import Nesting, misunderstood
from edged.dicom.reasons import FailureReason
from edged.dicom.runs import WATCHED, explicit_run, implicit_run, is_left_out
from edged.dicom.vr import SWAP_WIDTH, UNDEFINED, explicit_header

_MOST_AT_ONCE: Final = 1 << 20
"""How much is worked on in one go; bounds what turning the byte order allocates."""
LONG_VALUE: Final = 1 << 16
"""No value with a 16-bit length is as long, so whether one is does not depend on the encoding."""
_JOIN: Final = 4096
"""How much of a new piece is copied to complete what the last one left."""


class DataSetReader:
    """Reads one data set as it comes; `attributes` and `has_pixel_data` tell what its top level held.

    `body_offset` is where the body begins: the first value of at least LONG_VALUE bytes at the top level, or the first
    fragment there, behind its header; `canonical_body_offset` is where that is in the output.
    `declares_implicit` is for the caller to set, before the first byte, from what the file says of itself.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, bytes] = {}
        self.has_pixel_data = False
        self.declares_implicit = False
        self._out = Edits()
        self._nesting = Nesting(self._out)
        self._top = self._nesting.top
        self._carry = b""
        self._given_out = 0
        self.body_offset: int | None = None
        self.canonical_body_offset: int | None = None
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
        pieces: list[Piece] = []
        self._out.pieces = pieces
        view = memoryview(data)
        while view:
            if self._carry:
                self._consume(memoryview(self._carry + view[:_JOIN]))
                view = view[_JOIN:]
            else:
                self._consume(view[:_MOST_AT_ONCE])
                view = view[_MOST_AT_ONCE:]
        if self.body_offset is None:
            self._given_out += sum(map(len, pieces))
        return pieces

    def pass_unseen(self, size: int) -> bool:
        """Take the next `size` bytes without a look, if all of them are of one value that leaves as it is.

        Most of an instance is such a value. When this is False nothing was taken.
        """
        if self._carry or not self._out.pass_unseen(size):
            return False
        self._nesting.base += size
        if self.body_offset is None:
            self._given_out += size
        return True

    @property
    def edits_body(self) -> bool:
        """Whether any of the body leaves in another form than it came in."""
        return self.body_offset is not None and self._out.has_edits

    def finish(self) -> None:
        """The data set ends here. Raises DicomError TRUNCATED when something in it is not complete."""
        if self._carry or self._out.left or self._nesting.frame is not self._top:
            raise DicomError(FailureReason.TRUNCATED, "The data set ends inside an element.")

    def _consume(self, view: memoryview) -> None:
        self._out.begin(view)
        while self._step():
            pass
        self._nesting.base += self._out.at
        self._carry = self._out.end()

    def _step(self) -> bool:
        """Go on by elements, an item or a piece of a value; False when more bytes are needed."""
        out, nesting = self._out, self._nesting
        if out.left:
            return out.pass_value()
        frame = nesting.frame
        if nesting.base + out.at == frame.end:
            nesting.close_at_end()
            return True
        if self._only_zeros:
            return self._skip_zeros()
        if frame.kind is not Kind.DATA_SET:
            return self._item(frame)
        self._run(frame)
        return nesting.base + out.at == frame.end or self._element(frame)

    def _run(self, frame: Frame) -> None:
        """Pass a run of plain elements, if there is one."""
        out = self._out
        start = out.at
        if frame.explicit is None or frame.order is not LITTLE:
            return
        span = start, min(len(out.view), frame.end - self._nesting.base)
        if frame.explicit:
            attributes = self.attributes if frame is self._top else None
            out.at = explicit_run(frame, out.view, span, look=self._look, attributes=attributes)
        else:
            out.at, canonical = implicit_run(frame, out.view, span, look=self._look)
            out.replace(start, out.at, canonical)

    def _element(self, frame: Frame) -> bool:
        """Take one element, whatever it is; a value is only begun. False when more bytes are needed."""
        out = self._out
        if frame.explicit is None and frame is self._top:
            frame.settle(out.view, out.at, declares_implicit=self.declares_implicit)
        header = frame.header(out.view, out.at)
        if header is None:
            return False
        tag, told, length, _ = header
        if tag >> 16 == 0xFFFE:
            self._delimiter(frame, tag)
            return True
        self._nesting.require_room(header)
        if is_left_out(tag):
            self._drop(header)
            return True
        vr = told or implicit_vr(tag, frame.creators, frame.context)
        if length == UNDEFINED or vr == b"SQ":
            opened = self._nesting.open(header, vr)
            if opened is not None:
                self.has_pixel_data |= frame is self._top and tag in PIXEL_DATA_TAGS
                return opened
            vr = b"UN"
        return self._value(frame, header, vr)

    def _value(self, frame: Frame, header: Header, vr: bytes) -> bool:
        """Begin a value, after a look at it if it is watched."""
        tag, told, length, size = header
        mode = KEEP if frame.order is LITTLE else SWAP_WIDTH.get(vr, KEEP)
        if tag in PIXEL_DATA_TAGS:
            self._look(frame, tag, b"")
        elif tag in WATCHED or (not frame.explicit and is_private_creator(tag)):
            raw = self._peek(size, length)
            if raw is None:
                return False
            self._look(frame, tag, raw if mode == KEEP else swapped(raw, mode))
        out = self._out
        if not told or frame.order is not LITTLE:
            out.replace(out.at, out.at + size, explicit_header(tag, vr, length))
        out.at += size
        out.value(length, mode)
        if length >= LONG_VALUE and frame is self._top and (tag in PIXEL_DATA_TAGS or tag not in WATCHED):
            self._begin_body()
        return True

    def _item(self, frame: Frame) -> bool:
        """Take what stands between items or fragments."""
        taken = self._nesting.item()
        if taken and frame.kind is Kind.FRAGMENTS and self._nesting.is_first_level:
            self._begin_body()
        return taken

    def _begin_body(self) -> None:
        """The body begins here, unless it has begun: what came before leaves as pieces of its own."""
        if self.body_offset is None:
            out = self._out
            out.replace(out.at, out.at, b"")
            out.has_edits = False
            self.body_offset = self._nesting.base + out.at
            self.canonical_body_offset = self._given_out + sum(map(len, out.pieces))

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
            elif tag in PIXEL_DATA_TAGS:
                self.has_pixel_data = True
        if tag in CONTEXT:
            frame.context = {**frame.context, tag: int.from_bytes(raw[:2], "little")}
        elif tag & 0x10000 and is_private_creator(tag):
            frame.remember_creator(tag, raw)

    def _delimiter(self, frame: Frame, tag: int) -> None:
        """A delimiter among elements: the end of an item, or a stray one at the top level, which is left out."""
        if frame is self._top and tag != ITEM:
            self._drop((tag, b"", 0, 8))
        elif tag == ITEM_DELIMITATION:
            self._nesting.close_at_delimiter()
        else:
            raise misunderstood(f"{tag:08X} stands where an element should.")

    def _drop(self, header: Header) -> None:
        """Leave out an element, or a stray delimiter.

        What is kept first tells how the data set is encoded: it is the first that a reader of the web exit will see.
        """
        tag, _, length, size = header
        if length == UNDEFINED:
            raise misunderstood(f"Element {tag:08X} has no length.")
        out = self._out
        out.replace(out.at, out.at + size, b"")
        out.at += size
        out.value(length, DROP)
        if self._nesting.frame is self._top:
            self._only_zeros = tag == length == 0
            if self.body_offset is None and not self._given_out and not out.pieces:
                self._top.explicit = None

    def _skip_zeros(self) -> bool:
        """Zeros behind the last element, as written by what fills up blocks."""
        out = self._out
        if bytes(out.view[out.at :]).strip(b"\0"):
            raise misunderstood("Something stands behind the padding.")
        out.replace(out.at, len(out.view), b"")
        out.at = len(out.view)
        return False
