"""The UIDs of a file that our own reader cannot follow so far: pydicom, on a bounded beginning of it.

This is the only place where a file's structure is read by anything but `DataSetReader`. It decides nothing but
who the instance is. pydicom raises many things on damaged bytes; each of them means "not identified".
"""

import struct
import zlib
from io import BytesIO
from typing import Final

from pydicom import dcmread

from edged.dicom.attributes import KEPT, LONGEST_KEPT
from edged.dicom.errors import DicomError

LARGEST_BEGINNING: Final = 1 << 20
_OF_DAMAGED_BYTES: Final = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    Warning,
    struct.error,
    zlib.error,
)


def identify(beginning: bytes, error: DicomError) -> dict[str, bytes]:
    """The attributes that pydicom finds in the beginning of a file; raises `error` when it cannot read it."""
    try:
        data_set = dcmread(BytesIO(beginning), stop_before_pixels=True, force=True)
        found = {name: data_set.get_item(tag) for tag, name in KEPT.items() if tag in data_set}
        values = {name: getattr(element, "value", None) for name, element in found.items()}
    except _OF_DAMAGED_BYTES as cause:
        raise error from cause
    return {name: raw[:LONGEST_KEPT] for name, raw in values.items() if isinstance(raw, bytes)}
