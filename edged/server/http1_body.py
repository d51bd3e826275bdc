"""The body of an HTTP/1 request as it comes off the wire, without its framing (RFC 9112 6 and 7).

What may live here: counting a Content-Length and reading chunks; pure. Strategy: `take` is given whatever was
read and gives the body's octets in it, the same object where nothing has to be cut out; what follows the body
is in `rest`. A body in tiny chunks is much work in few octets: `take` stops after LINES_PER_TURN lines and says
so by `interrupted`. Invariants: nothing is allocated from a length that a client has named, and what is held
between two calls is LINE_BYTES at most, or what an interrupted call was given; for any octets `take` returns or
raises BodyError, nothing else.
"""

import re
from abc import ABC, abstractmethod
from enum import Enum, auto

from edged.server.head_gate import MAX_LENGTH_DIGITS, Head, is_field_line
from edged.server.limits import DEFAULT, KIB

LINE_BYTES = 4 * KIB  # of a chunk's size with its extensions, or of a trailer field
LINES_PER_TURN = 512  # a millisecond; of chunks of 4 KiB, one turn of the wire
MAX_TRAILERS = DEFAULT.fields
MAX_CHUNK_BYTES = 10**MAX_LENGTH_DIGITS - 1  # the same as by a Content-Length

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
_SIZE = re.compile(rb"(?P<size>[0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*[ \t]*")


class BodyError(Exception):
    """The framing of a body is broken: nothing that follows on its connection has a meaning."""


class Body(ABC):
    """A request body that is being read."""

    complete = False  # its end was seen, from the beginning if it is empty; nothing may be taken after it
    interrupted = False  # for the sake of others: `take(b"")` goes on with what is held
    rest = b""  # what came behind its end

    @abstractmethod
    def take(self, octets: bytes) -> bytes:
        """The octets of the body in `octets`; raises BodyError."""


def body_of(head: Head) -> Body:
    """The body that a checked head announces (RFC 9112 6.3)."""
    if b"transfer-encoding" in head.named:
        return Chunked()
    return Counted(int(head.named.get(b"content-length", [b"0"])[0]))


class Counted(Body):
    """A body of so many octets."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.complete = length == 0

    def take(self, octets: bytes) -> bytes:
        """Count."""
        body, self.rest = octets[: self._left], octets[self._left :]
        self._left -= len(body)
        self.complete = self._left == 0
        return body


class _Next(Enum):
    """What the next octets of a chunked body are."""

    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()


class Chunked(Body):
    """A body in chunks; extensions and trailers are checked and dropped (RFC 9112 7.1)."""

    def __init__(self) -> None:
        self._next = _Next.SIZE
        self._left = 0  # of the current chunk
        self._trailers = 0
        self._lines = 0  # read since the last interruption
        self._held = b""  # the beginning of a line

    def take(self, octets: bytes) -> bytes:
        """Read chunk by chunk."""
        octets, self._held = self._held + octets, b""
        pieces, at = [], 0
        self.interrupted = False
        while at < len(octets) and not self.complete:
            if self._next is _Next.DATA:
                piece = octets[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._next = _Next.DATA if self._left else _Next.DATA_END
                continue
            end = octets.find(b"\r\n", at, at + LINE_BYTES)
            if end < 0:
                self._hold(octets[at:])
                break
            self._line(octets[at:end])
            at = end + 2
            if self._is_turn_over():
                self._held = octets[at:]
                break
        if self.complete:
            self.rest = octets[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _is_turn_over(self) -> bool:
        self._lines += 1
        if self._lines >= LINES_PER_TURN and not self.complete:
            self.interrupted, self._lines = True, 0
        return self.interrupted

    def _hold(self, begun: bytes) -> None:
        bare = b"\n" in begun or b"\r" in begun[:-1]  # no CR LF is in there
        if bare or len(begun) >= LINE_BYTES or (self._next is _Next.DATA_END and begun != b"\r"):
            raise BodyError(f"no line end where one is due: {self._next.name}")
        self._held = begun

    def _line(self, line: bytes) -> None:
        match self._next:
            case _Next.SIZE:
                self._size(line)
            case _Next.DATA_END if not line:
                self._next = _Next.SIZE
            case _Next.TRAILER if not line:
                self.complete = True
            case _Next.TRAILER if is_field_line(line) and self._trailers < MAX_TRAILERS:
                self._trailers += 1
            case _:
                raise BodyError(f"a malformed line: {self._next.name}")

    def _size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BodyError("a malformed chunk size")
        self._left = int(found["size"], base=16)
        if self._left > MAX_CHUNK_BYTES:
            raise BodyError("a chunk is too large to be meant")
        self._next = _Next.DATA if self._left else _Next.TRAILER
