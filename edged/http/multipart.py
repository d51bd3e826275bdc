"""An incremental parser for multipart bodies: bytes in, events out.

The delimiter is found with bytes.find and the data between delimiters is handed on as views of the
caller's own bytes; only the last few bytes that may be the beginning of a delimiter are held back,
so that memory is bounded by the delimiter and the part head, never by a part. A preamble, an
epilogue, white space after a boundary, bare LF in part heads, folded header lines, empty heads and
empty parts are all accepted. Nothing else is guessed: a delimiter in the data needs its CRLF and a
line end. A body that ends early yields PartEnd(complete=False); a part is complete only when a
delimiter followed it.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import Final

from msgspec import Struct

from edged.http.fields import TOKEN, WHITESPACE, has_control_characters
from edged.http.media_type import MediaType

MAX_PADDING_BYTES: Final = 256  # white space after a boundary (RFC 2046 calls it transport padding)

MAX_BOUNDARY: Final = 256  # read; RFC 2046 allows 70, and Orthanc 1.10 makes one of 73
_BOUNDARY: Final = re.compile(rf"[0-9A-Za-z'()+_,\-./:=? ]{{0,{MAX_BOUNDARY - 1}}}[0-9A-Za-z'()+_,\-./:=?]")
_MAX_WRITTEN: Final = 70
_PADDING: Final = re.compile(rb"[ \t]*+")


class MultipartError(ValueError):
    """A body, or a boundary, that is not multipart syntax."""


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """What one body may have. 8 KiB a head is what HTTP servers allow a whole request.

    What became of each part is held until the last: 20,000 of them are some 60 MB with their report in XML.
    """

    head_bytes: int = 8192
    headers: int = 64
    parts: int = 20_000


class PartBegin(Struct, frozen=True):
    """A part's head: pairs of lower-case name and value, in their order."""

    headers: tuple[tuple[str, str], ...]


class PartData(Struct, frozen=True):
    """Some bytes of the current part: a view that keeps the bytes given to feed() alive."""

    data: memoryview


class PartEnd(Struct, frozen=True):
    """The end of the current part; `complete` is False if the body ended before a delimiter."""

    complete: bool


Event = PartBegin | PartData | PartEnd


class _State(Enum):
    PREAMBLE = auto()
    HEAD = auto()
    DATA = auto()
    EPILOGUE = auto()


class _Line(Enum):
    """What a boundary string at the beginning of a line turned out to be."""

    DELIMITER = auto()
    CLOSE = auto()
    DATA = auto()
    UNDECIDED = auto()


class MultipartParser:
    """Turns the bytes of one multipart body, in pieces of any size, into events.

    A syntax error is raised once the events before it have been handed out, so that how a body was cut into
    pieces never changes what is seen of it.
    """

    def __init__(self, boundary: bytes, limits: MultipartLimits | None = None) -> None:
        self._limits = limits or MultipartLimits()
        self._dash_boundary = b"--" + boundary
        self._delimiter = b"\r\n" + self._dash_boundary
        self._state = _State.PREAMBLE
        self._at_line_start = True
        self._held = b""
        self._parts = 0
        self._events: list[Event] = []
        self._error: MultipartError | None = None

    @property
    def closed(self) -> bool:
        """Whether the closing delimiter has been seen."""
        return self._state is _State.EPILOGUE

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes of the body. Raises MultipartError. Source: RFC 2046 5.1.1, PS3.18 8.6.1.2."""
        self._raise_error()
        buffer = self._held + data if self._held else data
        try:
            position = self._parse(buffer)
        except MultipartError as error:
            self._error = error
            position = len(buffer)
        self._held = buffer[position:]
        return self._take_events()

    def finish(self) -> list[Event]:
        """Say that the body has ended. Raises MultipartError if it held no delimiter at all."""
        self._raise_error()
        held, self._held = self._held, b""
        self._error = MultipartError("the body has ended")
        if self._state is _State.PREAMBLE:
            raise MultipartError("the body holds no boundary delimiter")
        if self._state is _State.HEAD and held:
            self._events.append(PartBegin(()))
            self._events.append(PartEnd(complete=False))
        if self._state is _State.DATA:
            self._emit(held, 0, len(held))
            self._events.append(PartEnd(complete=False))
        events, self._events = self._events, []
        return events

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        if not events:
            self._raise_error()
        return events

    def _raise_error(self) -> None:
        if self._error:
            raise self._error

    def _parse(self, buffer: bytes) -> int:
        """Go as far as the bytes decide; return where what must be held back begins."""
        position = 0
        while position < len(buffer):
            if self._state is _State.EPILOGUE:
                return len(buffer)
            step = self._read_head if self._state is _State.HEAD else self._read_data
            reached = step(buffer, position)
            if reached is None:
                return position
            position = reached
        return position

    def _read_data(self, buffer: bytes, start: int) -> int | None:
        """Read up to the next delimiter (the preamble likewise, whose bytes are dropped)."""
        if self._at_line_start:
            line, end = self._line_at(buffer, start)
            if line is _Line.UNDECIDED:
                return None
            self._at_line_start = False
            if line is not _Line.DATA:
                return self._cross(line, end)
        search = start
        while (found := buffer.find(self._delimiter, search)) >= 0:
            search = found + len(self._delimiter)
            line, end = _line_ending(buffer, search)
            if line is _Line.DATA:
                continue
            self._emit(buffer, start, found)
            if line is not _Line.UNDECIDED:
                return self._cross(line, end)
            return found if found > start else None
        held = self._partial_delimiter(buffer, search)
        self._emit(buffer, start, held)
        return held if held > start else None

    def _line_at(self, buffer: bytes, start: int) -> tuple[_Line, int]:
        """Judge a line that may be a delimiter without a CRLF of its own (it ended the head)."""
        end = start + len(self._dash_boundary)
        beginning = buffer[start:end]
        if beginning == self._dash_boundary:
            return _line_ending(buffer, end)
        return (_Line.UNDECIDED if self._dash_boundary.startswith(beginning) else _Line.DATA), start

    def _partial_delimiter(self, buffer: bytes, start: int) -> int:
        """Return where a delimiter may have begun that the next bytes complete, or the buffer's end."""
        start = max(start, len(buffer) - len(self._delimiter) + 1)
        while (found := buffer.find(b"\r", start)) >= 0:
            if self._delimiter.startswith(buffer[found:]):
                return found
            start = found + 1
        return len(buffer)

    def _emit(self, buffer: bytes, start: int, end: int) -> None:
        if self._state is _State.DATA and end > start:
            self._events.append(PartData(memoryview(buffer)[start:end]))

    def _cross(self, line: _Line, end: int) -> int:
        if self._state is _State.DATA:
            self._events.append(PartEnd(complete=True))
        if line is _Line.CLOSE:
            self._state = _State.EPILOGUE
            return end
        self._state = _State.HEAD
        self._parts += 1
        if self._parts > self._limits.parts:
            raise MultipartError(f"more than {self._limits.parts} parts")
        return end

    def _read_head(self, buffer: bytes, start: int) -> int | None:
        end = _head_end(buffer, start, start + self._limits.head_bytes)
        if end is None:
            if len(buffer) - start > self._limits.head_bytes:
                raise MultipartError(f"a part head is longer than {self._limits.head_bytes} bytes")
            return None
        headers = _headers(buffer[start:end])
        if len(headers) > self._limits.headers:
            raise MultipartError(f"a part head has more than {self._limits.headers} fields")
        self._events.append(PartBegin(headers))
        self._state = _State.DATA
        self._at_line_start = True
        return end


