"""Whether what an archive shows of an instance is the instance that is stored here (DICOM.md §4, §6).

Pure: a data set that the archive shows and the record of ours in, a finding out. Compared is what catches another or a
truncated instance; what an archive coerces (patient, study, request attributes) is not looked at. An attribute that is
not shown says nothing, but a least set must be shown: a UID alone is no evidence of anything. What is shown under
another study or series is none either.
"""

from enum import StrEnum

from edged.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from edged.dicomweb.data_set import DataSet, text_of
from edged.services.retrieve import leaving_transfer_syntax
from edged.store.records import Instance

SOP_INSTANCE = "00080018"
_SOP_CLASS = "00080016"
_STUDY, _SERIES = "0020000D", "0020000E"
_TRANSFER_SYNTAX = "00083002"
_COMPARED = {
    "Rows": "00280010",
    "Columns": "00280011",
    "BitsAllocated": "00280100",
    "BitsStored": "00280101",
    "NumberOfFrames": "00280008",
    "ContentDate": "00080023",
    "ContentTime": "00080033",
    "InstanceCreationDate": "00080012",
    "InstanceCreationTime": "00080013",
}
_NUMBERS = frozenset({"Rows", "Columns", "BitsAllocated", "BitsStored"})
_LEAST = ("Rows", "Columns", "NumberOfFrames")
"""What must be shown of an instance that has it; one frame goes without saying."""

SHOWN = (*_COMPARED.values(), _TRANSFER_SYNTAX)
"""What a search has to ask for."""


class Finding(StrEnum):
    """What looking told."""

    THERE = "there"
    DIFFERS = "differs"
    ABSENT = "absent"
    UNKNOWN = "unknown"  # it answered, and the answer says nothing of the instance
    SILENT = "silent"  # no answer was had
    RECODED = "recoded"  # it gives back other pixel data, compressed in another way: nothing to compare


class Purpose(StrEnum):
    """What the comparison is for."""

    VERIFY = "verify"  # it said that it has one under this UID: an archive may have compressed what it keeps
    PROOF = "proof"  # that it keeps what left: then also in the transfer syntax that it left in
    EITHER = "either"  # the same, of what may have left decompressed


def compare(found: DataSet, instance: Instance, purpose: Purpose = Purpose.PROOF) -> Finding:
    """Say whether what an archive shows is the instance that is stored here: there, differs, or unknown."""
    uids = {
        SOP_INSTANCE: instance.sop_instance_uid,
        _STUDY: instance.study_instance_uid,
        _SERIES: instance.series_instance_uid,
    }
    if any(text_of(found, tag) not in {"", uid} for tag, uid in uids.items()) or not text_of(found, SOP_INSTANCE):
        return Finding.UNKNOWN
    if _differs(found, instance, purpose):
        return Finding.DIFFERS
    return Finding.THERE if _shows_enough(found, instance) else Finding.UNKNOWN


def _differs(found: DataSet, instance: Instance, purpose: Purpose) -> bool:
    if text_of(found, _SOP_CLASS) not in {"", instance.sop_class_uid}:
        return True
    if _recoded(_texts(found, _TRANSFER_SYNTAX), instance, purpose):
        return True
    for keyword, tag in _COMPARED.items():
        theirs, ours = text_of(found, tag), _ours(instance, keyword)
        if theirs and ours and _value(theirs) != _value(ours):
            return True
    return False


def _recoded(syntaxes: set[str], instance: Instance, purpose: Purpose) -> bool:
    if not syntaxes or purpose is Purpose.VERIFY:
        return False
    decompressed = {EXPLICIT_VR_LITTLE_ENDIAN} if purpose is Purpose.EITHER else set()
    return syntaxes.isdisjoint({leaving_transfer_syntax(instance)} | decompressed)


def _shows_enough(found: DataSet, instance: Instance) -> bool:
    ours = {_COMPARED[keyword]: _value(_ours(instance, keyword)) for keyword in _LEAST}
    least = (tag for tag, value in ours.items() if value.isdecimal() and value != "1")
    return all(text_of(found, tag) for tag in (_SOP_CLASS, *least))


def _texts(found: DataSet, tag: str) -> set[str]:
    """Every value of an attribute: an archive may offer an instance in several transfer syntaxes."""
    attribute = found.get(tag)
    return {str(value).strip(" \0") for value in attribute.values if value} if attribute else set()


def _ours(instance: Instance, keyword: str) -> str:
    raw = instance.attributes.get(keyword, b"")
    if keyword in _NUMBERS:
        return str(int.from_bytes(raw[:2], "little")) if len(raw) >= 2 else ""
    return raw.decode("latin-1").strip(" \0")


def _value(text: str) -> str:
    """The part that all archives keep: no fraction of a second, no leading zeros of a number."""
    text = text.strip().partition(".")[0]
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) < 6 else text
