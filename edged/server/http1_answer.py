"""The answer to one HTTP/1 request in octets: its head and the framing of its body (RFC 9112 4, 6 and 7).

What may live here: what an answer must look like for this request; pure. Strategy: `start` checks and makes
the head, `body` gives octets to write, the head with the first of them. Invariants: an answer is as long as
its Content-Length says, or nothing of what breaks that is given out; no field can make another one (no line
ends in names or values); the framing is ours, whatever Transfer-Encoding the application names.
"""

import re
from collections.abc import Iterable
from enum import Enum, auto
from http import HTTPStatus

from edged.server.answers import date_field, reason

_SECTION = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\x20-\x7e\x80-\xff\t]*\r\n)*")
WITHOUT_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
FINAL = range(200, 1000)


Octets = bytes | bytearray | memoryview
Fields = Iterable[tuple[bytes, bytes]]


class AnswerError(Exception):
    """What the application says is no answer; nothing of it was given out."""


class Progress(Enum):
    """How far an answer is."""

    NONE = auto()
    STARTED = auto()  # it has a head, that may not have been given out
    COMPLETE = auto()


class Answer:
    """One answer; `close` says whether its connection ends with it."""

    def __init__(self, method: str, version: str) -> None:
        self._method = method
        self._version = version
        self._chunks = False
        self._bodiless = False
        self._left: int | None = None  # of the Content-Length
        self._head = b""  # not yet given out
        self._progress = Progress.NONE
        self.close = False

    @property
    def begun(self) -> bool:
        """Whether a part of it was given out."""
        return self._progress is not Progress.NONE and not self._head

    @property
    def complete(self) -> bool:
        """Whether all of it was given out."""
        return self._progress is Progress.COMPLETE

    def start(self, status: int, fields: Fields, *, close: bool) -> None:
        """Make the head, with Date and Connection as needed; raises AnswerError."""
        if self._progress is not Progress.NONE or status not in FINAL:
            raise AnswerError("an answer starts once, with a final status")
        self._bodiless = self._method == "HEAD" or status in WITHOUT_BODY
        self._left = None
        kept, ends = self._kept(status, fields)
        self._chunks = self._version == "1.1" and self._left is None and status not in WITHOUT_BODY
        if self._chunks:
            kept.append((b"transfer-encoding", b"chunked"))
        if self._version == "1.0":  # which has no other end of a body without a length (RFC 9112 9.3)
            close = close or ends or (self._left is None and not self._bodiless)
        if close and not ends:
            kept.append((b"connection", b"close"))
        elif self._version == "1.0" and not ends:
            kept.append((b"connection", b"keep-alive"))
        self._head = head(status, kept)
        self._progress = Progress.STARTED
        self.close = close or ends

    def body(self, data: Octets, *, more: bool) -> list[Octets]:
        """The octets that carry `data`, to be written now; raises AnswerError."""
        if self._progress is not Progress.STARTED:
            raise AnswerError("an answer's body stands between its start and its end")
        if self._bodiless:
            data = b""
        elif self._left is not None:
            self._count(len(data), more=more)
        pieces: list[Octets] = [self._head] if self._head else []
        self._head = b""
        if data:
            pieces += (b"%x\r\n" % len(data), data, b"\r\n") if self._chunks else (data,)
        if not more:
            self._progress = Progress.COMPLETE
            pieces += (b"0\r\n\r\n",) if self._chunks and not self._bodiless else ()
        return pieces

    def _kept(self, status: int, fields: Fields) -> tuple[list[tuple[bytes, bytes]], bool]:
        """The application's fields with Date, without framing it may not decide; whether it ends the connection."""
        kept, dated, ends = [], False, False
        for given, untrimmed in fields:
            name, value = given.strip().lower(), untrimmed.strip()
            match name:
                case b"transfer-encoding":
                    continue
                case b"content-length" if status == HTTPStatus.NO_CONTENT:  # RFC 9110 8.6
                    continue
                case b"content-length":
                    self._announce(value)
                case b"connection":
                    ends = ends or b"close" in map(bytes.strip, value.lower().split(b","))
                case b"date":
                    dated = True
            kept.append((name, value))
        return kept if dated else [*kept, date_field()], ends

    def _announce(self, length: bytes) -> None:
        if self._left is not None or not length.isdigit():
            raise AnswerError("an answer has one Content-Length, in decimal digits")
        self._left = int(length)

    def _count(self, size: int, *, more: bool) -> None:
        left = (self._left or 0) - size
        if left < 0 or (left > 0 and not more):
            raise AnswerError("an answer is as long as its Content-Length says")
        self._left = left


def head(status: int, fields: Fields) -> bytes:
    """A status line, fields and the empty line; raises AnswerError for what could be read as more fields than given."""
    lines = [b"%s: %s\r\n" % field for field in fields]
    section = b"".join(lines)
    if section.count(b"\n") != len(lines) or _SECTION.fullmatch(section) is None:
        raise AnswerError("a header field of the answer is malformed")
    return b"HTTP/1.1 %d %s\r\n%s\r\n" % (status, reason(status), section)
