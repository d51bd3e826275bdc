"""What a request may carry beside its payload, and an answer beside its own: query parameters and header fields.

A row of `resources` names the parameters that its method reads; the capabilities description writes them out. Accept
and Content-Type follow from the media types of the row and are made for it. Header fields that every HTTP message may
have (Host, Content-Length, …) are not described. Names of query parameters are case-sensitive (PS3.18 8.3.1).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edged.dicomweb import dictionary as element
from edged.http.content_coding import Coding

_CHARSETS: Final = ("utf-8",)  # what answers are written in: PS3.18 8.8.5
_CODINGS: Final = tuple(coding.value for coding in Coding if coding is not Coding.IDENTITY)


MATCHED_OF_EVENTS: Final = (
    element.STUDY_INSTANCE_UID,
    element.SERIES_INSTANCE_UID,
    element.SOP_INSTANCE_UID,
    element.SOP_CLASS_UID,
    element.TRANSACTION_UID,
)
"""Attributes by which events are chosen."""


class Style(StrEnum):
    """Where a parameter stands; the values are WADL's."""

    QUERY = "query"
    HEADER = "header"
    TEMPLATE = "template"
    PLAIN = "plain"


class Type(StrEnum):
    """What a value looks like, as an XML Schema type."""

    TEXT = "xs:string"
    COUNT = "xs:unsignedInt"
    URI = "xs:anyURI"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One query parameter, header field, or variable of a path.

    `options` are the values it may have, none means any of its type; `fixed` is the only one. `repeating`: its value is
    a list, separated by commas.
    """

    name: str
    style: Style
    description: str = ""
    type: Type = Type.TEXT
    required: bool = False
    repeating: bool = False
    default: str = ""
    fixed: str = ""
    options: tuple[str, ...] = ()


def header(name: str, description: str, of: Type = Type.TEXT, *, options: tuple[str, ...] = ()) -> Parameter:
    """Make a header field that may be left out."""
    return Parameter(name=name, style=Style.HEADER, description=description, type=of, options=options)


def accept(offers: tuple[str, ...], *, required: bool) -> Parameter:
    """Make the Accept field of a method that offers these media types, its default first. Source: PS3.18 8.4.1.1."""
    return Parameter(
        name="Accept",
        style=Style.HEADER,
        description="Media ranges with weights.",
        required=required,
        repeating=True,
        default="" if required else offers[0],
        options=offers,
    )


def content_type(takes: tuple[str, ...]) -> Parameter:
    """Make the Content-Type field of a method that takes these media types. Source: PS3.18 8.4.2."""
    return Parameter(
        name="Content-Type",
        style=Style.HEADER,
        description="The media type of the payload; a multipart one with its boundary.",
        required=True,
        options=takes,
    )


ACCEPT_QUERY: Final = Parameter(
    name="accept",
    style=Style.QUERY,
    description="Media types without wildcards, each covered by the Accept header field.",
    repeating=True,
)
CHARSET_QUERY: Final = Parameter(
    name="charset",
    style=Style.QUERY,
    description="Character sets without wildcards.",
    repeating=True,
    options=_CHARSETS,
)
ACCEPT_CHARSET: Final = Parameter(
    name="Accept-Charset",
    style=Style.HEADER,
    description="Character sets with weights.",
    repeating=True,
    options=_CHARSETS,
)
ACCEPT_ENCODING: Final = Parameter(
    name="Accept-Encoding",
    style=Style.HEADER,
    description="Content codings with weights, for answers in JSON and XML.",
    repeating=True,
    options=(*_CODINGS, Coding.IDENTITY.value),
)
CONTENT_ENCODING: Final = header("Content-Encoding", "The payload's content coding.", options=_CODINGS)
IF_NONE_MATCH: Final = header("If-None-Match", "Entity tags: an answer with one of them is 304.")
IF_MODIFIED_SINCE: Final = header("If-Modified-Since", "A date: what is older is answered 304.")
IF_MATCH: Final = header("If-Match", "Entity tags: an answer with none of them is 412.")
IF_UNMODIFIED_SINCE: Final = header("If-Unmodified-Since", "A date: what is newer is answered 412.")
RANGE: Final = header("Range", "Ranges of bytes of the payload; those of a multipart one count its boundaries.")
IF_RANGE: Final = header("If-Range", "An entity tag or date: the Range applies to nothing else.")

NEGOTIATED: Final = (ACCEPT_QUERY, CHARSET_QUERY, ACCEPT_CHARSET)
"""Of a method that gives instances. Source: PS3.18 8.3.3, Tables 10.4.1-5 and 10.4.1-6."""

NEGOTIATED_TEXT: Final = (*NEGOTIATED, ACCEPT_ENCODING)
"""Of a method that gives JSON or XML. Source: PS3.18 Table 13.1.2-1; RFC 9110 12.5.3."""

CONDITIONAL: Final = (IF_MATCH, IF_UNMODIFIED_SINCE, IF_NONE_MATCH, IF_MODIFIED_SINCE)
"""Source: RFC 9110 13.1."""

TAGGED: Final = (IF_MATCH, IF_NONE_MATCH)
"""Of a representation that has a tag and no date. Source: RFC 9110 13.1.1, 13.1.2."""

RANGED: Final = (RANGE, IF_RANGE)
"""Source: RFC 9110 14.2, 13.1.5; PS3.18 8.6."""

_EVENTS: Final = (
    Parameter(name="after", style=Style.QUERY, description="Events after this number.", type=Type.COUNT),
    Parameter(name="kinds", style=Style.QUERY, description="Kinds of events.", repeating=True),
    Parameter(
        name="granularity",
        style=Style.QUERY,
        description="A report for each event, or for those of a study together.",
        default="study",
        options=("study", "instance"),
    ),
    Parameter(
        name="acknowledge",
        style=Style.QUERY,
        description="Whether reports are acknowledged; without it found out.",
        options=("yes", "no"),
    ),
    Parameter(name="destination", style=Style.QUERY, description="Names of destinations.", repeating=True),
    *(
        Parameter(name=name, style=Style.QUERY, description="UIDs to match.", repeating=True)
        for each in MATCHED_OF_EVENTS
        for name in (each.keyword, each.tag)
    ),
)

WEBSOCKET: Final = (
    Parameter(name="Upgrade", style=Style.HEADER, required=True, fixed="websocket"),
    Parameter(name="Connection", style=Style.HEADER, required=True, fixed="Upgrade"),
    Parameter(name="Sec-WebSocket-Version", style=Style.HEADER, required=True, fixed="13"),
    Parameter(name="Sec-WebSocket-Key", style=Style.HEADER, description="16 random bytes in Base64.", required=True),
    header("Origin", "Sent by browsers: one that the settings allow.", Type.URI),
    ACCEPT_QUERY,
    *_EVENTS,
)
"""Of a WebSocket's opening handshake over HTTP/1.1. Source: PS3.18 Table 8.10.4-1; RFC 6455 4.1."""

