"""Decompressing real instances: the pixels are those of pydicom's own decoding of the whole, and described so."""

import io
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate_extended

from edged.dicom.decompress import CannotDecompress, Decompressed
from edged.dicom.uids import COMPRESSED_THAT_CAN_BE_UNDONE, EXPLICIT_VR_LITTLE_ENDIAN
from tests.support import dicom_samples  # noqa: F401 - pydicom is told to be silent about files that are wrong

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
UNREADABLE = frozenset({"JPEG-lossy.dcm", "JPGExtended.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"})
"""What pydicom with these plug-ins cannot decode either."""
NOT_ENCAPSULATED = frozenset({"SC_rgb_jpeg.dcm", "UN_sequence.dcm"})


def compressed() -> list[str]:
    found = []
    for path in sorted(FILES.glob("*.dcm")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            meta = getattr(dcmread(path, stop_before_pixels=True, force=True), "file_meta", Dataset())
        if str(meta.get("TransferSyntaxUID")) in COMPRESSED_THAT_CAN_BE_UNDONE:
            found.append(path.name)
    return found


def decompressed(source: bytes) -> tuple[Decompressed, bytes]:
    found, out = Decompressed(io.BytesIO(source)), io.BytesIO()
    found.write(out)
    return found, out.getvalue()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(set(compressed()) - UNREADABLE - NOT_ENCAPSULATED))
def test_the_pixels_are_those_that_pydicom_decodes(name: str) -> None:
    source = (FILES / name).read_bytes()
    told, written = decompressed(source)
    before, after = dcmread(io.BytesIO(source)), dcmread(io.BytesIO(written))
    assert np.array_equal(after.pixel_array, before.pixel_array)
    assert after.file_meta.TransferSyntaxUID == EXPLICIT_VR_LITTLE_ENDIAN
    assert after.SOPInstanceUID == before.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    assert after.PhotometricInterpretation in {"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL"}
    assert ("PlanarConfiguration" in after) == (after.SamplesPerPixel > 1)
    frames = int(after.get("NumberOfFrames") or 1)
    length = after.Rows * after.Columns * after.SamplesPerPixel * after.BitsAllocated // 8 * frames
    assert len(after.PixelData) == length + length % 2
    assert told.pixel_bytes == 12 + len(after.PixelData)
    kept = [each for each in before if each.tag.group < 0x7FE0 and each.tag.group != 0x0028 and each.tag.element]
    assert [after[each.tag] for each in kept] == kept
    if before.file_meta.TransferSyntaxUID in {"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"}:
        assert after.LossyImageCompression == "01"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_what_no_plug_in_understands_is_an_error(name: str) -> None:
    with pytest.raises(RuntimeError, match="Unable to decode"):
        decompressed((FILES / name).read_bytes())


def made(**changes: object) -> bytes:
    data_set = dcmread(FILES / "SC_rgb_rle_2frame.dcm")
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    out = io.BytesIO()
    data_set.save_as(out)
    return out.getvalue()


def test_an_extended_offset_table_is_used_and_removed() -> None:
    before = dcmread(FILES / "SC_rgb_rle_2frame.dcm")
    frames = [bytes(frame) for frame in pydicom.encaps.generate_frames(before.PixelData, number_of_frames=2)]
    data, offsets, lengths = encapsulate_extended(frames)
    source = made(PixelData=data, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    after = dcmread(io.BytesIO(decompressed(source)[1]))
    assert np.array_equal(after.pixel_array, before.pixel_array)
    assert "ExtendedOffsetTable" not in after
    assert "ExtendedOffsetTableLengths" not in after


def test_an_icon_that_is_compressed_too_is_left_out() -> None:
    icon = Dataset()
    icon.add_new("PixelData", "OB", pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"]))
    icon["PixelData"].is_undefined_length = True
    assert "IconImageSequence" not in dcmread(io.BytesIO(decompressed(made(IconImageSequence=[icon]))[1]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("frames", [3, 1])
def test_frames_that_are_not_as_it_says_are_an_error(frames: int) -> None:
    with pytest.raises((CannotDecompress, ValueError, RuntimeError, StopIteration)):
        decompressed(made(NumberOfFrames=frames))


@pytest.mark.parametrize("cut", [0, 200, 800])
@pytest.mark.filterwarnings("ignore")
def test_what_is_cut_off_is_an_error(cut: int) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - foreign code over foreign bytes raises anything
        decompressed(made()[:cut])


def test_what_is_not_compressed_is_said() -> None:
    with pytest.raises(CannotDecompress):
        Decompressed(io.BytesIO((FILES / "CT_small.dcm").read_bytes()))
