"""Answers that the server gives by itself, and what every answer carries.

What may live here: the one shape of the server's own refusals, reason phrases, the Date field. Strategy: a
refusal is a Status Report [PS3.18 8.6.3] like those of the application, in what the client's Accept field
prefers where one could be read, and for the page that asks to read where its Origin could be. No state but the
last Date, which changes once a second. Invariant: a refusal tells what is wrong with the request and nothing of
the server's insides, so that an Origin of a malformed head may be trusted as far as this.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from edged.http.origin_policy import OriginPolicy
from edged.http.problem import Problem, render
from edged.server.head_gate import Hints
from edged.telemetry.request import REQUEST_ID_FIELD

PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

NO_HINTS: Final = Hints()
NO_ORIGINS: Final = OriginPolicy()

_REQUEST_ID = REQUEST_ID_FIELD.encode("ascii")


def reason(status: int) -> bytes:
    """The reason phrase of a status code, empty for an unknown one (RFC 9112 4)."""
    return PHRASES.get(status, b"")


def date_field() -> tuple[bytes, bytes]:
    """The Date field of an answer made now (RFC 9110 6.6.1)."""
    return b"date", _date(int(time.time()))


def with_date(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of an answer, with Date unless the application gave one."""
    if any(name.lower() == b"date" for name, _ in headers):
        return headers
    return [*headers, date_field()]


def request_id_field(request_id: str) -> tuple[bytes, bytes]:
    """The field by which an answer names its request."""
    return _REQUEST_ID, request_id.encode("ascii")


def report(
    problem: Problem, hints: Hints, *, request_id: str, origins: OriginPolicy
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A refusal for any version of HTTP: its fields with Date and those of CORS, and its body (empty for a HEAD)."""
    rendered = render(problem, _text(hints.accept), request_id)
    told = (*rendered.headers, *origins.response_fields(_text(hints.origin)))
    fields = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in told]
    return [*fields, request_id_field(request_id), date_field()], b"" if hints.head_only else rendered.body


def refusal(problem: Problem, hints: Hints = NO_HINTS, *, request_id: str, origins: OriginPolicy = NO_ORIGINS) -> bytes:
    """A refusal as a whole HTTP/1.1 answer that ends the connection."""
    fields, body = report(problem, hints, request_id=request_id, origins=origins)
    lines = (
        b"HTTP/1.1 %d %s" % (problem.status, reason(problem.status)),
        *(b"%s: %s" % field for field in fields),
        b"connection: close",
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")
