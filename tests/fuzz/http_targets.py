"""The parsers of `edged.http` that read single field values, and query components.

What may live here: for each the function that holds its invariant, and a few values of every kind to begin with.
"""

import math
from http import HTTPStatus

from edged.http.accept import MAX_RANGES, choose, parse_accept
from edged.http.conditional import Precondition, Validators, evaluate, range_to_honour
from edged.http.content_coding import MAX_CODINGS, Coding, ContentCodingError, choose_coding, codings_of
from edged.http.dates import http_date, parse_http_date
from edged.http.media_type import MAX_LENGTH, MediaType, MediaTypeError, parse_media_type
from edged.http.multipart import MultipartError, boundary_of
from edged.http.origin_policy import OriginPolicy
from edged.http.problem import Problem, render
from edged.http.query import MAX_PARAMETERS, QueryError, parse_query
from edged.http.retry_after import MAX_RETRY_AFTER_S, parse_retry_after
from tests.fuzz.target import Target, fields_of, first_line, text

NOW = 1_700_000_000.0
VALIDATORS = Validators('"abc"', NOW - 1000)
OFFERED = (
    MediaType("application", "dicom+json"),
    MediaType("multipart", "related", {"type": "application/dicom", "transfer-syntax": "1.2.840.10008.1.2.1"}),
    MediaType("image", "jpeg"),
)
CONTROL = frozenset(map(chr, [*range(9), *range(10, 32), 127]))


def accept(data: bytes) -> None:
    """Any text is a bounded list of ranges with weights from 0 to 1; what is chosen was offered."""
    ranges = parse_accept(text(data))
    assert len(ranges) <= MAX_RANGES
    assert all(0 <= each.weight <= 1 for each in ranges)
    assert choose(text(data), OFFERED) in {*OFFERED, None}


def media_type(data: bytes) -> None:
    """A media type or MediaTypeError; written, it is read as the same; its boundary is one or MultipartError."""
    try:
        found = parse_media_type(text(data))
    except MediaTypeError:
        return
    assert not CONTROL & set(str(found))
    if len(str(found)) <= MAX_LENGTH:
        assert parse_media_type(str(found)) == found
    try:
        assert 0 < len(boundary_of(found)) <= 70
    except MultipartError:
        return


def query(data: bytes) -> None:
    """Parameters without control characters, or QueryError; so is a single value of each."""
    try:
        found = parse_query(data)
    except QueryError:
        return
    assert len(found.parameters) <= MAX_PARAMETERS
    for each in found.parameters:
        assert each.name
        assert not CONTROL - {"\t"} & set("".join((each.name, *each.values)))
        try:
            assert found.values(each.name) == (found.single(each.name),)
        except QueryError:
            assert len(found.values(each.name)) != 1 or not found.values(each.name)[0]


def conditional(data: bytes) -> None:
    """Whatever the fields say there is a verdict, and none but to proceed without any condition."""
    method, rest = first_line(data)
    fields = fields_of(rest)
    header = fields.get
    for current in (VALIDATORS, None):
        verdict = evaluate(method, header, current, now=NOW)
        assert verdict is Precondition.PROCEED or CONDITIONS & fields.keys()
    assert range_to_honour(method, header, VALIDATORS, now=NOW) in {None, header("range")}


CONDITIONS = {"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"}


def date(data: bytes) -> None:
    """A moment that is read the same once it is written, or None; a Retry-After is bounded."""
    moment = parse_http_date(text(data), NOW)
    if moment is not None:
        assert parse_http_date(http_date(moment), NOW) == moment
    wait_s = parse_retry_after(text(data), NOW)
    assert wait_s is None or (math.isfinite(wait_s) and 0 <= wait_s <= MAX_RETRY_AFTER_S)


