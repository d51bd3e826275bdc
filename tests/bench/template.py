"""What the generator sends: a real CT's header from pydicom with made-up pixels, and UIDs of one length to patch.

Three kinds: a CT slice of half a megabyte, a small object of about 10 KB, and a multi-frame image of 800 MB whose
frames are one block over and over. Whoever sends one needs the head as bytes with three placeholders, and how often to
repeat how large a block behind it.
"""

import io
from dataclasses import dataclass
from enum import StrEnum

from pydicom import FileDataset, dcmread, dcmwrite
from pydicom.uid import UID

from tests.support.dicom_samples import shipped

MULTI_FRAME_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
LARGE_FRAMES = 800
SMALL_ROWS, SMALL_COLUMNS = 64, 32
ROWS = COLUMNS = 512
LARGE_COLUMNS = 1024
FRAME_BYTES = 2 * ROWS * LARGE_COLUMNS
_PADDING = 0xFFFCFFFC


class Kind(StrEnum):
    """What one instance is."""

    CT = "ct"
    SMALL = "small"
    LARGE = "large"


@dataclass(frozen=True, slots=True)
class Placeholders:
    """UIDs in a template; each is as long as what is put in its place."""

    instance: str = "2.25." + "1" * 18
    series: str = "2.25." + "2" * 18
    study: str = "2.25." + "3" * 18


PLACEHOLDERS = Placeholders()


@dataclass(frozen=True, slots=True)
class Template:
    """A file up to its pixels, and what follows: `blocks` times the same `block_bytes`."""

    head: bytes
    block_bytes: int
    blocks: int

    @property
    def size(self) -> int:
        """Bytes of one instance."""
        return len(self.head) + self.block_bytes * self.blocks


def make_template(kind: Kind, frames: int = LARGE_FRAMES) -> Template:
    """Make the template of a kind; `frames` is the size of the large one in MiB."""
    data_set = _header()
    if kind is Kind.LARGE:
        data_set.SOPClassUID = data_set.file_meta.MediaStorageSOPClassUID = UID(MULTI_FRAME_WORD)
        data_set.NumberOfFrames, data_set.Columns = frames, LARGE_COLUMNS
        return _cut(data_set, FRAME_BYTES, frames)
    if kind is Kind.SMALL:
        data_set.Rows, data_set.Columns = SMALL_ROWS, SMALL_COLUMNS
    return _cut(data_set, data_set.Rows * data_set.Columns * 2, 1)


def _header() -> FileDataset:
    data_set = dcmread(io.BytesIO(shipped("CT_small.dcm")))
    del data_set[_PADDING]
    data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(PLACEHOLDERS.instance)
    data_set.SeriesInstanceUID, data_set.StudyInstanceUID = PLACEHOLDERS.series, PLACEHOLDERS.study
    data_set.Rows, data_set.Columns = ROWS, COLUMNS
    return data_set


def _cut(data_set: FileDataset, block_bytes: int, blocks: int) -> Template:
    """Write the data set with an empty Pixel Data, whose length is then put right."""
    data_set.PixelData = b""
    out = io.BytesIO()
    dcmwrite(out, data_set, enforce_file_format=True)
    head = out.getvalue()[:-4]  # Pixel Data is the last element
    return Template(head + (block_bytes * blocks).to_bytes(4, "little"), block_bytes, blocks)
