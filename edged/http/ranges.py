"""Range requests: what Range asks of a payload of known length, and the 206 answer cut from it.

The Range field is advice: what is malformed, of another unit or of more than MAX_RANGES ranges is
ignored and the whole payload answers. Ranges that overlap or touch become one, and all are given in
ascending order, so that an answer never sends a byte twice and is cut in one pass over the payload,
whose pieces are viewed and never copied. A payload that is itself multipart is no different: its
boundaries count like any byte (PS3.18 8.6.1.2), so it must be the same, byte for byte, each time.

All positions are bytes from the payload's beginning; a range is half-open.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from edged.http.fields import WHITESPACE
from edged.http.media_type import MediaType
from edged.http.multipart_writer import PART_TAIL, MultipartWriter

MAX_RANGES: Final = 64  # readers of documents ask for a dozen; hundreds are an attack (RFC 9110 17.15)

_UNIT: Final = "bytes"
_SPEC: Final = re.compile(r"([0-9]*)-([0-9]*)")
_BEYOND_ALL: Final = 1 << 62
_MOST_DIGITS: Final = 18  # what has more is beyond the end of anything

Piece = bytes | memoryview


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """The bytes from `start` up to, not including, `stop`; never empty."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many bytes it has."""
        return self.stop - self.start

    def content_range(self, length: int) -> str:
        """Return the value of Content-Range, `length` being the whole payload's. Source: RFC 9110 14.4."""
        return f"{_UNIT} {self.start}-{self.stop - 1}/{length}"


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """None of the ranges lies within a payload of `length` bytes: 416."""

    length: int

    @property
    def content_range(self) -> str:
        """The value of Content-Range in the 416 answer. Source: RFC 9110 14.4, 15.5.17."""
        return f"{_UNIT} */{self.length}"


@dataclass(frozen=True, slots=True)
class Section:
    """A range of the payload, and what is sent before its first byte."""

    before: bytes
    range: ByteRange


@dataclass(frozen=True, slots=True)
class PartialContent:
    """A 206 answer: its fields, its exact length in bytes, and what it is put together from."""

    fields: tuple[tuple[str, str], ...]
    content_length: int
    sections: tuple[Section, ...]
    end: bytes = b""

    def cutter(self) -> "Cutter":
        """Return what makes the answer's body of the payload's pieces."""
        return Cutter(self.sections, self.end)


def select_ranges(header: str | None, length: int) -> tuple[ByteRange, ...] | Unsatisfiable | None:
    """Return the ranges that a Range field asks for: ascending, apart from one another; None: the whole payload.

    `length` is the payload's, in bytes. Source: RFC 9110 14.1.2, 14.2.
    """
    specs = _specs(header or "")
    if not specs:
        return None
    ranges = [found for first, last in specs if (found := _resolve(first, last, length))]
    if ranges:
        return _apart(ranges)
    asks_for_an_end = any(first is None and last for first, last in specs)
    return None if asks_for_an_end and length == 0 else Unsatisfiable(length)


def partial_content(ranges: Sequence[ByteRange], length: int, *, content_type: str, boundary: str) -> PartialContent:
    """Plan the 206 answer with one or more ranges (`select_ranges`) of a payload of `length` bytes.

    One range answers as it is, several as multipart/byteranges. The boundary must not occur in the payload after two
    dashes: if the payload is multipart itself, its own boundary must not begin with this one. Raises MultipartError
    for an illegal boundary. Source: RFC 9110 14.6, 15.3.7.
    """
    if len(ranges) == 1:
        [only] = ranges
        fields = (("content-type", content_type), ("content-range", only.content_range(length)))
        return _planned(fields, (Section(b"", only),), b"")
    writer = MultipartWriter(boundary)
    sections = tuple(
        Section((PART_TAIL if position else b"") + _head(writer, content_type, part.content_range(length)), part)
        for position, part in enumerate(ranges)
    )
    byteranges = MediaType("multipart", "byteranges", {"boundary": boundary})
    return _planned((("content-type", str(byteranges)),), sections, PART_TAIL + writer.closing)


class Window:
    """One range of a payload that comes piece by piece."""

    def __init__(self, start: int, stop: int) -> None:
        self._range = ByteRange(start, stop)
        self._position = 0

    @property
    def wanted(self) -> int | None:
        """Where the next wanted byte is, None when there is none: what comes before need not be read."""
        return _wanted(self._range, self._position)

    def seek(self, position: int) -> None:
        """Say where the next piece begins. Raises ValueError if that is backwards or leaves out wanted bytes."""
        self._position = _sought(self._position, position, self.wanted)

    def feed(self, piece: Piece) -> memoryview | None:
        """Take the payload's next piece; return a view of what lies in the range."""
        begin, self._position = self._position, self._position + len(piece)
        return _cut(self._range, begin, piece)


