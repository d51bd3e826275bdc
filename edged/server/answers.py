"""Answers that the server gives by itself, and what every answer carries.

What may live here: octets of HTTP/1 answers made without an application, reason phrases, the Date field. No
state but the last Date, which changes once a second.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


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


def refusal(status: HTTPStatus, text: str, *, head_only: bool = False) -> bytes:
    """A whole HTTP/1.1 answer in plain text that ends the connection; a HEAD gets its head only."""
    body = text.encode() + b"\n"
    lines = (
        b"HTTP/1.1 %d %s" % (status, reason(status)),
        b"content-type: text/plain; charset=utf-8",
        b"content-length: %d" % len(body),
        b"connection: close",
        b"%s: %s" % date_field(),
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"" if head_only else body)


@lru_cache(maxsize=1)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode("ascii")
