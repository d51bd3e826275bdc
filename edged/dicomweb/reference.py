"""Items that refer to one SOP Instance: written, and read from whoever wrote them.

Reports and requests of several services are made of such items (PS3.3 Table 10-11). Reading never
raises: UIDs lose their padding, and a reason may be a number or a text, decimal or hexadecimal, since
archives write it in all of these ways.
"""

import re
from typing import Final

from edged.dicomweb.data_set import DataSet, Value, first_of, text_of
from edged.dicomweb.dictionary import (
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
)

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_HEXADECIMAL: Final = re.compile(r"(?:0x)?([0-9a-f]{1,6})h?", re.IGNORECASE)
_LARGEST: Final = 0xFFFF  # a VR of US


def reference(sop_class_uid: str, sop_instance_uid: str) -> DataSet:
    """Return an item with the SOP Instance Reference Macro. Source: PS3.3 Table 10-11."""
    return REFERENCED_SOP_CLASS_UID.of(sop_class_uid) | REFERENCED_SOP_INSTANCE_UID.of(sop_instance_uid)


def class_uid_of(item: DataSet) -> str:
    """Return the class that an item refers to, or an empty text."""
    return text_of(item, REFERENCED_SOP_CLASS_UID.tag) or text_of(item, SOP_CLASS_UID.tag)


def instance_uid_of(item: DataSet) -> str:
    """Return the instance that an item refers to, or an empty text.

    Some archives write SOP Instance UID, after the erroneous example of PS3.18 B.21.
    """
    return text_of(item, REFERENCED_SOP_INSTANCE_UID.tag) or text_of(item, SOP_INSTANCE_UID.tag)


def reason_of(item: DataSet, tag: str) -> int | None:
    """Return a Failure Reason or Warning Reason, from 0 to 65535; None if there is none to be read."""
    reason = _number(first_of(item, tag))
    return reason if reason is not None and 0 <= reason <= _LARGEST else None


def _number(value: Value) -> int | None:
    """Read 272, 272.0, "272", and as hexadecimal "0110", "0x0110", "0110H", "A700"."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    if isinstance(value, int):
        return value
    text = value.strip(" \0") if isinstance(value, str) else ""
    if _DECIMAL.fullmatch(text):
        return int(text)
    found = _HEXADECIMAL.fullmatch(text)
    return int(found[1], 16) if found else None