def origin_policy(data: bytes) -> None:
    """Whatever a page says of itself, answers get fields that are fields, and only a named origin is granted."""
    fields = {name: "".join(c for c in value if c not in CONTROL) for name, value in fields_of(data).items()}
    origin = fields.get("origin")
    for policy in (OriginPolicy(), OriginPolicy(("*",)), OriginPolicy(("https://viewer.example",))):
        answered = [*policy.response_fields(origin)]
        preflight = policy.preflight("OPTIONS", fields)
        if preflight is not None:
            answered += policy.preflight_fields(preflight, "GET, OPTIONS")
        assert not CONTROL & set("".join(value for _, value in answered))
        granted = {value.lower() for name, value in answered if name == "access-control-allow-origin"}
        assert granted <= {"*", "https://viewer.example", "https://viewer.example/"}
        policy.origin_allowed(origin, own="https://box.example")


def content_coding(data: bytes) -> None:
    """A coding that is known, or none; few of them on a body, or ContentCodingError."""
    assert choose_coding(text(data)) in {*Coding, None}
    try:
        assert len(codings_of(text(data))) <= MAX_CODINGS
    except ContentCodingError:
        return


def problem(data: bytes) -> None:
    """A Status Report of any text is UTF-8 of its Content-Length, and its HTML has no mark-up of the text's."""
    accept_, rest = first_line(data)
    told = Problem(status=HTTPStatus.BAD_REQUEST, detail=text(rest), extra={"available": [text(rest)]})
    report = render(told, accept_, request_id="a-b")
    fields = dict(report.headers)
    body = report.body.decode()
    assert int(fields["content-length"]) == len(report.body)
    assert not CONTROL & set("".join(fields.values()))
    if fields["content-type"].startswith("text/html"):
        assert body.count("<") == HTML_MARKS


HTML_MARKS = render(Problem(status=HTTPStatus.BAD_REQUEST, detail="", extra={"available": []}), None, "a").body.count(
    b"<"
)

_DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"

TARGETS = (
    Target(
        "accept",
        accept,
        (
            b"application/dicom+json, application/json",
            b'multipart/related; type="application/dicom"; transfer-syntax=*;q=0.5, */*;q=0.1',
            b"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
            b"text/*; q=.3 , * ; q=1.000,,;,image/jpeg;q=2",
        ),
    ),
    Target(
        "media-type",
        media_type,
        (
            b'multipart/related; type="application/dicom"; boundary="a b+c"',
            b"application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50; charset = utf-8 ;",
            b'multipart/related;type=application/dicom+json;boundary=--x;start="<a\\"b@c>"',
        ),
    ),
    Target(
        "query", query, (b"PatientName=A%5EB%2CC&limit=1&00100020=1,2,,3&x", b"accept=a/b;q=0.1&&=&a==+", b"%zz=%00")
    ),
    Target(
        "conditional",
        conditional,
        (
            b'GET\nif-none-match: W/"abc", "x"\nif-range: "abc"\nrange: bytes=0-',
            b"HEAD\nif-modified-since: " + _DATE + b"\nif-unmodified-since: " + _DATE,
            b"PUT\nif-match: *\nif-none-match: *",
            b"GET\nif-range: " + _DATE + b"\nrange: bytes=1-2,-3",
        ),
    ),
    Target(
        "date",
        date,
        (
            _DATE,
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"120",
            b"Sat, 30 Feb 0000 24:00:60 GMT",
        ),
    ),
    Target(
        "origin-policy",
        origin_policy,
        (
            b"origin: https://viewer.example\naccess-control-request-method: PUT\naccess-control-request-headers: a, b",
            b"origin: null\naccess-control-request-method: GET",
        ),
    ),
    Target("content-coding", content_coding, (b"gzip;q=0.5, deflate, *;q=0", b"x-gzip, gzip", b"identity, zstd;q=1")),
    Target("problem", problem, (b"text/html\n<b>&amp;'\"", b"application/json\n\xff\x00", b"text/plain;q=1\na")),
)
