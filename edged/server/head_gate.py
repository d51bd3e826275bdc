"""The one reading of an HTTP/1 request head: strict, pure, and refused whole or not at all.

What may live here: the syntax of RFC 9112 2 to 6 for a request line and its fields, above all what two parsers
in a row may read differently (request smuggling): framing fields, Host, line ends, control characters, the
version, the form of the target. No state, no I/O. A refusal has the status of its answer; after it the
connection cannot be trusted and ends. Invariant: for any octets `head_length` and `check_head` return or
raise HeadError, nothing else, and what `head_length` has refused no further octets can mend.
"""

import re
from collections.abc import Iterable
from enum import Enum
from http import HTTPStatus
from ipaddress import AddressValueError, IPv6Address

from msgspec import Struct

from edged.http.problem import Problem
from edged.server.limits import DEFAULT, Limits

PREFACE = b"PRI * HTTP/2.0\r\n\r\n"  # the part of the HTTP/2 preface that reads as a head (RFC 9113 3.4)
MAX_LENGTH_DIGITS = 15  # of a Content-Length: a petabyte; more is an attempt at overflow
MAX_PORT = 65_535
METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"})
"""Those that the application is asked about (RFC 9110 9.3, RFC 5789), so that it can say 405; others are 501."""

_LOOK_ALIKES = {b"content_length", b"transfer_encoding"}  # framing to whoever maps fields to CGI variables
_AROUND_TARGET_BYTES = 48  # what a request line has besides its target: more than the longest method here needs

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TEXT = rb"[\x20-\x7e\x80-\xff\t]*"
_METHOD = re.compile(_TOKEN)
_VALUE = re.compile(_TEXT)
_PATH = re.compile(rb"/[\x21\x22\x24-\x7e]*")  # printable, without "#"
_REQUEST_LINE = re.compile(rb"(?P<method>" + _TOKEN + rb") (?P<target>[\x21-\x7e]+) HTTP/(?P<version>[0-9]\.[0-9])")
_FIELD = re.compile(rb"(?P<name>" + _TOKEN + rb"):(?P<value>" + _TEXT + rb")")
_HOST = re.compile(  # a name or an address: of RFC 3986 3.2.2 without what no name has, such as a list's comma
    rb"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
)
_ABSOLUTE = re.compile(rb"(?i:https?)://(?P<authority>[^/?#@]+)(?P<rest>[/?][^#]*)?")
_HINT = re.compile(rb"\r\n(?P<name>accept|origin):(?P<value>" + _TEXT + rb")(?=\r\n)", re.IGNORECASE)


class Refusal(Enum):
    """Why a head is refused: the status and the text of the answer."""

    TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head is too large."
    FIELDS = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request head has too many fields."
    TARGET_TOO_LONG = HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long."
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
    METHOD = HTTPStatus.NOT_IMPLEMENTED, "The request method is not known here."

    @property
    def problem(self) -> Problem:
        """What is answered."""
        status, detail = self.value
        return Problem(status=status, detail=detail)

    @property
    def status(self) -> HTTPStatus:
        """Of the answer."""
        return self.problem.status


class HeadError(Exception):
    """A request head that must not be served."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.problem.detail)
        self.refusal = refusal


class Hints(Struct, frozen=True):
    """What of a request shapes the answer that refuses it."""

    accept: bytes | None = None  # what it prefers
    origin: bytes | None = None  # of the page that had a browser send it
    head_only: bool = False


class Head(Struct, frozen=True):
    """A request head that has passed the gate: names in lower case, the target in origin form or the asterisk."""

    method: str
    target: bytes
    version: str
    fields: list[tuple[bytes, bytes]]  # in the order they came; Host is that of an absolute target
    named: dict[bytes, list[bytes]]  # the values by name

    def tokens(self, name: bytes) -> set[bytes]:
        """The members of a comma-separated field, in lower case (RFC 9110 5.6.1)."""
        values = self.named.get(name, ())
        return {token.strip(b" \t").lower() for value in values for token in value.split(b",")}


def head_length(octets: bytes | bytearray, limits: Limits = DEFAULT) -> int | None:
    """The length of the head at the start of `octets` with its empty line, None while it is incomplete.

    Raises HeadError as soon as no continuation can make a head of it.
    """
    limit = limits.head_bytes
    if octets and not 0x20 < octets[0] < 0x7F:
        raise HeadError(Refusal.NOT_HTTP)
    end = octets.find(b"\r\n\r\n", 0, limit)
    head = octets[: limit if end < 0 else end + 4]
    line_ends = head.count(b"\r\n")
    if head.count(b"\n") != line_ends or head.count(b"\r") - head.endswith(b"\r") != line_ends:
        raise HeadError(Refusal.LINE_END)
    if end >= 0:
        return end + 4
    line_bytes = limits.target_bytes + _AROUND_TARGET_BYTES
    line_end = octets.find(b"\r\n", 0, line_bytes)
    if line_end < 0 and len(octets) >= line_bytes:
        raise HeadError(Refusal.TARGET_TOO_LONG)
    if line_end >= 0 and _REQUEST_LINE.fullmatch(octets, 0, line_end) is None:
        raise HeadError(Refusal.REQUEST_LINE)
    if len(octets) >= limit:
        raise HeadError(Refusal.TOO_LARGE)
    return None


def check_head(head: bytes, limits: Limits = DEFAULT) -> Head:
    """Read a whole head, with its empty line; raises HeadError."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise HeadError(Refusal.REQUEST_LINE)
    method, target, version = line.groups()
    if version not in {b"1.0", b"1.1"}:
        raise HeadError(Refusal.VERSION)
    check_method(method)
    _check_target(method, target, limits.target_bytes)
    fields = _fields(lines[1:], limits.fields)
    named: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        named.setdefault(name, []).append(value)
    _check_host(named, required=version == b"1.1")
    _check_framing(named, chunked_allowed=version == b"1.1")
    target, authority = origin_form(method, target)
    if authority is not None:
        fields = [(b"host", authority), *(field for field in fields if field[0] != b"host")]
        named[b"host"] = [authority]
    return Head(method.decode("ascii"), target, version.decode("ascii"), fields, named)