def boundary_of(media_type: MediaType) -> bytes:
    """Return the boundary of a multipart media type, also a longer one than is allowed; raises MultipartError.

    Source: RFC 2046 5.1.1.
    """
    boundary = media_type.parameter("boundary")
    if boundary is None:
        raise MultipartError("the media type has no boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError(f"the boundary is not 1 to {MAX_BOUNDARY} of the characters that RFC 2046 allows")
    return boundary.encode("ascii")


def is_boundary(text: str) -> bool:
    """Tell whether a text may be written as a boundary. Source: RFC 2046 5.1.1, PS3.18 8.6.1.2.1."""
    return len(text) <= _MAX_WRITTEN and _BOUNDARY.fullmatch(text) is not None


def _line_ending(buffer: bytes, start: int) -> tuple[_Line, int]:
    """Judge what follows a boundary string, and say where the line ends."""
    if buffer.startswith(b"--", start):
        return _Line.CLOSE, start + 2
    padding = _PADDING.match(buffer, start, start + MAX_PADDING_BYTES)
    end = padding.end() if padding else start
    following = buffer[end : end + 2]
    if following == b"\r\n":
        return _Line.DELIMITER, end + 2
    if following.startswith(b"\n"):
        return _Line.DELIMITER, end + 1
    if following in (b"", b"\r") or (following == b"-" and end == start):
        return _Line.UNDECIDED, end
    return _Line.DATA, end


def _head_end(buffer: bytes, start: int, limit: int) -> int | None:
    """Return where the data begins: after the first empty line, if it is within the limit."""
    for empty in (b"\r\n", b"\n"):
        if buffer.startswith(empty, start):
            return start + len(empty)
    end = None
    for blank in (b"\n\r\n", b"\n\n"):
        found = buffer.find(blank, start, limit)
        if found >= 0:
            end = limit = found + len(blank)
    return end


@lru_cache(maxsize=64)
def _headers(head: bytes) -> tuple[tuple[str, str], ...]:
    """Read the lines of a head; folded ones are joined. Source: RFC 5322 2.2, RFC 2045 3."""
    fields: list[list[str]] = []
    for line in head.decode("latin-1").split("\n"):
        text = line.removesuffix("\r")
        if not text:
            continue
        if text[0] not in WHITESPACE:
            fields.append([text])
        elif fields:
            fields[-1].append(text)
        else:
            raise MultipartError("a part head begins with a folded line")
    return tuple(_header(" ".join(line.strip(WHITESPACE) for line in lines)) for lines in fields)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    name = name.rstrip(WHITESPACE)
    if not (colon and TOKEN.fullmatch(name)) or has_control_characters(value):
        raise MultipartError("a part head holds a line that is not a header field")
    return name.lower(), value.strip(WHITESPACE)
