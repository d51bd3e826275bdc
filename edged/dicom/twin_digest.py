"""Both digests of an instance while it is read: of the stored bytes, and of the data set in its canonical form.

In the body both are the same bytes until the reader edits some, so one hash serves both; at the first edit it is
copied, and from there each goes on by itself. Invariants: the digests do not depend on how the input was cut; between
two pieces of input no more is kept than the reader has not given out.
"""

from typing import Final

from edged.dicom.digests import joined, new_digest, update_short
from edged.dicom.edits import Piece
from edged.dicom.errors import DicomError
from edged.dicom.part10 import FileReader

HELD_BACK: Final = 2048
"""Of what comes before the body: the reader may wait for the beginning of a value that turns out to be the body."""


class TwinDigest:
    """Feeds a reader and takes both digests of what it reads."""

    def __init__(self, reader: FileReader) -> None:
        self.length = 0
        self.canonical_length = 0
        self._reader = reader
        self._file = new_digest()
        self._data_set = new_digest()
        self._data_set_body = new_digest()
        self._file_body = new_digest()
        self._body_offset: int | None = None
        self._is_shared = False
        self._raw = memoryview(b"")
        """What arrived and is in no digest of the file yet."""

    def read(self, data: bytes | memoryview) -> None:
        """Take the next bytes. Raises DicomError; what comes after that is for `skip`."""
        if self._is_shared and self._reader.pass_unseen(len(data)):
            self.length += len(data)
            self.canonical_length += len(data)
            self._data_set_body.update(data)
            return
        self._arrive(data)
        try:
            pieces = self._reader.feed(data)
            if isinstance(pieces, list) and self._reader.data_set.canonical_body_offset is None:
                pieces = [b"".join(pieces)]  # edits make many small ones, which are hashed faster as one
            for piece in pieces:
                self._look()
                self._take(piece)
        except DicomError:
            self._look()
            self._part()
            raise
        finally:
            self._settle()

    def skip(self, data: bytes | memoryview) -> None:
        """Take bytes that nobody understands: only the digest of the file goes on."""
        self._arrive(data)
        self._settle(held_back=0)

    def finish(self) -> None:
        """The file ends here. Raises DicomError."""
        for piece in self._reader.finish():
            self._look()
            self._take(piece)

    @property
    def body_offset(self) -> int:
        """Where the body begins in the file; its length when there is none."""
        return self.length if self._body_offset is None else self._body_offset

    def file_digest(self) -> bytes:
        """The digest of the stored bytes, as FileDigest takes it."""
        if self._raw:
            self._part()
            self._settle(held_back=0)
        return joined(self._file.digest(), (self._data_set_body if self._is_shared else self._file_body).digest())

    def data_set_digest(self) -> bytes:
        """The digest of the canonical form."""
        return joined(self._data_set.digest(), self._data_set_body.digest())

    def _arrive(self, data: bytes | memoryview) -> None:
        self.length += len(data)
        self._raw = memoryview(bytes(self._raw) + data) if self._raw else memoryview(data)

    def _take(self, piece: Piece) -> None:
        """Hash what the reader has given out."""
        begins = self._reader.data_set.canonical_body_offset
        if begins is None or self.canonical_length < begins:
            update_short(self._data_set, piece)
        else:
            self._data_set_body.update(piece)
            if self._is_shared:
                self._raw = self._raw[len(piece) :]
        self.canonical_length += len(piece)

    def _look(self) -> None:
        """Enter the body when the reader has; part where it has edited it."""
        begins = self._reader.body_offset
        if self._body_offset is None and begins is not None:
            here = begins - (self.length - len(self._raw))
            assert here >= 0, "the reader holds back less than is held back here"
            update_short(self._file, self._raw[:here])
            self._raw = self._raw[here:]
            self._body_offset = begins
            self._is_shared = True
        if self._reader.data_set.edits_body:
            self._part()

    def _part(self) -> None:
        if self._is_shared:
            self._is_shared = False
            self._file_body = self._data_set_body.copy()

    def _settle(self, held_back: int = HELD_BACK) -> None:
        """At the end of a piece of input, which will not be there any more."""
        self._look()
        if not self._is_shared:
            if self._body_offset is None:
                end = max(0, len(self._raw) - held_back)
                update_short(self._file, self._raw[:end])
            else:
                end = len(self._raw)
                self._file_body.update(self._raw)
            self._raw = self._raw[end:]
        self._raw = memoryview(bytes(self._raw))
