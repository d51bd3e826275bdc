"""The answer to one HTTP/2 request: its field section and how much body it has (RFC 9113 8.1, 8.2).

What may live here: what an answer must look like for this request; pure. Strategy: `start` checks the head,
`body` says what of a piece is sent and gives the head with the first of them. Invariants: an answer is as long
as its Content-Length says; answers without a body have none, whatever the application gives; no field is one
of HTTP/1's connections, and none can be read as more fields than one.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus

from edged.server.answers import date_field
from edged.server.http1_answer import FINAL, WITHOUT_BODY, AnswerError, Octets
from edged.server.http1_answer import Fields as GivenFields
from edged.server.http2_events import Fields
from edged.server.http2_request import OF_A_CONNECTION

LENGTHLESS = OF_A_CONNECTION | {b"content-length"}  # what an answer with 204 has none of (RFC 9110 8.6)

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(rb"[\x20-\x7e\x80-\xff\t]*")


@dataclass(frozen=True, slots=True)
class Piece:
    """What is sent now: the head if it is the first, then data."""

    head: Fields | None
    data: Octets
    ended: bool


class Answer:
    """One answer to a request with `method`."""

    def __init__(self, method: str) -> None:
        self._method = method
        self._bodiless = False
        self._left: int | None = None  # of the Content-Length
        self._head: Fields | None = None  # not yet given out
        self._started = False
        self.complete = False  # all of it was given out

    @property
    def begun(self) -> bool:
        """Whether a part of it was given out."""
        return self._started and self._head is None

    def start(self, status: int, given: GivenFields) -> None:
        """Make the head, with Date; raises AnswerError."""
        if self._started or status not in FINAL:
            raise AnswerError("an answer starts once, with a final status")
        self._bodiless = self._method == "HEAD" or status in WITHOUT_BODY
        fields = [(name.strip().lower(), value.strip()) for name, value in given]
        dropped = LENGTHLESS if status == HTTPStatus.NO_CONTENT else OF_A_CONNECTION
        fields = [field for field in fields if field[0] not in dropped]
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in fields):
            raise AnswerError("a header field of the answer is malformed")
        lengths = [value for name, value in fields if name == b"content-length"]
        if len(lengths) > 1 or not all(map(bytes.isdigit, lengths)):
            raise AnswerError("an answer has one Content-Length, in decimal digits")
        self._left = int(lengths[0]) if lengths and not self._bodiless else None
        if not any(name == b"date" for name, _ in fields):
            fields.append(date_field())
        self._started = True
        self._head = [(b":status", b"%d" % status), *fields]

    def body(self, data: Octets, *, more: bool) -> Piece:
        """What to send for `data`; raises AnswerError."""
        if not self._started or self.complete:
            raise AnswerError("an answer's body stands between its start and its end")
        if self._bodiless:
            data = b""
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0 or (self._left > 0 and not more):
                raise AnswerError("an answer is as long as its Content-Length says")
        head, self._head = self._head, None
        self.complete = not more
        return Piece(head, data, not more)
