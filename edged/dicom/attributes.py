"""Which top-level attributes the scan of an instance keeps for the index.

What identifies the instance, what searches match and return (PS3.18 10.6), and what tells two copies apart.
Invariant: a value is kept up to `LONGEST_KEPT` bytes, so what one instance can make the index hold is bounded.
"""

from typing import Final

from pydicom.datadict import tag_for_keyword

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

PIXEL_DATA_TAGS: Final = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010, 0x00287FE0))
"""The elements that hold an image's pixels, or say where they are (PS3.3 C.7.6.3)."""
