"""Real DICOM files, the ones that ship with pydicom, and small ones made on the spot."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pydicom.data
from pydicom import Dataset, FileDataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset

from edged.dicom import uids
from edged.dicom.converter import Converter
from edged.dicom.scanner import InstanceScanner, Scan
from edged.dicom.vr import explicit_header

logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # it complains about every file made to be wrong

_ROOT = Path(pydicom.data.__file__).parent
FOUR_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


@contextmanager
def unheard() -> Iterator[None]:
    """Pydicom's warnings about values that are not quite right are not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def shipped_files() -> list[Path]:
    """Every file in pydicom's data folder, those that are no DICOM too."""
    names = (path for path in sorted(_ROOT.rglob("*")) if path.is_file())
    return [path for path in names if path.suffix not in {".py", ".pyc"} and "README" not in path.name]


def shipped(name: str) -> bytes:
    """One of pydicom's files, by its base name."""
    return next(path for path in shipped_files() if path.name == name).read_bytes()


def read(data: bytes) -> FileDataset:
    """What pydicom reads."""
    with unheard():
        data_set = dcmread(io.BytesIO(data), force=True)
        data_set.walk(lambda *_: None)
        return data_set


def written(data_set: Dataset, transfer_syntax_uid: str) -> bytes:
    """The data set as a file."""
    out = io.BytesIO()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    meta.TransferSyntaxUID = pydicom.uid.UID(transfer_syntax_uid)
    whole = Dataset(data_set)
    whole.file_meta = meta
    with unheard():
        dcmwrite(
            out,
            whole,
            implicit_vr=transfer_syntax_uid == uids.IMPLICIT_VR_LITTLE_ENDIAN,
            little_endian=transfer_syntax_uid != uids.EXPLICIT_VR_BIG_ENDIAN,
            enforce_file_format=True,
        )
    return out.getvalue()


def identified() -> Dataset:
    """The smallest data set that is an instance."""
    data_set = Dataset()
    data_set.SOPClassUID = "1.2.840.10008.5.1.4.1.1.66"
    data_set.SOPInstanceUID = "1.2.3.4"
    data_set.StudyInstanceUID = "1.2.3"
    data_set.SeriesInstanceUID = "1.2.3.1"
    return data_set


def plain(tag: int, vr: bytes, value: bytes) -> bytes:
    """One explicit little endian element."""
    return explicit_header(tag, vr, len(value)) + value


def ui(tag: int, text: str) -> bytes:
    """One explicit little endian UID."""
    return plain(tag, b"UI", text.encode() + b"\0" * (len(text) % 2))


def file_of(*elements: bytes, transfer_syntax_uid: str = uids.EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A file whose data set is the four UIDs and then `elements`, as they are."""
    four = ui(0x00080016, "1.2.840.10008.5.1.4.1.1.66") + ui(0x00080018, "1.2.3.4")
    four += ui(0x0020000D, "1.2.3") + ui(0x0020000E, "1.2.3.1")
    return bare_file(four, *elements, transfer_syntax_uid=transfer_syntax_uid)


def bare_file(*elements: bytes, transfer_syntax_uid: str = uids.EXPLICIT_VR_LITTLE_ENDIAN) -> bytes:
    """A file whose data set is `elements`."""
    meta = ui(0x00020010, transfer_syntax_uid)
    length = plain(0x00020000, b"UL", len(meta).to_bytes(4, "little"))
    return bytes(128) + b"DICM" + length + meta + b"".join(elements)


def scan(data: bytes, step: int = 0) -> Scan:
    """Scan a file, fed whole or in pieces of `step` bytes."""
    scanner = InstanceScanner()
    for start in range(0, len(data), step or len(data) or 1):
        scanner.feed(data[start : start + (step or len(data))])
    return scanner.finish()


def digest_of(data: bytes, body_offset: int) -> bytes:
    """The digest of bytes with a body, by nothing but the standard library."""
    halves = data[:body_offset], data[body_offset:]
    return sha256(b"".join(sha256(half).digest() for half in halves)).digest()


def converted(data: bytes, step: int = 0) -> bytes:
    """The web exit of a file, fed whole or in pieces of `step` bytes."""
    found = scan(data)
    converter = Converter(sop_class_uid=found.sop_class_uid, sop_instance_uid=found.sop_instance_uid)
    out = b""
    for start in range(0, len(data), step or len(data)):
        out += b"".join(converter.feed(data[start : start + (step or len(data))]))
    return out + b"".join(converter.finish())
