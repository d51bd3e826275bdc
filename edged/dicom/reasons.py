"""Failure Reasons and Warning Reasons: the status codes that DICOM answers per instance.

One enumeration serves the Store Instances Response (PS3.18 Annex I), storage commitment (PS3.3
C.14.1.1), event reports and DIMSE statuses, because the numbers agree. Codes of the range C000H that
are edged's own are documented in the conformance statement; they never change their meaning. A peer
may send any number, so what is read from one stays an int; `reason_text` describes any of them.
"""

from enum import IntEnum
from typing import Final


class FailureReason(IntEnum):
    """Values of Failure Reason (0008,1197)."""

    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    NO_SUCH_OBJECT_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    NOT_AUTHORIZED = 0x0124
    DUPLICATE_TRANSACTION_UID = 0x0131
    RESOURCE_LIMITATION = 0x0213
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xA900
    STUDY_INSTANCE_UID_MISMATCH = 0xA901
    ALREADY_EXISTS = 0xB00E  # 45070: not of the Standard, answered by archives in the field
    BEING_CREATED = 0xB00F  # 45071: likewise
    CANNOT_UNDERSTAND = 0xC000
    NOT_A_DICOM_FILE = 0xC001
    TRUNCATED = 0xC002
    REQUIRED_ATTRIBUTE_MISSING = 0xC003
    INVALID_UID = 0xC004
    PIXEL_DATA_MISSING = 0xC005
    TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122


class WarningReason(IntEnum):
    """Values of Warning Reason (0008,1196). Source: PS3.18 Table I.2-1."""

    COERCION_OF_DATA_ELEMENTS = 0xB000
    ELEMENTS_DISCARDED = 0xB006
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS = 0xB007


OUT_OF_RESOURCES_RANGE: Final = range(0xA700, 0xA800)
DOES_NOT_MATCH_RANGE: Final = range(0xA900, 0xAA00)
CANNOT_UNDERSTAND_RANGE: Final = range(0xC000, 0xD000)

_RANGES: Final = {
    OUT_OF_RESOURCES_RANGE: FailureReason.OUT_OF_RESOURCES,
    DOES_NOT_MATCH_RANGE: FailureReason.DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    CANNOT_UNDERSTAND_RANGE: FailureReason.CANNOT_UNDERSTAND,
}


def is_lack_of_room(reason: int) -> bool:
    """Tell whether a reason means that room was missing. Source: PS3.18 Table I.2-2, PS3.3 C.14.1.1."""
    return reason in OUT_OF_RESOURCES_RANGE or reason == FailureReason.RESOURCE_LIMITATION


def reason_text(reason: int) -> str:
    """Describe any failure or warning code for a person, as in `0111H duplicate SOP instance`."""
    name = next((kind(reason).name for kind in (FailureReason, WarningReason) if reason in list(kind)), None)
    if name is None:
        name = next((known.name for codes, known in _RANGES.items() if reason in codes), "unknown reason")
    words = [word if word in _ABBREVIATIONS else word.lower() for word in name.split("_")]
    return f"{reason:04X}H {' '.join(words)}"


_ABBREVIATIONS: Final = frozenset({"SOP", "UID", "DICOM"})
