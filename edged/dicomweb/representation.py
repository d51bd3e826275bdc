"""Small data sets as message bodies: JSON, XML, alone or in a multipart body, both ways.

Writing follows the negotiated media type. Reading follows the bytes: a Content-Type that is wrong or
missing does no harm, because JSON, XML and multipart differ in their first character; the header is
asked only for a boundary. Only DataSetError leaves the reader.
What is written of a resource says so, in the message's head and in its part's; a report of what was done is of none.
"""

import hashlib
import re
from typing import Final

from msgspec import Struct

from edged.dicomweb import json_model, xml_model
from edged.dicomweb.data_set import DataSet, DataSetError, require_small
from edged.dicomweb.json_model import from_json, to_json
from edged.dicomweb.xml_model import from_xml, to_xml
from edged.http.conditional import strong_etag
from edged.http.media_type import MediaType, MediaTypeError, parse_media_type
from edged.http.multipart import (
    MAX_BOUNDARY,
    MultipartError,
    MultipartLimits,
    MultipartParser,
    PartBegin,
    PartData,
    boundary_of,
)
from edged.http.multipart_writer import PART_TAIL, MultipartWriter

DICOM_JSON: Final = MediaType("application", "dicom+json")
JSON: Final = MediaType("application", "json")
DICOM_XML: Final = MediaType("application", "dicom+xml")
MULTIPART_JSON: Final = MediaType("multipart", "related", {"type": "application/dicom+json"})
MULTIPART_XML: Final = MediaType("multipart", "related", {"type": "application/dicom+xml"})

OFFERED: Final = (DICOM_JSON, JSON, DICOM_XML, MULTIPART_JSON, MULTIPART_XML)
"""What a report can be written as, the default first. Source: PS3.18 13.1.3, 8.7.3.2."""

_XML_TYPES: Final = (DICOM_XML, MULTIPART_XML)
_MAX_PARTS: Final = 10_000
_FIRST_LINE: Final = re.compile(rb"\s*--([^\s]{1,%d})[ \t]*\r?\n" % MAX_BOUNDARY)
_WRITER: Final = MultipartWriter("edged-report")  # neither model can write CRLF, so no part can hold it


class Representation(Struct, frozen=True):
    """A body and its Content-Type; if it is of a resource, that one's URL and an entity tag of its own."""

    content_type: str
    body: bytes
    location: str = ""
    etag: str = ""

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """What a message that carries it says of it. Source: PS3.18 Table 8.4.2-1; RFC 9110 8.7, 8.8.3."""
        named = (("content-type", self.content_type), ("content-location", self.location), ("etag", self.etag))
        return tuple(field for field in named if field[1])


def write_data_set(data_set: DataSet, chosen: MediaType = DICOM_JSON, *, location: str = "") -> Representation:
    """Write a data set as one of OFFERED; `location` is the URL of the resource that it represents, "" if none.

    Source: PS3.18 8.6.1, Annex F; PS3.19 A.1.
    """
    body = to_xml(data_set) if chosen in _XML_TYPES else to_json(data_set)
    content_type = str(chosen)
    if chosen.type == "multipart":
        part_type = str(chosen.parameter("type"))
        content_type, body = str(_WRITER.media_type(part_type)), _as_part(body, part_type, location)
    return Representation(content_type, body, location, _etag(content_type, body) if location else "")


def _as_part(body: bytes, part_type: str, location: str) -> bytes:
    """Return the multipart body with this one part. Source: PS3.18 Table 8.6.1-1."""
    named = (("Content-Type", part_type), ("Content-Location", location), ("Content-Length", str(len(body))))
    head = _WRITER.head([field for field in named if field[1]])
    return b"".join((head, body, PART_TAIL, _WRITER.closing))


def _etag(content_type: str, body: bytes) -> str:
    """Return a tag that no other representation has, not even one with the same bytes under another media type."""
    digest = hashlib.blake2b(f"{content_type}\n".encode(), digest_size=16)
    digest.update(body)
    return strong_etag(digest.digest())


def read_data_sets(body: bytes, content_type: str | None) -> list[DataSet]:
    """Read all data sets of a body in any of the forms. Raises DataSetError. Source: PS3.18 8.6."""
    if _looks_single(body):
        return _read_single(body)
    require_small(body, json_model.NODE_MARKS + xml_model.NODE_MARKS)
    parts = _parts(body, _boundary(body, content_type))
    return [data_set for part in parts for data_set in _read_single(part)]


def _looks_single(body: bytes) -> bool:
    return _content(body)[:1] in (b"{", b"[", b"<") or body[:2] in (b"\xff\xfe", b"\xfe\xff")


def _read_single(body: bytes) -> list[DataSet]:
    content = _content(body)
    return from_json(content) if content[:1] in (b"{", b"[") else [from_xml(content)]


def _content(body: bytes) -> bytes:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()


def _boundary(body: bytes, content_type: str | None) -> bytes:
    try:
        return boundary_of(parse_media_type(content_type or ""))
    except (MediaTypeError, MultipartError) as error:
        first_line = _FIRST_LINE.match(body)
        if first_line is None:
            raise DataSetError("neither JSON nor XML nor multipart") from error
        return first_line[1]


def _parts(body: bytes, boundary: bytes) -> list[bytes]:
    parser = MultipartParser(boundary, MultipartLimits(parts=_MAX_PARTS))
    parts: list[list[memoryview]] = []
    try:
        for event in [*parser.feed(body), *parser.finish()]:
            match event:
                case PartBegin():
                    parts.append([])
                case PartData(data):
                    parts[-1].append(data)
    except MultipartError as error:
        raise DataSetError("not multipart") from error
    return [b"".join(part) for part in parts]
