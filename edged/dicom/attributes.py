"""Which top-level attributes the scan of an instance keeps for the index.

What identifies the instance, what searches match and return (PS3.18 10.6), and what tells two copies apart.
What they say, as text, is told here too.
Invariant: a value is kept up to `LONGEST_KEPT` bytes, so what one instance can make the index hold is bounded.
"""

from collections.abc import Mapping
from typing import Final

from pydicom.datadict import dictionary_VR, tag_for_keyword

from edged.dicom.names import decode_text

LONGEST_KEPT: Final = 1024

SOP_CLASS_UID: Final = "SOPClassUID"
SOP_INSTANCE_UID: Final = "SOPInstanceUID"
STUDY_INSTANCE_UID: Final = "StudyInstanceUID"
SERIES_INSTANCE_UID: Final = "SeriesInstanceUID"

_KEYWORDS = """
    SpecificCharacterSet ImageType InstanceCreationDate InstanceCreationTime SOPClassUID SOPInstanceUID
    TimezoneOffsetFromUTC StudyDate SeriesDate AcquisitionDate ContentDate AcquisitionDateTime
    StudyTime SeriesTime AcquisitionTime ContentTime
    AccessionNumber Modality Manufacturer InstitutionName ReferringPhysicianName StationName StudyDescription
    SeriesDescription PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientAge
    BodyPartExamined ProtocolName StudyInstanceUID SeriesInstanceUID StudyID SeriesNumber AcquisitionNumber
    InstanceNumber Laterality FrameOfReferenceUID SamplesPerPixel PhotometricInterpretation PlanarConfiguration
    NumberOfFrames Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation LossyImageCompression
    PerformedProcedureStepStartDate PerformedProcedureStepStartTime PerformedProcedureStepID
    RequestedProcedurePriority RequestedProcedureID CompletionFlag VerificationFlag
"""


def _tags() -> dict[int, str]:
    found = {keyword: tag_for_keyword(keyword) for keyword in _KEYWORDS.split()}
    return {tag: keyword for keyword, tag in found.items() if tag is not None}


KEPT: Final[dict[int, str]] = _tags()
"""Tag to keyword."""

_NUMBERS: Final = frozenset(keyword for tag, keyword in KEPT.items() if dictionary_VR(tag) == "US")
_PERSON_NAMES: Final = frozenset(keyword for tag, keyword in KEPT.items() if dictionary_VR(tag) == "PN")

PIXEL_DATA_TAGS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010, 0x00287FE0))
"""The elements that hold an image's pixels, or say where they are (PS3.3 C.7.6.3)."""


def texts_of(keyword: str, attributes: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the values of a kept attribute as text, without padding and without empty ones; never raises.

    `attributes` as in a Scan: canonical value bytes by keyword (PS3.5 6.2, 6.4).
    """
    raw = attributes.get(keyword, b"")
    if keyword in _NUMBERS:
        return tuple(str(int.from_bytes(raw[at : at + 2], "little")) for at in range(0, len(raw) - 1, 2))
    charset = attributes.get("SpecificCharacterSet", b"")
    text = decode_text(raw, charset, is_person_name=keyword in _PERSON_NAMES)
    return tuple(value for each in text.split("\\") if (value := each.strip(" \0")))
