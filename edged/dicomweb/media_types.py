"""What PS3.18 says of media types: which are DICOM's, which are rendered, and their default Transfer Syntaxes.

The tables of 8.7 as data. A few media types are both, an encoding of Pixel Data and a picture for consumers (8.7.3.3.2
Note 2); for them a Transfer Syntax parameter tells, because rendered types may not have one (8.7.4).
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final

from edged.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from edged.http.media_type import MediaType

TRANSFER_SYNTAX: Final = "transfer-syntax"

_JPEG: Final = "1.2.840.10008.1.2.4."

COMPRESSED_DEFAULTS: Final[Mapping[str, str]] = {
    "image/jpeg": _JPEG + "70",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": _JPEG + "80",
    "image/jp2": _JPEG + "90",
    "image/jpx": _JPEG + "92",
    "image/jphc": _JPEG + "201",
    "video/mpeg": _JPEG + "101",
    "video/mp4": _JPEG + "102",
    "video/h265": _JPEG + "107",
}
"""The default Transfer Syntax of each media type of compressed bulk data. Source: PS3.18 Table 8.7.3-5."""

_RENDERED_TYPES: Final = frozenset(
    {"image/gif", "image/png", "image/jph", "text/html", "text/plain", "text/xml", "text/rtf", "application/pdf"}
)
_PICTURES: Final = frozenset({"image/jpeg", "image/jp2", "video/mpeg", "video/mp4", "video/h265"})
_DICOM_TYPES: Final = frozenset(
    {
        "application/dicom",
        "application/dicom+json",
        "application/dicom+xml",
        "application/octet-stream",
        *(COMPRESSED_DEFAULTS.keys() - _PICTURES),
    }
)


class Kind(Enum):
    """What a media type is to PS3.18 8.7.5; OTHER is neither, or may be either."""

    DICOM = "DICOM"
    RENDERED = "rendered"
    OTHER = "other"


def root_essence(media_type: MediaType) -> str:
    """Return the type of the parts if it is multipart, else its own, in lower case. Source: PS3.18 8.7.1."""
    if media_type.type == "multipart":
        return (media_type.parameter("type") or "").lower()
    return media_type.essence


def default_transfer_syntax(media_type: MediaType) -> str:
    """Return the Transfer Syntax UID that a type without the parameter means. Source: PS3.18 8.7.3, 8.7.3.4."""
    return COMPRESSED_DEFAULTS.get(root_essence(media_type), EXPLICIT_VR_LITTLE_ENDIAN)


def kind_of(media_type: MediaType, offered: Sequence[MediaType] = ()) -> Kind:
    """Tell whether a media type or range is DICOM's or a rendered one. Source: PS3.18 8.7.3.5, 8.7.4.

    A single part picture without Transfer Syntax is rendered, unless this resource is offered as such bulk data.
    """
    essence = root_essence(media_type)
    if media_type.parameter(TRANSFER_SYNTAX) is not None or essence in _DICOM_TYPES:
        return Kind.DICOM
    if essence in _RENDERED_TYPES:
        return Kind.RENDERED
    if essence not in _PICTURES or media_type.type == "multipart":
        return Kind.OTHER
    as_bulk_data = any(each.essence == essence and each.parameter(TRANSFER_SYNTAX) is not None for each in offered)
    return Kind.OTHER if as_bulk_data else Kind.RENDERED
