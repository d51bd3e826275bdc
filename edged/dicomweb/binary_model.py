"""A small data set in DICOM's own encoding, as a PS3.10 file: the media type application/dicom.

What may live here: writing; pure. The data set is in Explicit VR Little Endian. Elements of the command set (group
0000), of which a file knows nothing, follow the meta information in Implicit VR Little Endian with their group length,
as they go over an association (PS3.7 6.3.1): readers that know command sets find them there.
Texts are in UTF-8, and the data set says so.
"""

from struct import Struct
from typing import Final

from edged.dicom import uids
from edged.dicom.head import Head, write_head
from edged.dicom.vr import explicit_header
from edged.dicomweb.data_set import Attribute, DataSet, Value

_NUMBERS: Final = {"US": Struct("<H"), "UL": Struct("<L"), "UV": Struct("<Q")}
_SPECIFIC_CHARACTER_SET: Final = {"00080005": Attribute("CS", ("ISO_IR 192",))}
_UTF_8_SINCE: Final = "0008"
_IMPLICIT: Final = Struct("<HHL").pack
_ITEM: Final = (0xFFFE, 0xE000)


def to_file(data_set: DataSet, *, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Return a data set as a file; the UIDs are for its meta information. Source: PS3.10 7.1, PS3.5 7.1.2."""
    head = write_head(
        Head(None, (), 0, None),
        transfer_syntax_uid=uids.EXPLICIT_VR_LITTLE_ENDIAN,
        sop_class_uid=sop_class_uid,
        sop_instance_uid=sop_instance_uid,
    )
    command = {tag: each for tag, each in data_set.items() if tag < "0001"}
    rest = {tag: each for tag, each in data_set.items() if tag >= _UTF_8_SINCE}
    return head + _command_set(command) + _explicit(_SPECIFIC_CHARACTER_SET | rest)


def _command_set(elements: DataSet) -> bytes:
    """Source: PS3.7 E.1."""
    if not elements:
        return b""
    written = b""
    for tag, attribute in sorted(elements.items()):
        value = _value(attribute)
        written += _IMPLICIT(*_numbers(tag), len(value)) + value
    return _IMPLICIT(0, 0, 4) + len(written).to_bytes(4, "little") + written


def _explicit(data_set: DataSet) -> bytes:
    pieces: list[bytes] = []
    for tag, attribute in sorted(data_set.items()):
        value = _value(attribute)
        pieces += explicit_header(int(tag, 16), attribute.vr.encode(), len(value)), value
    return b"".join(pieces)


def _value(attribute: Attribute) -> bytes:
    if attribute.vr == "SQ":
        return b"".join(_item(_explicit(each)) for each in attribute.values if isinstance(each, dict))
    if (numbers := _NUMBERS.get(attribute.vr)) is not None:
        return b"".join(numbers.pack(each) for each in attribute.values if isinstance(each, int))
    value = "\\".join(_text(each) for each in attribute.values).encode()
    padding = b"\0" if attribute.vr == "UI" else b" "
    return value + padding * (len(value) % 2)


def _item(content: bytes) -> bytes:
    return _IMPLICIT(*_ITEM, len(content)) + content


def _text(value: Value) -> str:
    return "" if value is None else str(value)


def _numbers(tag: str) -> tuple[int, int]:
    return int(tag[:4], 16), int(tag[4:], 16)
