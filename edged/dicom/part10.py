"""The push reader of one PS3.10 file: head, inflation where the data set is deflated, data set.

A data set's encoding is decided by its first element: senders do declare one transfer syntax and encode in another.
`transfer_syntax_uid` is therefore what a native data set is in; what is encapsulated is taken at the file's word.
Inflation goes in steps of bounded size, each consumed before the next, so a small input never makes a large buffer.
"""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from edged.dicom import uids
from edged.dicom.dataset import DataSetReader
from edged.dicom.edits import Piece
from edged.dicom.errors import DicomError
from edged.dicom.head import Head, HeadReader, write_head
from edged.dicom.reasons import FailureReason

_INFLATED_AT_ONCE: Final = 1 << 18
_NATIVE: Final = frozenset(
    (uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN, uids.EXPLICIT_VR_LITTLE_ENDIAN)
)
_CONVERTED: Final = frozenset((uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN))


def leaves_as_is(transfer_syntax_uid: str) -> bool:
    """Whether DICOMweb may carry a data set in this transfer syntax (PS3.18 8.7.3)."""
    return transfer_syntax_uid not in _CONVERTED


class FileReader:
    """Reads one file as it comes; `data_set` holds what was seen in it."""

    def __init__(self) -> None:
        self.data_set = DataSetReader()
        self._head = HeadReader()
        self._inflater: _Inflater | None = None
        self._is_read_on = False

    @property
    def head(self) -> Head | None:
        """The file's head, once it is complete."""
        return self._head.head

    @property
    def transfer_syntax_uid(self) -> str | None:
        """The transfer syntax that the data set is in; None until its first element came."""
        explicit = self.data_set.is_explicit
        if self.head is None or explicit is None:
            return None
        declared = self.head.transfer_syntax_uid
        if declared is not None and declared not in _NATIVE:
            return declared
        if not explicit:
            return uids.IMPLICIT_VR_LITTLE_ENDIAN
        return uids.EXPLICIT_VR_LITTLE_ENDIAN if self.data_set.is_little else uids.EXPLICIT_VR_BIG_ENDIAN

    @property
    def leaves_as_is(self) -> bool:
        """Whether the file may go to the web byte for byte.

        It must be explicit and little endian inside; a native one must also be a proper file that declares what it is.
        """
        found = self.transfer_syntax_uid
        if self.head is None or not (self.data_set.is_explicit and self.data_set.is_little):
            return False
        is_proper = self.head.preamble is not None and self.head.transfer_syntax_uid == found
        return is_proper or found not in _NATIVE

    @property
    def body_offset(self) -> int | None:
        """Where the body begins in the file; None before it, and for good where the data set is deflated."""
        begins = self.data_set.body_offset
        if self.head is None or begins is None or self._inflater is not None:
            return None
        return self.head.size + begins

    def described(self) -> tuple[Head, str]:
        """The head and the transfer syntax. Raises DicomError when the data set is empty."""
        found = self.transfer_syntax_uid
        if self.head is None or found is None:
            raise DicomError(FailureReason.REQUIRED_ATTRIBUTE_MISSING, "The data set is empty.")
        return self.head, found

    def exit_head(self, *, sop_class_uid: str, sop_instance_uid: str) -> bytes:
        """The head that stands before the canonical data set in the web exit. Raises DicomError as `described`."""
        head, found = self.described()
        is_plain = found in _NATIVE or found == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
        return write_head(
            head,
            transfer_syntax_uid=uids.EXPLICIT_VR_LITTLE_ENDIAN if is_plain else found,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
        )

    def feed(self, data: bytes | memoryview) -> Iterable[Piece]:
        """Take the next bytes, at the latest while the caller iterates; gives canonical ones. Raises DicomError."""
        view = memoryview(data)
        parts = [view] if self._head.head is not None else self._head.feed(view)
        if len(parts) == 1:
            return self._feed_data_set(parts[0])
        return (piece for part in parts for piece in self._feed_data_set(part))

    def pass_unseen(self, size: int) -> bool:
        """Take the next `size` bytes without a look, if they leave as they are; False when nothing was taken."""
        return self._is_read_on and self._inflater is None and self.data_set.pass_unseen(size)

    def finish(self) -> Iterator[Piece]:
        """The file ends here; gives the last canonical bytes. Raises DicomError."""
        if self._head.head is None:
            for part in self._head.finish():
                yield from self._feed_data_set(part)
        if self._inflater is not None:
            self._inflater.finish()
        self.data_set.finish()

    def _feed_data_set(self, view: memoryview) -> Iterable[Piece]:
        if not self._is_read_on:
            self._begin_data_set()
        if self._inflater is None:
            return self.data_set.feed(view)
        return (piece for part in self._inflater.feed(view) for piece in self.data_set.feed(part))

    def _begin_data_set(self) -> None:
        self._is_read_on = True
        declared = self._head.head.transfer_syntax_uid if self._head.head else None
        self.data_set.declares_implicit = declared == uids.IMPLICIT_VR_LITTLE_ENDIAN
        if declared == uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
            self._inflater = _Inflater()


class _Inflater:
    """A deflated data set, inflated in bounded steps (PS3.5 A.5).

    What stands behind the deflated stream is ignored: a padding byte, and the checksum that some writers leave there.
    """

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Take the next bytes; gives the inflated ones. Raises DicomError CANNOT_UNDERSTAND."""
        while not self._zlib.eof:
            try:
                inflated = self._zlib.decompress(data, _INFLATED_AT_ONCE)
            except zlib.error as error:
                raise DicomError(FailureReason.CANNOT_UNDERSTAND, "The data set is not deflated.") from error
            yield inflated
            data = self._zlib.unconsumed_tail
            if not data and len(inflated) < _INFLATED_AT_ONCE:
                break

    def finish(self) -> None:
        """The file ends here. Raises DicomError TRUNCATED."""
        if not self._zlib.eof:
            raise DicomError(FailureReason.TRUNCATED, "The deflated data set is not complete.")