class Cutter:
    """Several ranges of a payload that comes piece by piece, and what stands between them."""

    def __init__(self, sections: Sequence[Section], end: bytes = b"") -> None:
        self._sections = tuple(sections)
        self._end = end
        self._current = 0
        self._position = 0

    @property
    def wanted(self) -> int | None:
        """Where the next wanted byte is, None when there is none: what comes before need not be read."""
        if self._current == len(self._sections):
            return None
        return _wanted(self._sections[self._current].range, self._position)

    def seek(self, position: int) -> None:
        """Say where the next piece begins. Raises ValueError if that is backwards or leaves out wanted bytes."""
        self._position = _sought(self._position, position, self.wanted)

    def feed(self, piece: Piece) -> list[Piece]:
        """Take the payload's next piece; return what of the answer it completes, without a copy."""
        begin, self._position = self._position, self._position + len(piece)
        answer: list[Piece] = []
        while self._current < len(self._sections):
            section = self._sections[self._current]
            view = _cut(section.range, begin, piece)
            if view is None:
                break
            if section.before and begin <= section.range.start:
                answer.append(section.before)
            answer.append(view)
            if section.range.stop > self._position:
                break
            self._current += 1
            if self._end and self._current == len(self._sections):
                answer.append(self._end)
        return answer


def slice_pieces(pieces: Iterable[Piece], ranges: Sequence[ByteRange]) -> Iterator[Piece]:
    """Yield views of what lies in ascending, separate ranges of a payload; pieces after the last are not asked for."""
    cutter = Cutter([Section(b"", each) for each in ranges])
    for piece in pieces:
        yield from cutter.feed(piece)
        if cutter.wanted is None:
            return


def _specs(header: str) -> list[tuple[int | None, int | None]]:
    """Read a field into pairs of first and last position, either one absent; empty if it is to be ignored."""
    unit, equals, text = header.strip(WHITESPACE).partition("=")
    elements = [element.strip(WHITESPACE) for element in text.split(",", MAX_RANGES + 1)]
    found = [_SPEC.fullmatch(element) for element in elements if element]
    if unit.lower() != _UNIT or not equals or len(elements) > MAX_RANGES:
        return []
    specs = [(_number(match[1]), _number(match[2])) for match in found if match]
    return specs if len(specs) == len(found) and all(_is_valid(*spec) for spec in specs) else []


def _number(digits: str) -> int | None:
    if not digits:
        return None
    digits = digits.lstrip("0")
    return _BEYOND_ALL if len(digits) > _MOST_DIGITS else int(digits or "0")


def _is_valid(first: int | None, last: int | None) -> bool:
    if first is None:
        return last is not None
    return last is None or first <= last


def _resolve(first: int | None, last: int | None, length: int) -> ByteRange | None:
    """Return the bytes that one range means, None if there are none. Source: RFC 9110 14.1.2."""
    if first is None:
        start, stop = max(length - (last or 0), 0), length
    else:
        start, stop = first, length if last is None else min(last + 1, length)
    return ByteRange(start, stop) if start < stop else None


def _apart(ranges: list[ByteRange]) -> tuple[ByteRange, ...]:
    """Sort ranges and join those that overlap or touch. Source: RFC 9110 15.3.7.2."""
    joined: list[ByteRange] = []
    for each in sorted(ranges):
        if joined and each.start <= joined[-1].stop:
            joined[-1] = ByteRange(joined[-1].start, max(joined[-1].stop, each.stop))
        else:
            joined.append(each)
    return tuple(joined)


def _head(writer: MultipartWriter, content_type: str, content_range: str) -> bytes:
    return writer.head((("Content-Type", content_type), ("Content-Range", content_range)))


def _planned(fields: tuple[tuple[str, str], ...], sections: tuple[Section, ...], end: bytes) -> PartialContent:
    length = sum(len(section.before) + section.range.length for section in sections) + len(end)
    return PartialContent((*fields, ("content-length", str(length))), length, sections, end)


def _cut(wanted: ByteRange, begin: int, piece: Piece) -> memoryview | None:
    """Return a view of the part of a piece, which begins at `begin`, that lies in the range."""
    low, high = max(wanted.start - begin, 0), min(wanted.stop - begin, len(piece))
    return memoryview(piece)[low:high] if low < high else None


def _wanted(wanted: ByteRange, position: int) -> int | None:
    return max(wanted.start, position) if position < wanted.stop else None


def _sought(position: int, target: int, wanted: int | None) -> int:
    if target < position or (wanted is not None and target > wanted):
        raise ValueError(f"cannot go from byte {position} to {target}")
    return target
