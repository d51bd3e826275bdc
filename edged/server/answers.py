"""Answers that the server gives by itself, and what every answer carries.

What may live here: the one shape of the server's own refusals, reason phrases, the Date field. Strategy: a
refusal is a Status Report [PS3.18 8.6.3] like those of the application, in what the client's Accept field
prefers where one could be read. No state but the last Date, which changes once a second. Invariant: a refusal
tells what is wrong with the request and nothing of the server's insides.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from edged.http.problem import Problem, render
from edged.telemetry.request import REQUEST_ID_FIELD

PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}

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


def report(problem: Problem, *, accept: bytes | None, request_id: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """A refusal for any version of HTTP: its fields with Date, and its body."""
    rendered = render(problem, None if accept is None else accept.decode("latin-1"), request_id)
    fields = [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in rendered.headers]
    return [*fields, request_id_field(request_id), date_field()], rendered.body


def refusal(problem: Problem, *, accept: bytes | None, request_id: str, head_only: bool = False) -> bytes:
    """A refusal as a whole HTTP/1.1 answer that ends the connection; a HEAD gets its head only."""
    fields, body = report(problem, accept=accept, request_id=request_id)
    lines = (
        b"HTTP/1.1 %d %s" % (problem.status, reason(problem.status)),
        *(b"%s: %s" % field for field in fields),
        b"connection: close",
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else body)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")
