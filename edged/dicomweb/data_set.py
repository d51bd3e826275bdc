"""A small data set in memory, and reading values out of one that a stranger wrote.

This tree is for reports and requests of a few attributes, in either of the metadata encodings: tags as
eight upper-case hexadecimal digits, sequences as nested data sets. Person names and binary values are
not represented: an attribute that has only such values is read as empty. The accessors at the end are
lenient and never raise: they look past padding, missing VRs and wrong types.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_NODES: Final = 400_000  # some 20,000 references in XML, 40,000 in JSON; bounds the tree of any body to 70 MB
MAX_DEPTH: Final = 16  # the deepest module read here, the Storage Commitment Request, nests 5 deep

UNKNOWN_VR: Final = "UN"

_TAG: Final = re.compile(r"[0-9A-F]{8}")
_VR: Final = re.compile(r"[A-Z]{2}")


class DataSetError(ValueError):
    """Bytes that are not a data set in the encoding they claim, or one that is too large or too deep."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """VR and values of a data element; None is an empty value among others."""

    vr: str
    values: tuple["Value", ...] = ()


DataSet = dict[str, Attribute]
Value = str | int | float | DataSet | None


def require_small(body: bytes, marks: bytes) -> None:
    """Refuse a body before a tree is built from it: `marks` are the bytes that begin its nodes.

    A tree can take fifty times the memory of its text, so counting bytes alone bounds nothing.
    Raises DataSetError.
    """
    if len(body) > MAX_BYTES or sum(body.count(mark) for mark in marks) > MAX_NODES:
        raise DataSetError(f"more than {MAX_BYTES} bytes or {MAX_NODES} values")


def is_tag(text: str) -> bool:
    """Tell whether a text is a tag: eight upper-case hexadecimal digits."""
    return _TAG.fullmatch(text) is not None


def is_vr(text: str) -> bool:
    """Tell whether a text may be a VR: two upper-case letters."""
    return _VR.fullmatch(text) is not None


def items_of(data_set: DataSet, tag: str) -> list[DataSet]:
    """Return the items of a sequence; none if it is absent or not one."""
    attribute = data_set.get(tag)
    return [value for value in attribute.values if isinstance(value, dict)] if attribute else []


def text_of(data_set: DataSet, tag: str) -> str:
    """Return an attribute's first value as text without padding (spaces, NUL); empty if there is none."""
    value = first_of(data_set, tag)
    return "" if value is None or isinstance(value, dict) else str(value).strip(" \0\t\r\n")


def first_of(data_set: DataSet, tag: str) -> Value:
    """Return an attribute's first value, or None."""
    attribute = data_set.get(tag)
    return attribute.values[0] if attribute and attribute.values else None