def hints_of(method: str, fields: Iterable[tuple[bytes, bytes]]) -> Hints:
    """The hints of a request whose fields were read, with names in lower case (RFC 9110 5.3, RFC 6454 7.3)."""
    accepts, origins = [], []
    for name, value in fields:
        if name == b"accept":
            accepts.append(value)
        elif name == b"origin":
            origins.append(value)
    origin = origins[0] if len(origins) == 1 else None
    return Hints(b", ".join(accepts) if accepts else None, origin, head_only=method == "HEAD")


def hints_in(octets: bytes) -> Hints:
    """The hints of a head that is refused; nothing else of it is used, for it may be malformed or incomplete."""
    end = octets.find(b"\r\n\r\n")
    head = octets if end < 0 else octets[: end + 2]
    fields = ((found["name"].lower(), found["value"].strip(b" \t")) for found in _HINT.finditer(head))
    return hints_of("HEAD" if head.startswith(b"HEAD ") else "", fields)


def check_method(method: bytes) -> None:
    """Whether the application can be asked about a method; raises HeadError with 501 (RFC 9110 9.1, 15.6.2)."""
    if method == b"CONNECT":
        raise HeadError(Refusal.CONNECT)
    if method not in METHODS:
        raise HeadError(Refusal.METHOD)


def origin_form(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """Path and query of a checked target, and the authority if it came in absolute form (RFC 9112 3.2.2).

    Without path and query it is the root, but for OPTIONS the asterisk (RFC 9112 3.2.4).
    """
    absolute = None if target.startswith(b"/") else _ABSOLUTE.fullmatch(target)
    if absolute is None:
        return target, None
    rest = absolute["rest"] or (b"*" if method == b"OPTIONS" else b"/")
    return (b"/" + rest if rest.startswith(b"?") else rest), absolute["authority"]


def is_host(value: bytes) -> bool:
    """Whether `value` is host and optional port, without user information (RFC 9110 4.2.4, 7.2)."""
    found = _HOST.fullmatch(value)
    if found is None or int(found["port"] or 0) > MAX_PORT:
        return False
    return found["ipv6"] is None or _is_ipv6(found["ipv6"])


def is_method(value: bytes) -> bool:
    """Whether `value` is a token (RFC 9110 9.1)."""
    return _METHOD.fullmatch(value) is not None


def is_value(value: bytes) -> bool:
    """Whether `value` has no control characters but tabs (RFC 9110 5.5)."""
    return _VALUE.fullmatch(value) is not None


def is_target(method: bytes, value: bytes) -> bool:
    """Whether `value` is a path with its query, or the asterisk of OPTIONS (RFC 9112 3.2.1, 3.2.4)."""
    return _PATH.fullmatch(value) is not None or (value == b"*" and method == b"OPTIONS")


def is_field_line(line: bytes) -> bool:
    """Whether `line` is a field without its line end, not folded (RFC 9112 5)."""
    return _FIELD.fullmatch(line) is not None


def _is_ipv6(value: bytes) -> bool:
    try:
        IPv6Address(value.decode("ascii"))
    except AddressValueError:
        return False
    return True


def _check_target(method: bytes, target: bytes, limit: int) -> None:
    if len(target) > limit:
        raise HeadError(Refusal.TARGET_TOO_LONG)
    if is_target(method, target):
        return
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not is_host(absolute["authority"]):
        raise HeadError(Refusal.TARGET)


def _fields(lines: list[bytes], limit: int) -> list[tuple[bytes, bytes]]:
    if len(lines) > limit:
        raise HeadError(Refusal.FIELDS)
    fields = []
    for line in lines:
        field = _FIELD.fullmatch(line)
        if field is None:
            raise HeadError(Refusal.FOLDING if line[:1] in {b" ", b"\t"} else Refusal.FIELD)
        fields.append((field["name"].lower(), field["value"].strip(b" \t")))
    return fields


def _check_host(fields: dict[bytes, list[bytes]], *, required: bool) -> None:
    hosts = fields.get(b"host", [])
    if not hosts and not required:
        return
    if len(hosts) != 1 or not is_host(hosts[0]):
        raise HeadError(Refusal.HOST)


def _check_framing(fields: dict[bytes, list[bytes]], *, chunked_allowed: bool) -> None:
    if fields.keys() & _LOOK_ALIKES:
        raise HeadError(Refusal.FIELD)
    lengths = fields.get(b"content-length", [])
    codings = fields.get(b"transfer-encoding", [])
    if lengths and codings:
        raise HeadError(Refusal.FRAMING)
    if len(lengths) > 1 or not all(it.isdigit() and len(it) <= MAX_LENGTH_DIGITS for it in lengths):
        raise HeadError(Refusal.CONTENT_LENGTH)
    if codings and not (chunked_allowed and len(codings) == 1 and codings[0].lower() == b"chunked"):
        raise HeadError(Refusal.TRANSFER_ENCODING)
