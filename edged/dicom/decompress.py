"""An instance with its pixel data decompressed, as Explicit VR Little Endian: pydicom and its plug-ins, frame by frame.

Pure but for the files that it is given: no more of the pixel data than one frame is in memory. The plug-ins are foreign
code over foreign bytes, so this runs in a process of its own (`services/transcode_worker`), where anything may be
raised. Everything before the pixel data is kept but for what decompression changes; what stands behind it (padding,
signatures of what was compressed) is left out. Source: PS3.5 8.1, 8.2, A.4; PS3.3 C.7.6.3, C.7.6.1.1.5.
"""

from collections.abc import Iterator
from itertools import chain
from struct import pack, unpack
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.filewriter import dcmwrite
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from edged.dicom.uids import COMPRESSED_THAT_CAN_BE_UNDONE, EXPLICIT_VR_LITTLE_ENDIAN, IMPLEMENTATION_CLASS_UID

_ALWAYS_LOSSY = frozenset({"1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"})
_MOST_BYTES = 0xFFFFFFFE
_UNDEFINED = 0xFFFFFFFF
_EXTENDED_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")
_GONE = (*_EXTENDED_OFFSETS, "EncapsulatedPixelDataValueTotalLength")
_SUBSAMPLED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
_PIXEL_DATA = (0x7FE0, 0x0010)
_OPTIONS = {
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
    "photometric_interpretation": "PhotometricInterpretation",
}


class CannotDecompress(Exception):
    """Nothing here undoes it; for people, without a word of the data set."""


class Decompressed:
    """An instance in a file, decompressed as it is written; `length` is known before anything is.

    Raises CannotDecompress, and whatever pydicom and its plug-ins raise.
    """

    def __init__(self, source: BinaryIO) -> None:
        self._data_set = dcmread(source, stop_before_pixels=True)
        self._source = source
        _require_compressed(source)
        self._frames = int(self._data_set.get("NumberOfFrames") or 1)
        self._decoded = self._decode()
        self._first, properties = next(self._decoded)
        self._properties = properties
        self._value_bytes = len(self._first) * self._frames
        if self._value_bytes > _MOST_BYTES:
            raise CannotDecompress("decompressed it is longer than an element can be")
        self._describe()
        self._pixel_vr = b"OB" if int(properties["bits_allocated"]) <= 8 else b"OW"

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the pixel data element, its head and padding included."""
        return 12 + self._value_bytes + self._value_bytes % 2

    def write(self, out: BinaryIO) -> None:
        """Write the whole instance, a Part 10 file; raises as the constructor."""
        dcmwrite(out, self._data_set, enforce_file_format=True, little_endian=True, implicit_vr=False)
        padding = self._value_bytes % 2
        out.write(pack("<HH2sHI", *_PIXEL_DATA, self._pixel_vr, 0, self._value_bytes + padding))
        written = 0
        for frame, properties in chain([(self._first, self._properties)], self._decoded):
            if properties != self._properties or len(frame) != len(self._first) or written == self._frames:
                raise CannotDecompress("its frames are not as it says")
            out.write(frame)
            written += 1
        if written != self._frames:
            raise CannotDecompress("it has fewer frames than it says")
        out.write(bytes(padding))

    def _decode(self) -> Iterator[tuple[Any, dict[str, str | int]]]:
        found, syntax = self._data_set, self._data_set.file_meta.TransferSyntaxUID
        if str(syntax) not in COMPRESSED_THAT_CAN_BE_UNDONE:
            raise CannotDecompress("it is not compressed in a way that can be undone")
        decoder = get_decoder(syntax)
        if not decoder.is_available:
            raise CannotDecompress("no plug-in for its transfer syntax is installed (edged[codecs])")
        options: dict[str, Any] = {option: found[keyword].value for option, keyword in _OPTIONS.items()}
        if options["bits_allocated"] == 1:
            raise CannotDecompress("its pixels are single bits")
        if options["samples_per_pixel"] > 1:
            options["planar_configuration"] = found.get("PlanarConfiguration", 0)
        if all(keyword in found for keyword in _EXTENDED_OFFSETS):
            options["extended_offsets"] = tuple(found[keyword].value for keyword in _EXTENDED_OFFSETS)
        options |= {"number_of_frames": self._frames, "pixel_keyword": "PixelData", "pixel_vr": "OB"}
        yield from decoder.iter_buffer(self._source, **options)

    def _describe(self) -> None:
        """Make the attributes say what the pixel data is now."""
        found, properties = self._data_set, self._properties
        said = str(properties["photometric_interpretation"])
        found.PhotometricInterpretation = "YBR_FULL" if said in _SUBSAMPLED else said  # each pixel has all its samples
        if int(properties["samples_per_pixel"]) > 1:
            found.PlanarConfiguration = int(properties["planar_configuration"])
        else:
            _without(found, "PlanarConfiguration")
        found.BitsAllocated = int(properties["bits_allocated"])
        if str(found.file_meta.TransferSyntaxUID) in _ALWAYS_LOSSY and not found.get("LossyImageCompression"):
            found.LossyImageCompression = "01"
        _without(found, *_GONE)
        icons = [item for item in found.get("IconImageSequence", ()) if "PixelData" in item]
        if any(item["PixelData"].is_undefined_length for item in icons):
            _without(found, "IconImageSequence")  # it is compressed too, and need not be there
        found.file_meta.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
        found.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
        _without(found.file_meta, "ImplementationVersionName")


def _require_compressed(source: BinaryIO) -> None:
    """Go to the value of Pixel Data, which must be encapsulated."""
    head = source.read(12)
    if len(head) < 12 or unpack("<HH", head[:4]) != _PIXEL_DATA or unpack("<I", head[8:])[0] != _UNDEFINED:
        raise CannotDecompress("it has no encapsulated pixel data")


def _without(found: Dataset, *keywords: str) -> None:
    for keyword in keywords:
        if keyword in found:
            delattr(found, keyword)
