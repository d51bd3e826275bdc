"""The parsers of `edged.dicom`: the scan of an instance, its conversion, and text in any character set.

What may live here: for each the function that holds its invariant; the files to begin with are in `corpus`.
"""

from functools import lru_cache

from edged.dicom.converter import Converter
from edged.dicom.errors import DicomError
from edged.dicom.names import decode_text
from edged.dicom.reasons import FailureReason
from edged.dicom.scanner import InstanceScanner, Scan
from tests.fuzz.corpus import dicom_files
from tests.fuzz.target import Target, first_line, however_cut
from tests.support.dicom_samples import unheard

LARGEST = 4000
_HEAD_GROWS_BY = 1000
_ELEMENT_GROWS_BY = 3
"""Octets out for each that came in: an item of 8 gets a delimiter of 8, and its sequence more."""


def scan(data: bytes) -> None:
    """A scan or DicomError, however the file is cut; its web exit has the length and the digest that it says."""
    found = however_cut(data, _scanned)
    if not isinstance(found, Scan):
        return
    assert found.length == len(data)
    assert found.dataset_offset <= found.body_offset <= len(data)
    if found.leaves_as_is:
        assert found.exit_length == len(data)
        return
    exit_ = b"".join(map(bytes, _converted([data], found.sop_class_uid, found.sop_instance_uid) or ()))
    assert len(exit_) == found.exit_length
    again = _scanned([exit_])
    assert isinstance(again, Scan)
    assert again.leaves_as_is
    assert again.dataset_digest == found.dataset_digest
    assert again.sop_instance_uid == found.sop_instance_uid


def _scanned(pieces: list[bytes]) -> Scan | FailureReason:
    scanner = InstanceScanner()
    try:
        with unheard():
            for piece in pieces:
                scanner.feed(piece)
            return scanner.finish()
    except DicomError as error:
        return error.reason


def converter(data: bytes) -> None:
    """The same Explicit VR Little Endian however the file is cut, no longer than its elements need; or DicomError."""
    exit_ = however_cut(data, lambda pieces: _joined(_converted(pieces, "1.2.3", "1.2.3.4")))
    assert len(exit_ or b"") <= _HEAD_GROWS_BY + _ELEMENT_GROWS_BY * len(data) * _inflation(data)


def _inflation(data: bytes) -> int:
    """How much a deflated data set may grow."""
    return 1100 if b"1.2.840.10008.1.2.1.99" in data else 1


def _converted(pieces: list[bytes], sop_class_uid: str, sop_instance_uid: str) -> list[bytes] | None:
    converting = Converter(sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)
    leaving: list[bytes] = []
    try:
        for piece in pieces:
            leaving += map(bytes, converting.feed(piece))
        return [*leaving, *map(bytes, converting.finish())]
    except DicomError:
        return None


def _joined(pieces: list[bytes] | None) -> bytes | None:
    return None if pieces is None else b"".join(pieces)


def names(data: bytes) -> None:
    """A text of any octets in any Specific Character Set."""
    charset, raw = first_line(data)
    with unheard():
        for is_person_name in (False, True):
            decode_text(raw, charset.encode("latin-1"), is_person_name=is_person_name).encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _files() -> tuple[bytes, ...]:
    return dicom_files()


TARGETS = (
    Target("dicom-scan", scan, _files(), most_bytes=LARGEST),
    Target("dicom-convert", converter, _files(), most_bytes=LARGEST),
    Target(
        "dicom-names",
        names,
        (
            b"\\ISO 2022 IR 87\nYamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            b"ISO_IR 192\nBuc^J\xc3\xa9r\xc3\xb4me",
            b"ISO_IR 100\nBuc^J\xe9r\xf4me\\second",
            b"GB18030\nWang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=",
        ),
    ),
)
