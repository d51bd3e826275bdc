"""The DICOM JSON Model, written strictly and read leniently. Source: PS3.18 Annex F.

Reading takes one object or an array of objects, ignores members that are not attributes, guesses a
missing VR, and takes a lone value for a list of one. Size and nesting are bounded before anything is
built from them. Only DataSetError leaves the reader.
"""

from typing import Any, Final

import msgspec

from edged.dicomweb.data_set import (
    MAX_DEPTH,
    UNKNOWN_VR,
    Attribute,
    DataSet,
    DataSetError,
    Value,
    is_tag,
    is_vr,
    require_small,
)

NODE_MARKS: Final = b"{[,"

_EXACT_IN_JSON: Final = 2**53  # a larger integer would lose its last digits in JavaScript


def to_json(*data_sets: DataSet) -> bytes:
    """Return one data set as an object, or several as an array. Source: PS3.18 F.2.1, F.2.2."""
    objects = [_write_data_set(data_set) for data_set in data_sets]
    return msgspec.json.encode(objects[0] if len(objects) == 1 else objects)


def from_json(body: bytes) -> list[DataSet]:
    """Return the data sets of a body. Raises DataSetError."""
    require_small(body, NODE_MARKS)
    try:
        content = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataSetError("not JSON") from error
    objects = content if isinstance(content, list) else [content]
    if not all(isinstance(item, dict) for item in objects):
        raise DataSetError("not a DICOM JSON Model object")
    return [_read_data_set(item, MAX_DEPTH) for item in objects]


def _write_data_set(data_set: DataSet) -> dict[str, Any]:
    return {tag: _write_attribute(attribute) for tag, attribute in sorted(data_set.items())}


def _write_attribute(attribute: Attribute) -> dict[str, Any]:
    written: dict[str, Any] = {"vr": attribute.vr}
    if attribute.values:
        written["Value"] = [_write_value(value) for value in attribute.values]
    return written


def _write_value(value: Value) -> object:
    if isinstance(value, dict):
        return _write_data_set(value)
    if isinstance(value, int) and abs(value) >= _EXACT_IN_JSON:
        return str(value)
    return value


def _read_data_set(content: dict[str, Any], depth: int) -> DataSet:
    if depth == 0:
        raise DataSetError(f"sequences are nested more than {MAX_DEPTH} deep")
    return {
        tag: _read_attribute(member, depth)
        for name, member in content.items()
        if isinstance(member, dict) and is_tag(tag := name.upper())
    }


def _read_attribute(member: dict[str, Any], depth: int) -> Attribute:
    values = member.get("Value")
    values = values if isinstance(values, list) else [] if values is None else [values]
    vr = member.get("vr")
    if not isinstance(vr, str) or not is_vr(vr):
        vr = "SQ" if values and isinstance(values[0], dict) else UNKNOWN_VR
    return Attribute(vr, tuple(_read_value(value, vr, depth) for value in values))


def _read_value(value: object, vr: str, depth: int) -> Value:
    if isinstance(value, dict) and vr == "SQ":
        return _read_data_set(value, depth - 1)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    return None
