"""The Native DICOM Model, written strictly and read leniently. Source: PS3.19 A.1, PS3.18 F.3.1.

Private attributes carry their creator instead of a block number, so writing takes the block away and
reading gives it back, block 10 for the first creator of a group. Reading accepts any case of element
and attribute names (the Standard's own examples vary) and ignores what it does not know.
A document type declaration is refused at once: no entity is ever declared, expanded or fetched. Size
and nesting are bounded. Only DataSetError leaves the reader.
"""

import re
from typing import Final
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape, quoteattr

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
    text_of,
)
from edged.dicomweb.dictionary import KEYWORDS

NODE_MARKS: Final = b"<="

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>'
_NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
_NUMERIC: Final = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "IS"})
_MAX_DIGITS: Final = 20  # of a 64-bit integer
_FIRST_BLOCK: Final = 0x10
_LAST_BLOCK: Final = 0xFF


def to_xml(data_set: DataSet) -> bytes:
    """Return a data set as an XML document."""
    content = _write_data_set(data_set)
    root = f'<NativeDicomModel xmlns="{_NAMESPACE}" xml:space="preserve">{content}</NativeDicomModel>'
    return f"{_DECLARATION}{root}".encode("utf-8", "replace")


def from_xml(body: bytes) -> DataSet:
    """Return the data set of an XML document. Raises DataSetError."""
    require_small(body, NODE_MARKS)
    reader = _Reader()
    parser = ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = reader.doctype
    try:
        parser.Parse(body, True)
    except DataSetError:
        raise
    except (ExpatError, LookupError, ValueError) as error:  # the latter two: an encoding nobody has
        raise DataSetError("not XML") from error
    return reader.data_set()


def _write_data_set(data_set: DataSet) -> str:
    creators = {tag: attribute for tag, attribute in data_set.items() if _is_creator(tag)}
    return "".join(
        _write_attribute(tag, attribute, creators) for tag, attribute in sorted(data_set.items()) if tag not in creators
    )


def _write_attribute(tag: str, attribute: Attribute, creators: DataSet) -> str:
    description = f"vr={quoteattr(attribute.vr)}"
    if _is_private(tag):
        creator = text_of(creators, f"{tag[:4]}00{tag[4:6]}")
        description += f" privateCreator={quoteattr(_text(creator))}"
        tag = f"{tag[:4]}00{tag[6:]}"
    elif tag in KEYWORDS:
        description += f' keyword="{KEYWORDS[tag]}"'
    values = "".join(_write_value(number, value) for number, value in enumerate(attribute.values, 1))
    return f'<DicomAttribute tag="{tag}" {description}>{values}</DicomAttribute>'


def _write_value(number: int, value: Value) -> str:
    if isinstance(value, dict):
        return f'<Item number="{number}">{_write_data_set(value)}</Item>'
    return f'<Value number="{number}">{escape(_text(value))}</Value>'


def _text(value: Value) -> str:
    """Return a value as text that XML can hold: most control characters it cannot write at all."""
    text = "" if value is None else str(value)
    return _NOT_IN_XML.sub(" ", text)


def _is_private(tag: str) -> bool:
    return int(tag[3], 16) % 2 == 1


def _is_creator(tag: str) -> bool:
    return _is_private(tag) and tag[4:6] == "00" and int(tag[6:], 16) >= _FIRST_BLOCK


class _Reader:
    """Builds the tree from expat's events: a stack of the data sets and attributes that are open."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._data_sets: list[DataSet] = [{}]
        self._attributes: list[tuple[str, str, list[Value]]] = []
        self._characters: list[str] = []

    def data_set(self) -> DataSet:
        return self._data_sets[0]

    def doctype(self, *_arguments: object) -> None:
        raise DataSetError("a document type declaration is not accepted")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = _local(name)
        if not self._names and name != "nativedicommodel":
            raise DataSetError("not a Native DICOM Model")
        if len(self._names) > 2 * MAX_DEPTH:
            raise DataSetError(f"sequences are nested more than {MAX_DEPTH} deep")
        self._names.append(name)
        self._characters = []
        if name == "dicomattribute":
            described = {_local(key): value for key, value in attributes.items()}
            tag = self._tag(described)
            self._attributes.append((tag, described.get("vr", UNKNOWN_VR).upper(), []))
        elif name == "item":
            self._data_sets.append({})

    def characters(self, text: str) -> None:
        if self._names[-1] == "value":
            self._characters.append(text)

    def end(self, _name: str) -> None:
        name = self._names.pop()
        if name == "dicomattribute":
            tag, vr, values = self._attributes.pop()
            if is_tag(tag):
                self._data_sets[-1][tag] = Attribute(vr if is_vr(vr) else UNKNOWN_VR, tuple(values))
        elif name == "item" and len(self._data_sets) > 1:
            item = self._data_sets.pop()
            self._add(item)
        elif name == "value":
            self._add(self._value("".join(self._characters).strip()))

    def _add(self, value: Value) -> None:
        if self._attributes:
            self._attributes[-1][2].append(value)

    def _value(self, text: str) -> Value:
        numeric = bool(self._attributes) and self._attributes[-1][1] in _NUMERIC
        if numeric and text.removeprefix("-").isascii() and text.removeprefix("-").isdigit():
            return int(text) if len(text) <= _MAX_DIGITS and not _is_hexadecimal(text) else text
        return text or None

    def _tag(self, described: dict[str, str]) -> str:
        tag, creator = described.get("tag", "").upper(), described.get("privatecreator")
        if creator is None or not is_tag(tag) or not _is_private(tag):
            return tag
        data_set = self._data_sets[-1]
        for block in range(_FIRST_BLOCK, _LAST_BLOCK + 1):
            reserved = data_set.setdefault(f"{tag[:4]}00{block:02X}", Attribute("LO", (creator,)))
            if reserved.values == (creator,):
                return f"{tag[:4]}{block:02X}{tag[6:]}"
        return ""


def _is_hexadecimal(text: str) -> bool:
    """Tell whether digits are a reason in hexadecimal, as a leading zero shows: 0110 must stay a text."""
    return len(text) > 1 and text.startswith("0")


def _local(name: str) -> str:
    return name.rpartition(":")[2].lower()
