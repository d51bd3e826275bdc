"""Turns a stored file into its web exit: Explicit VR Little Endian, while it streams.

The body is the canonical data set that `DataSetReader` makes and the head is the sender's with its Transfer Syntax
put right, so what leaves has exactly the `exit_length` and the `dataset_digest` of the scan. Only an instance whose
scan does not say `leaves_as_is` needs this. Memory is bounded by the pieces fed.
"""

from typing import Final

from edged.dicom.edits import Piece
from edged.dicom.part10 import FileReader

CONVERTER_VERSION: Final = b"2"
"""To be counted up whenever a file leaves as other bytes than before: then it is another representation."""

_SMALL: Final = 1024


class Converter:
    """Converts one file; the UIDs are those of its scan."""

    def __init__(self, *, sop_class_uid: str, sop_instance_uid: str) -> None:
        self._sop_class_uid = sop_class_uid
        self._sop_instance_uid = sop_instance_uid
        self._reader = FileReader()
        self._has_begun = False

    def feed(self, data: bytes | memoryview) -> list[Piece]:
        """Take the next bytes; returns what leaves, partly as views of `data`. Raises DicomError."""
        return self._with_head(list(self._reader.feed(data)))

    def finish(self) -> list[Piece]:
        """The file ends here; returns what still leaves. Raises DicomError."""
        return self._with_head(list(self._reader.finish()))

    def _with_head(self, pieces: list[Piece]) -> list[Piece]:
        if pieces and not self._has_begun:
            self._has_begun = True
            head = self._reader.exit_head(sop_class_uid=self._sop_class_uid, sop_instance_uid=self._sop_instance_uid)
            pieces.insert(0, head)
        return _joined(pieces)


def _joined(pieces: list[Piece]) -> list[Piece]:
    """The same bytes with the many small pieces between large values put together."""
    joined: list[Piece] = []
    small: list[Piece] = []
    for piece in pieces:
        if len(piece) < _SMALL:
            small.append(piece)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(piece)
    if small:
        joined.append(b"".join(small))
    return joined
