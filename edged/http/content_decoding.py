"""Decodes request bodies that carry a Content-Encoding, within bounds.

Decoding is lazy, and goes in steps. A step takes at most STEP_BYTES, begins at most one gzip member or
zstd frame, and gives one piece of at most PIECE_BYTES. The piece may be empty, because much work may
give nothing; it is given all the same, so that who takes the pieces can count the work and let others
have their turn. However much a few bytes expand to, one piece exists at a time for each coding, beside
the window that its format looks back upon: 32 KiB, for zstd up to WINDOW_BYTES.

The whole is bounded: in bytes, as a multiple of what came in (between two codings as well), and in
members and frames, skippable ones too. What is cut short, malformed or followed by other bytes is an
error, never a shorter body.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from edged.http.content_coding import ZLIB_FORMATS, Coding, ContentCodingError, codings_of
from edged.http.zstandard import WINDOW_BYTES, ZstdError, zstd_decompressor

PIECE_BYTES: Final = 64 << 10
STEP_BYTES: Final = {Coding.GZIP: 8 << 10, Coding.DEFLATE: 8 << 10, Coding.ZSTD: 3 << 10}
"""What a step takes: the worst input, code tables without data, takes 80 ns a byte with zlib, 210 with zstd."""
MAX_MEMBERS: Final = 10_000  # or frames; a body compressed in blocks of 64 KiB each (BGZF) stays welcome to 640 MB
BETWEEN_RATIO: Final = 16  # what one coding gives to the next is itself compressed, and so hardly larger than what came
BETWEEN_FREE_BYTES: Final = 1 << 20


class ExpansionExceeded(ContentCodingError):
    """A body that goes beyond the bounds of decoding: 413."""


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What one body may become. Deflate reaches 1032:1, zstd more; of honest data nearly empty images exceed 100:1.

    `ratio` is of what came in, and counts beyond `free_bytes` only: images of little content stay welcome.
    """

    output_bytes: int
    ratio: int = 250
    free_bytes: int = 64 << 20


