"""A pure check of each HTTP/1 request head, made before h11 sees it.

What may live here: the syntax of RFC 9112 that h11 is lenient about and that two parsers in a row may read
differently (request smuggling): framing fields, Host, line ends, control characters, the version, the form of
the target. No state, no I/O. A head is refused whole, with the status of the answer; after that the
connection cannot be trusted and ends. Invariant: for any octets `head_length` and `check_head` return or
raise HeadError, nothing else.
"""

import re
from enum import Enum
from http import HTTPStatus

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # the part of the HTTP/2 preface that reads as a head (RFC 9113 3.4)
MAX_LENGTH_DIGITS = 15  # of a Content-Length: a petabyte; more is an attempt at overflow
MAX_FIELDS = 200

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\x20-\x7e\x80-\xff\t]*"
_METHOD = re.compile(_TOKEN)
_VALUE = re.compile(_TEXT)
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*")  # printable, without "#"
_REQUEST_LINE = re.compile(rb"(?P<method>" + _TOKEN + rb") (?P<target>[\x21-\x7e]+) HTTP/(?P<version>[0-9]\.[0-9])")
_FIELD = re.compile(rb"(?P<name>" + _TOKEN + rb"):(?P<value>" + _TEXT + rb")")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+,;=%]+)(?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<authority>[^/?#@]+)(?P<rest>[/?][^#]*)?")


class Refusal(Enum):
    """Why a head is refused: the status and the text of the answer."""

    TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head is too large."
    NOT_HTTP = HTTPStatus.BAD_REQUEST, "This is not an HTTP request."
    LINE_END = HTTPStatus.BAD_REQUEST, "Lines of a request head end with CR LF."
    REQUEST_LINE = HTTPStatus.BAD_REQUEST, "The request line is malformed."
    VERSION = HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0, HTTP/1.1 and HTTP/2 are served."
    TARGET = HTTPStatus.BAD_REQUEST, "The request target has the wrong form."
    FOLDING = HTTPStatus.BAD_REQUEST, "A header field may not continue on the next line."
    FIELD = HTTPStatus.BAD_REQUEST, "A header field is malformed."
    HOST = HTTPStatus.BAD_REQUEST, "A request has exactly one valid Host field."
    CONTENT_LENGTH = HTTPStatus.BAD_REQUEST, "Content-Length must be one decimal number."
    TRANSFER_ENCODING = HTTPStatus.BAD_REQUEST, "The only transfer coding is chunked, over HTTP/1.1."
    FRAMING = HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding exclude each other."
    CONNECT = HTTPStatus.NOT_IMPLEMENTED, "This server is not a proxy."

    @property
    def status(self) -> HTTPStatus:
        """Of the answer."""
        return self.value[0]

    @property
    def text(self) -> str:
        """Of the answer."""
        return self.value[1]


class HeadError(Exception):
    """A request head that must not be served."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.text)
        self.refusal = refusal


def head_length(octets: bytes | bytearray, limit: int) -> int | None:
    """The length of the head at the start of `octets` with its empty line, None while it is incomplete.

    `limit` is in octets. Raises HeadError as soon as no continuation can make a head of it.
    """
    if octets and not 0x20 < octets[0] < 0x7F:
        raise HeadError(Refusal.NOT_HTTP)
    end = octets.find(b"\r\n\r\n", 0, limit)
    head = octets[: limit if end < 0 else end + 4]
    if head.count(b"\n") != head.count(b"\r\n"):
        raise HeadError(Refusal.LINE_END)
    if end >= 0:
        return end + 4
    if len(octets) >= limit:
        raise HeadError(Refusal.TOO_LARGE)
    return None


def check_head(head: bytes) -> None:
    """Refuse what RFC 9112 2 to 6 forbids in one complete request head; raises HeadError."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise HeadError(Refusal.REQUEST_LINE)
    if line["version"] not in {b"1.0", b"1.1"}:
        raise HeadError(Refusal.VERSION)
    _check_target(line["method"], line["target"])
    fields = _fields(lines[1:])
    _check_host(fields, required=line["version"] == b"1.1")
    _check_framing(fields, chunked_allowed=line["version"] == b"1.1")


def origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """Path and query of a checked target, and the authority if it came in absolute form (RFC 9112 3.2.2)."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target, None
    rest = absolute["rest"] or b"/"
    return (rest if rest.startswith(b"/") else b"/" + rest), absolute["authority"]


def is_host(value: bytes) -> bool:
    """Whether `value` is host and optional port, without user information (RFC 9110 4.2.4, 7.2)."""
    return _HOST.fullmatch(value) is not None


def is_method(value: bytes) -> bool:
    """Whether `value` is a token (RFC 9110 9.1)."""
    return _METHOD.fullmatch(value) is not None


def is_value(value: bytes) -> bool:
    """Whether `value` has no control characters but tabs (RFC 9110 5.5)."""
    return _VALUE.fullmatch(value) is not None


def is_target(method: bytes, value: bytes) -> bool:
    """Whether `value` is a path with its query, or the asterisk of OPTIONS (RFC 9112 3.2.1, 3.2.4)."""
    return _PATH.fullmatch(value) is not None or (value == b"*" and method == b"OPTIONS")


def _check_target(method: bytes, target: bytes) -> None:
    if method == b"CONNECT":
        raise HeadError(Refusal.CONNECT)
    absolute = _ABSOLUTE.fullmatch(target)
    if not is_target(method, target) and (absolute is None or not is_host(absolute["authority"])):
        raise HeadError(Refusal.TARGET)


def _fields(lines: list[bytes]) -> dict[bytes, list[bytes]]:
    if len(lines) > MAX_FIELDS:
        raise HeadError(Refusal.TOO_LARGE)
    fields: dict[bytes, list[bytes]] = {}
    for line in lines:
        if line[:1] in {b" ", b"\t"}:
            raise HeadError(Refusal.FOLDING)
        field = _FIELD.fullmatch(line)
        if field is None:
            raise HeadError(Refusal.FIELD)
        fields.setdefault(field["name"].lower(), []).append(field["value"].strip(b" \t"))
    return fields


def _check_host(fields: dict[bytes, list[bytes]], *, required: bool) -> None:
    hosts = fields.get(b"host", [])
    if not hosts and not required:
        return
    if len(hosts) != 1 or not is_host(hosts[0]):
        raise HeadError(Refusal.HOST)


def _check_framing(fields: dict[bytes, list[bytes]], *, chunked_allowed: bool) -> None:
    lengths = fields.get(b"content-length", [])
    codings = fields.get(b"transfer-encoding", [])
    if lengths and codings:
        raise HeadError(Refusal.FRAMING)
    if len(lengths) > 1 or not all(it.isdigit() and len(it) <= MAX_LENGTH_DIGITS for it in lengths):
        raise HeadError(Refusal.CONTENT_LENGTH)
    if codings and not (chunked_allowed and len(codings) == 1 and codings[0].lower() == b"chunked"):
        raise HeadError(Refusal.TRANSFER_ENCODING)
