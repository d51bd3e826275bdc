"""The payload of a retrieve: one representation, or several in a multipart body (PS3.18 8.6.1).

Only what a payload is may live here; which answer it makes, whole or in part, is `payload_reply`. Everything about one
is known before its first byte is read: length, validators, boundary. The same representation is the same payload byte
for byte each time, so that a range of it means something: its order is that of its parts, and its boundary is made of
its digest, which no part can know and hold. A multipart payload is a source like any other; the sources of parts that
lie outside of the ranges are not opened.
"""

import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from edged.http.conditional import Validators, strong_etag
from edged.http.media_type import MediaType
from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.http.ranges import ByteRange, Piece
from edged.origin.exchange import Headers

_BOUNDARY: Final = "edged-"
_BOUNDARY_DIGITS: Final = 32


class Source(Protocol):
    """Bytes of known length, any part of which can be read."""

    @property
    def length(self) -> int:
        """How many bytes there are."""
        ...

    @property
    def digest(self) -> bytes:
        """What no other bytes of this kind have."""
        ...

    def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        """Yield the bytes of ascending, separate ranges, None: all; no piece is of two."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A source that is in memory."""

    data: bytes

    @property
    def length(self) -> int:
        """How many bytes there are."""
        return len(self.data)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).digest()

    async def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        """Yield the bytes."""
        for each in (ByteRange(0, self.length),) if ranges is None else ranges:
            yield memoryview(self.data)[each.start : each.stop]


@dataclass(frozen=True, slots=True)
class Part:
    """One representation: its bytes, its media type, the URL of what it represents."""

    source: Source
    media_type: MediaType
    location: str

    @property
    def digest(self) -> bytes:
        """What no other representation has."""
        fields = f"{self.media_type}\n{self.location}\n{self.source.length}\n"
        return hashlib.sha256(fields.encode() + self.source.digest).digest()

    @property
    def fields(self) -> Headers:
        """The header fields of the part. Source: PS3.18 Table 8.6.1-1."""
        return (
            ("Content-Type", str(self.media_type)),
            ("Content-Location", self.location),
            ("Content-Length", str(self.source.length)),
        )


@dataclass(frozen=True, slots=True)
class Multipart:
    """Representations one after another, with what stands between them; `length` in bytes, all included."""

    parts: Sequence[Part]
    writer: MultipartWriter
    digest: bytes
    length: int

    async def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        """Yield the bytes of ascending, separate ranges, None: all; no piece is of two."""
        begin = 0
        for segment in self._segments():
            inside = None if ranges is None else _inside(ranges, begin, begin + segment.length)
            begin += segment.length
            if inside == []:
                continue
            async with aclosing(segment.pieces(inside)) as pieces:
                async for piece in pieces:
                    yield piece

    def _segments(self) -> Iterator[Source]:
        before = b""
        for part in self.parts:
            yield Held(before + self.writer.head(part.fields))
            yield part.source
            before = PART_TAIL
        yield Held(before + self.writer.closing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What a success answer carries: of a representation or of several.

    `location` is the URL of the target resource, `modified` when it came to be, in POSIX seconds, None if that cannot
    be believed; `vary` names the header fields that the choice of the media type depended on.
    """

    source: Source
    media_type: MediaType
    location: str
    modified: float | None
    vary: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """What no other payload of this resource has."""
        return hashlib.sha256(f"{self.media_type}\n".encode() + self.source.digest).digest()

    @property
    def validators(self) -> Validators:
        """Its entity tag, which is strong, and its date."""
        return Validators(strong_etag(self.digest), self.modified)


def single_part(part: Part, *, modified: float | None, vary: tuple[str, ...] = ()) -> Payload:
    """Make the payload that is one representation. Source: PS3.18 8.6.1.1."""
    return Payload(source=part.source, media_type=part.media_type, location=part.location, modified=modified, vary=vary)


def multipart(parts: Sequence[Part], *, location: str, modified: float | None, vary: tuple[str, ...] = ()) -> Payload:
    """Make the payload of one or more representations of one media type. Source: PS3.18 8.6.1.2, 8.7.3.5.1."""
    digest = hashlib.sha256(b"".join(part.digest for part in parts)).digest()
    writer = MultipartWriter(_BOUNDARY + digest.hex()[:_BOUNDARY_DIGITS])
    length = writer.content_length((len(writer.head(part.fields)), part.source.length) for part in parts)
    source = Multipart(parts, writer, digest, length)
    media_type = writer.media_type(parts[0].media_type.essence)
    return Payload(source=source, media_type=media_type, location=location, modified=modified, vary=vary)


def _inside(ranges: Sequence[ByteRange], begin: int, end: int) -> list[ByteRange]:
    """Return what of the ranges lies in one stretch of the whole, counted from the stretch's beginning."""
    return [
        ByteRange(max(each.start, begin) - begin, min(each.stop, end) - begin)
        for each in ranges
        if each.start < end and each.stop > begin
    ]