class Decoder:
    """Decodes one request body, in pieces of any size. Raises UnsupportedCoding for a coding that it cannot undo.

    `content_encoding` is the field's value, None if there is none. After an error every call raises it again.
    """

    def __init__(self, content_encoding: str | None, limits: DecodeLimits) -> None:
        self._limits = limits
        self._stages = tuple(_Stage(coding) for coding in reversed(codings_of(content_encoding)))
        self._taken = 0
        self._given = 0
        self._error: ContentCodingError | None = None

    @property
    def window_bytes(self) -> int:
        """How many bytes a few bytes of the body may make it keep, beyond what its pieces are."""
        return WINDOW_BYTES * sum(stage.looks_far_back for stage in self._stages)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body; yield what each step gives, made when it is asked for, sometimes nothing.

        Exhaust it before the next call. Raises ContentCodingError; what was yielded before is good.
        Source: RFC 9110 8.4.
        """
        self._raise_error()
        try:
            for start in range(0, len(data), PIECE_BYTES):
                yield from self._decode_piece(data[start : start + PIECE_BYTES])
        except ContentCodingError as error:
            self._error = error
            raise

    def finish(self) -> None:
        """Say that the body has ended. Raises ContentCodingError if it is not whole."""
        self._raise_error()
        if not all(stage.is_at_end for stage in self._stages):
            self._error = ContentCodingError("the encoded body ends too early")
            raise self._error

    def _decode_piece(self, data: bytes) -> Iterator[bytes]:
        self._taken += len(data)
        for piece in self._decode(data, 0):
            self._given += len(piece)
            self._check_given()
            yield piece

    def _decode(self, data: bytes, number: int) -> Iterator[bytes]:
        """Undo the codings from the given one on; what one gives is counted before the next sees it.

        Every step ends in a yield: of what the last coding gave, or of nothing.
        """
        if number == len(self._stages):
            yield data
            return
        stage = self._stages[number]
        for piece in stage.feed(data):
            if not piece:
                yield piece
                continue
            if number + 1 < len(self._stages):
                self._check_between(stage.given)
            yield from self._decode(piece, number + 1)

    def _check_given(self) -> None:
        if self._given > self._limits.output_bytes:
            raise ExpansionExceeded(f"the body decodes to more than {self._limits.output_bytes} bytes")
        if self._given > max(self._limits.free_bytes, self._limits.ratio * self._taken):
            raise ExpansionExceeded(f"the body expands to more than {self._limits.ratio} times its size")

    def _check_between(self, given: int) -> None:
        if given > max(BETWEEN_FREE_BYTES, BETWEEN_RATIO * self._taken):
            raise ExpansionExceeded(f"the body expands to more than {BETWEEN_RATIO} times its size between its codings")

    def _raise_error(self) -> None:
        if self._error:
            raise self._error


class _Stage:
    """Undoes one coding. A body may be several gzip members or zstd frames in a row (RFC 1952 2.2, RFC 8878 3)."""

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._step_bytes = STEP_BYTES[coding]
        self._member = _member(coding)
        self._members = 1
        self.given = 0

    @property
    def looks_far_back(self) -> bool:
        """Whether its window is too large to be kept for every request."""
        return self._coding is Coding.ZSTD

    @property
    def is_at_end(self) -> bool:
        """Whether the body may end here."""
        return self._member.is_at_end

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what each step gives; when exhausted, all the data is taken."""
        position = 0
        while position < len(data) or self._member.has_more:
            if self._member.is_at_end:
                self._begin_member()
            piece, taken = self._member.decode(data[position : position + self._step_bytes])
            position += taken
            self.given += len(piece)
            yield piece

    def _begin_member(self) -> None:
        if self._coding is Coding.DEFLATE:
            raise ContentCodingError("bytes follow the end of the deflate data")
        if self._members == MAX_MEMBERS:
            raise ExpansionExceeded(f"the body has more than {MAX_MEMBERS} {self._coding.value} members or frames")
        self._members += 1
        self._member = _member(self._coding)


class _Member(Protocol):
    """A gzip member, a zlib stream or a zstd frame."""

    is_at_end: bool
    has_more: bool  # to give, without having to take more

    def decode(self, step: bytes) -> tuple[bytes, int]:
        """Return at most PIECE_BYTES, and how far this has come in the data; raises ContentCodingError."""


def _member(coding: Coding) -> _Member:
    return _ZstdFrame() if coding is Coding.ZSTD else _ZlibMember(coding)


class _ZlibMember:
    """Hands back of each step what it did not get to."""

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._zlib = zlib.decompressobj(ZLIB_FORMATS[coding])
        self.is_at_end = self.has_more = False

    def decode(self, step: bytes) -> tuple[bytes, int]:
        try:
            piece = self._zlib.decompress(step, PIECE_BYTES)
        except zlib.error:
            raise ContentCodingError(f"the body is not {self._coding.value}") from None
        self.is_at_end = self._zlib.eof
        self.has_more = len(piece) == PIECE_BYTES and not self.is_at_end
        left = self._zlib.unused_data if self.is_at_end else self._zlib.unconsumed_tail
        return piece, len(step) - len(left)


class _ZstdFrame:
    """Keeps of each step what it did not get to, and takes no other meanwhile; at its end it hands back the rest.

    How far it has come is negative if more is handed back than it was given in the last step.
    """

    def __init__(self) -> None:
        self._zstd = zstd_decompressor()
        self.is_at_end = self.has_more = False

    def decode(self, step: bytes) -> tuple[bytes, int]:
        given = b"" if self.has_more else step
        try:
            piece = self._zstd.decompress(given, PIECE_BYTES)
        except ZstdError:
            raise ContentCodingError(
                f"the body is not zstd with a window of {WINDOW_BYTES >> 20} MiB at most"
            ) from None
        self.is_at_end = self._zstd.eof
        self.has_more = not self.is_at_end and not self._zstd.needs_input
        return piece, len(given) - len(self._zstd.unused_data)
