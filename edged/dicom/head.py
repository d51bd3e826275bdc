"""What stands before the data set in a PS3.10 file: the preamble and the File Meta Information, in and out.

The reader takes files without a preamble, without meta information, and with a group length that is absent or
wrong (PS3.10 7.1); it ends where group 0002 ends, and trusts the group length only where no tag can tell the end,
before a deflated data set. Of two elements with one tag the first counts: some writers repeat the meta information,
with another transfer syntax, where the data set should begin. It buffers the head alone, `LARGEST_HEAD` at most.
`write_head` gives the head of the web exit: what the sender wrote, with what must be right put right.
"""

from dataclasses import dataclass
from typing import Final

from edged.dicom import uids
from edged.dicom.dictionary import implicit_vr
from edged.dicom.errors import DicomError
from edged.dicom.frame import ENDLESS, LITTLE, Frame, Kind
from edged.dicom.reasons import FailureReason
from edged.dicom.vr import FILE_META, explicit_header

LARGEST_HEAD: Final = 1 << 16
PREAMBLE: Final = 128

_GROUP_LENGTH: Final = 0x00020000
_VERSION: Final = 0x00020001
_SOP_CLASS: Final = 0x00020002
_SOP_INSTANCE: Final = 0x00020003
_TRANSFER_SYNTAX: Final = 0x00020010
_IMPLEMENTATION: Final = 0x00020012
_STEP: Final = 4096
_GROUP: Final = b"\x02\0"
_FIRST_GROUPS: Final = (_GROUP, b"\x08\0", b"\0\x08")
"""What a file without a preamble begins with: group 0002H, or 0008H in either byte order."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of one file: `preamble` is None when there was none, `size` the bytes before the data set.

    `transfer_syntax_uid` is what stands there for one, if it is a UID.
    """

    preamble: bytes | None
    elements: tuple[tuple[int, bytes, bytes], ...]
    size: int
    transfer_syntax_uid: str | None


class HeadReader:
    """Takes the beginning of a file until `head` is known."""

    def __init__(self) -> None:
        self.head: Head | None = None
        self._buffer = bytearray()
        self._source: memoryview | bytearray = self._buffer
        self._at = 0
        self._preamble: bytes | None = None
        self._elements: list[tuple[int, bytes, bytes]] = []
        self._started = False
        self._stated_end = 0
        self._declared: str | None = None
        self._frame = Frame(Kind.DATA_SET, ENDLESS, LITTLE)
        self._frame.explicit = True

    def feed(self, view: memoryview) -> list[memoryview]:
        """Take the next bytes; returns what stands behind the head. Raises DicomError."""
        if not self._buffer:
            self._source = view  # mostly it holds all of the head
            self._advance(is_end=False)
            self._source = self._buffer
            if self.head is not None:
                return [view[self._at :]]
            self._buffer += view
            return []
        while self.head is None and len(view):
            self._buffer += view[:_STEP]
            view = view[_STEP:]
            self._advance(is_end=False)
        if self.head is None:
            return []
        return [part for part in (memoryview(bytes(self._buffer[self._at :])), view) if len(part)]

    def finish(self) -> list[memoryview]:
        """The file ends here; returns what stands behind the head. Raises DicomError."""
        if self.head is None:
            self._advance(is_end=True)
        if self.head is None:
            raise DicomError(FailureReason.TRUNCATED, "The file ends inside its meta information.")
        return [memoryview(bytes(self._source[self._at :]))]

    def _advance(self, *, is_end: bool) -> None:
        if not self._started:
            if len(self._source) < PREAMBLE + 4 and not is_end:
                return
            self._start()
        if self._take_elements(self._source) and self._is_at_data_set(is_end=is_end):
            self.head = Head(self._preamble, tuple(self._elements), self._at, self._declared)

    def _start(self) -> None:
        self._started = True
        if bytes(self._source[PREAMBLE : PREAMBLE + 4]) == b"DICM":
            self._preamble = bytes(self._source[:PREAMBLE])
            self._at = PREAMBLE + 4
        elif bytes(self._source[:2]) not in _FIRST_GROUPS:
            raise DicomError(FailureReason.NOT_A_DICOM_FILE, "This does not begin like a DICOM file.")

    def _is_at_data_set(self, *, is_end: bool) -> bool:
        return is_end or self._is_deflated_here() or len(self._source) - self._at >= 2

    def _is_deflated_here(self) -> bool:
        return self._at == self._stated_end and self._declared == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN

    def _take_elements(self, source: memoryview | bytearray) -> bool:
        """Take the elements of group 0002; False when one is not all here."""
        while not self._is_deflated_here():
            header = self._frame.header(source, self._at)
            if header is None:
                return bytes(source[self._at : self._at + 2]) != _GROUP
            tag, told, length, size = header
            if tag >> 16 != FILE_META:
                return True
            end = self._at + size + length
            if end > LARGEST_HEAD:
                raise DicomError(FailureReason.CANNOT_UNDERSTAND, "The file meta information is too large.")
            if end > len(source):
                return False
            value = bytes(source[end - length : end])
            self._at = end
            if tag == _GROUP_LENGTH:
                self._stated_end = end + int.from_bytes(value[:4], "little")
                continue
            self._elements.append((tag, told or implicit_vr(tag, {}, {}), value))
            if tag == _TRANSFER_SYNTAX and self._declared is None:
                text = uids.uid_text(value)
                self._declared = text if uids.is_uid(text) else None
        return True


def _ui(text: str) -> bytes:
    return (text + "\0" * (len(text) % 2)).encode("ascii")


def write_head(head: Head, *, transfer_syntax_uid: str, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Preamble and meta information with these UIDs and the right group length; all else as the sender wrote it.

    What a file must have is added where it is missing (PS3.10 Table 7.1-1).
    """
    values = {tag: (vr, value) for tag, vr, value in reversed(head.elements)}
    values.setdefault(_VERSION, (b"OB", b"\0\1"))
    values.setdefault(_IMPLEMENTATION, (b"UI", _ui(uids.IMPLEMENTATION_CLASS_UID)))
    values[_SOP_CLASS] = (b"UI", _ui(sop_class_uid))
    values[_SOP_INSTANCE] = (b"UI", _ui(sop_instance_uid))
    values[_TRANSFER_SYNTAX] = (b"UI", _ui(transfer_syntax_uid))
    body = b"".join(explicit_header(tag, vr, len(value)) + value for tag, (vr, value) in sorted(values.items()))
    preamble = head.preamble or bytes(PREAMBLE)
    length = explicit_header(_GROUP_LENGTH, b"UL", 4) + len(body).to_bytes(4, "little")
    return preamble + b"DICM" + length + body
