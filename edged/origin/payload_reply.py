"""The answer that a payload makes: whole, in part, or none of it because of a condition (RFC 9110 13, 14).

The order is RFC 9110's: first the conditions, then If-Range, then Range; a HEAD has no ranges. Several ranges are read
in one pass. What a cache may know of a payload stands in every answer about it, 304 and 206 too. Caches of many users
keep nothing, since it is about patients; a user agent's own asks each time and is mostly answered 304.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus
from typing import Final

from edged.http.conditional import range_to_honour
from edged.http.problem import Problem
from edged.http.ranges import PartialContent, Piece, Unsatisfiable, partial_content, select_ranges
from edged.origin.exchange import Headers, Refusal, Reply, Request
from edged.origin.payload import Payload, Source
from edged.origin.preconditions import is_known

_ACCEPT_RANGES: Final = ("accept-ranges", "bytes")
_CACHE_CONTROL: Final = ("cache-control", "private, no-cache")
_BOUNDARY: Final = "edged-range-"  # no boundary of a multipart payload begins with it
_BOUNDARY_DIGITS: Final = 32


def reply_with(request: Request, payload: Payload, now: float) -> Reply:
    """Answer a GET or HEAD with a payload, with ranges of it, or 304; `now` is POSIX time in seconds.

    Raises Refusal: 412 when a precondition fails, 416 when no range lies within the payload.
    Source: PS3.18 8.6.1 (2024e); RFC 9110 13.2.2, 14.2, 15.3.7, 15.4.5, 15.5.17.
    """
    method, validators = str(request.scope["method"]), payload.validators
    if is_known(request, validators, now=now):
        return Reply(HTTPStatus.NOT_MODIFIED, _identity(payload))
    wanted = range_to_honour(method, request.header, validators, now=now)
    ranges = select_ranges(wanted, payload.source.length)
    if isinstance(ranges, Unsatisfiable):
        raise _not_satisfiable(ranges)
    if ranges is None:
        return _whole(payload, now)
    boundary = _BOUNDARY + payload.digest.hex()[:_BOUNDARY_DIGITS]
    content_type = str(payload.media_type)
    plan = partial_content(ranges, payload.source.length, content_type=content_type, boundary=boundary)
    known = request.header("if-range") is not None  # whoever has the beginning has its fields, too: 15.3.7
    fields = _identity(payload) if known else _fields(payload, now)
    return Reply(HTTPStatus.PARTIAL_CONTENT, (*plan.fields, *fields), partial(_parts, payload.source, plan))


def _whole(payload: Payload, now: float) -> Reply:
    content = (("content-type", str(payload.media_type)), ("content-length", str(payload.source.length)))
    return Reply(HTTPStatus.OK, (*content, *_fields(payload, now)), payload.source.pieces)


def _fields(payload: Payload, now: float) -> Headers:
    modified = tuple(field for field in payload.validators.fields(now) if field[0] == "last-modified")
    return (*_identity(payload), *modified, _ACCEPT_RANGES)


def _identity(payload: Payload) -> Headers:
    """What every answer about a payload says of it. Source: RFC 9110 15.4.5."""
    vary = (("vary", ", ".join(payload.vary)),) if payload.vary else ()
    return (("etag", str(payload.validators.etag)), ("content-location", payload.location), _CACHE_CONTROL, *vary)


def _not_satisfiable(found: Unsatisfiable) -> Refusal:
    detail = f"None of the ranges lies within the {found.length} bytes of this payload."
    problem = Problem(status=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, detail=detail)
    return Refusal(problem, (("content-range", found.content_range), _ACCEPT_RANGES))


async def _parts(source: Source, plan: PartialContent) -> AsyncGenerator[Piece, None]:
    """Yield the body of a 206: what the source gives of the ranges, with what stands between them."""
    cutter = plan.cutter()
    async with aclosing(source.pieces([section.range for section in plan.sections])) as pieces:
        async for piece in pieces:
            if cutter.wanted is not None:
                cutter.seek(cutter.wanted)
            for each in cutter.feed(piece):
                yield each
