"""The instance that a probe sends: as small as a valid one may be, and plainly a test.

A Secondary Capture image of 8 by 8 grey pixels, generated and so called in whatever a viewer shows, with UIDs of its
own (PS3.3 A.8.1, PS3.10 7). Pure. Nothing in it is of a patient, and nobody but a person takes it out of an archive.
"""

import struct
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from edged.dicom.uids import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLEMENTATION_CLASS_UID,
    IMPLEMENTATION_VERSION_NAME,
    uid_from_uuid,
)

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
LABEL = "Test by edged probe. It may be deleted."
SIDE = 8

_LONG = frozenset({"OB"})
_NUL_PADDED = frozenset({"UI", "OB"})

Element = tuple[int, str, str | int | bytes]


@dataclass(frozen=True, slots=True)
class ProbeInstance:
    """Its UIDs and its bytes, as a DICOM file."""

    study: str
    series: str
    instance: str
    file: bytes

    @property
    def path(self) -> str:
        """Its resource below a Base URI."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"


def probe_instance(uuids: tuple[UUID, UUID, UUID], when: datetime) -> ProbeInstance:
    """Make the instance; `uuids` become the UIDs of its study, its series and itself."""
    study, series, instance = (uid_from_uuid(each) for each in uuids)
    meta = _written(
        (0x00020001, "OB", b"\0\1"),
        (0x00020002, "UI", SECONDARY_CAPTURE),
        (0x00020003, "UI", instance),
        (0x00020010, "UI", EXPLICIT_VR_LITTLE_ENDIAN),
        (0x00020012, "UI", IMPLEMENTATION_CLASS_UID),
        (0x00020013, "SH", IMPLEMENTATION_VERSION_NAME),
    )
    length = struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(meta))
    data_set = _written(*_head(instance, when), *_described(study, series), *_PIXELS)
    return ProbeInstance(study, series, instance, b"\0" * 128 + b"DICM" + length + meta + data_set)


def _head(instance: str, when: datetime) -> tuple[Element, ...]:
    day, moment = when.strftime("%Y%m%d"), when.strftime("%H%M%S")
    return (
        (0x00080008, "CS", "DERIVED\\SECONDARY"),
        (0x00080016, "UI", SECONDARY_CAPTURE),
        (0x00080018, "UI", instance),
        (0x00080020, "DA", day),
        (0x00080023, "DA", day),
        (0x00080030, "TM", moment),
        (0x00080033, "TM", moment),
        (0x00080050, "SH", ""),
        (0x00080060, "CS", "OT"),
        (0x00080064, "CS", "SYN"),
        (0x00080070, "LO", "edged"),
        (0x00080090, "PN", ""),
        (0x00081030, "LO", LABEL),
        (0x0008103E, "LO", LABEL),
    )


def _described(study: str, series: str) -> tuple[Element, ...]:
    return (
        (0x00100010, "PN", "EDGED^PROBE"),
        (0x00100020, "LO", "EDGED-PROBE"),
        (0x00100030, "DA", ""),
        (0x00100040, "CS", ""),
        (0x0020000D, "UI", study),
        (0x0020000E, "UI", series),
        (0x00200010, "SH", "PROBE"),
        (0x00200011, "IS", "1"),
        (0x00200013, "IS", "1"),
        (0x00200020, "CS", ""),
        (0x00204000, "LT", LABEL),
    )


_PIXELS: tuple[Element, ...] = (
    (0x00280002, "US", 1),
    (0x00280004, "CS", "MONOCHROME2"),
    (0x00280010, "US", SIDE),
    (0x00280011, "US", SIDE),
    (0x00280100, "US", 8),
    (0x00280101, "US", 8),
    (0x00280102, "US", 7),
    (0x00280103, "US", 0),
    (0x00280300, "CS", "YES"),
    (0x00280301, "CS", "NO"),
    (0x7FE00010, "OB", bytes(range(0, 4 * SIDE * SIDE, 4))),
)


def _written(*elements: Element) -> bytes:
    return b"".join(_element(*each) for each in elements)


def _element(tag: int, vr: str, value: str | int | bytes) -> bytes:
    """Write an element in Explicit VR Little Endian. Source: PS3.5 7.1.2, 6.2."""
    raw = _raw(value)
    if len(raw) % 2:
        raw += b"\0" if vr in _NUL_PADDED else b" "
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HI", 0, len(raw)) if vr in _LONG else struct.pack("<H", len(raw))) + raw


def _raw(value: str | int | bytes) -> bytes:
    if isinstance(value, int):
        return struct.pack("<H", value)
    return value if isinstance(value, bytes) else value.encode("ascii")