_NAMES: Final = (
    ("destination", "The name of a destination."),
    ("study", "A Study Instance UID."),
    ("uid", "SOP Instance UIDs, and conflict ids."),
    ("state", "States of entries."),
    ("after", "Where the page before ended."),
    ("limit", "The most entries of a page."),
)
QUEUE: Final = tuple(Parameter(name=name, style=Style.QUERY, description=text) for name, text in _NAMES)
"""Of a look at the queues."""

PAGED: Final = (
    Parameter(name="offset", style=Style.QUERY, description="How many entries to pass over.", type=Type.COUNT),
    Parameter(name="limit", style=Style.QUERY, description="The most entries of a page.", type=Type.COUNT),
)
"""Of a look at a study."""

ETAG: Final = header("ETag", "A strong entity tag of the representation.")
LAST_MODIFIED: Final = header("Last-Modified", "When the representation was stored.")
ACCEPT_RANGES: Final = header("Accept-Ranges", "Ranges may be asked for.", options=("bytes",))
CONTENT_LOCATION: Final = header("Content-Location", "The URL of what the payload represents.", Type.URI)
LOCATION: Final = header("Location", "The URL of the study that was stored, or of all.", Type.URI)
RETRY_AFTER: Final = header("Retry-After", "When to ask again, in seconds.", Type.COUNT)
WWW_AUTHENTICATE: Final = header("WWW-Authenticate", "With 401: how to authenticate.")

VALIDATED: Final = (ETAG, LAST_MODIFIED, ACCEPT_RANGES, CONTENT_LOCATION)
"""Of an answer with stored bytes. Source: RFC 9110 8.8, 14.3."""
