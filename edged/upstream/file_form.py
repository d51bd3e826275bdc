"""A PS3.10 file on disk as a part of a Store request: scanned once, then streamed as it must leave.

The scan tells the UIDs and the exact length before the first byte is sent, and finds the file that is cut or no
instance, which is then not sent at all. Implicit VR and Big Endian are converted on the way, since DICOMweb does not
carry them (PS3.18 8.7.3, DICOM.md §1); all else leaves byte for byte. Memory is PIECE_BYTES, whatever the file's size.
"""

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from pathlib import Path

import trio

from edged.dicom.converter import Converter
from edged.dicom.errors import DicomError
from edged.dicom.reasons import FailureReason
from edged.dicom.scanner import InstanceScanner, Scan

PIECE_BYTES = 1 << 20


class FileFault(Exception):
    """A file that cannot be sent; the text says why, `reason` is there where its content is to blame."""

    def __init__(self, path: Path, text: str, reason: FailureReason | None = None) -> None:
        super().__init__(text)
        self.path = path
        self.text = text
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FileForm:
    """One file in the form that leaves; `scan` is what it was when it was looked at."""

    path: Path
    scan: Scan

    @property
    def sop_instance_uid(self) -> str:
        """Whom the archive's answer will name."""
        return self.scan.sop_instance_uid

    @property
    def length(self) -> int:
        """Bytes that `pieces` yields in all."""
        return self.scan.exit_length

    async def pieces(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yield the bytes; raises FileFault when the file is not any more what was scanned."""
        converter = self._converter()
        given = 0
        try:
            async with await trio.open_file(self.path, "rb") as file:
                while data := await file.read(PIECE_BYTES):
                    for piece in [data] if converter is None else converter.feed(data):
                        given += len(piece)
                        self._require(given <= self.length)
                        yield piece
            for piece in [] if converter is None else converter.finish():
                given += len(piece)
                yield piece
        except OSError as error:
            raise FileFault(self.path, error.strerror or "it cannot be read") from error
        except DicomError as error:
            raise self._changed() from error
        self._require(given == self.length)

    def _converter(self) -> Converter | None:
        if self.scan.leaves_as_is:
            return None
        return Converter(sop_class_uid=self.scan.sop_class_uid, sop_instance_uid=self.scan.sop_instance_uid)

    def _require(self, as_scanned: bool) -> None:
        if not as_scanned:
            raise self._changed()

    def _changed(self) -> FileFault:
        return FileFault(self.path, "it changed while it was being sent")


def read_form(path: Path) -> FileForm:
    """Scan a file, reading it from disk. Raises FileFault."""
    scanner = InstanceScanner()
    try:
        with path.open("rb") as file:
            while data := file.read(PIECE_BYTES):
                scanner.feed(data)
        return FileForm(path, scanner.finish())
    except OSError as error:
        raise FileFault(path, error.strerror or "it cannot be read") from error
    except DicomError as error:
        raise FileFault(path, str(error), error.reason) from error


class Batcher:
    """Puts files into batches: at most so many files and bytes, and never two with one SOP Instance UID."""

    def __init__(self, *, max_files: int, max_bytes: int) -> None:
        self._max_files = max_files
        self._max_bytes = max_bytes
        self._forms: dict[str, FileForm] = {}
        self._bytes = 0

    def add(self, form: FileForm) -> tuple[FileForm, ...]:
        """Take a file; returns the batch that had to end before it, or nothing."""
        full = len(self._forms) >= self._max_files or self._bytes + form.length > self._max_bytes
        ended = self.take() if full or form.sop_instance_uid in self._forms else ()
        self._forms[form.sop_instance_uid] = form
        self._bytes += form.length
        return ended

    def take(self) -> tuple[FileForm, ...]:
        """Return what there is as a batch."""
        forms = tuple(self._forms.values())
        self._forms, self._bytes = {}, 0
        return forms


def halves(forms: Iterable[FileForm]) -> list[tuple[FileForm, ...]]:
    """Return the files in two batches, or in one if there is only one."""
    whole = tuple(forms)
    middle = (len(whole) + 1) // 2
    return [half for half in (whole[:middle], whole[middle:]) if half]
