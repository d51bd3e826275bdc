"""The content coding of an answer, undone as the answer comes in.

Nobody asks a destination for a coding, yet some proxies compress whatever passes. Pure; the bounds are those of
decoding request bodies. gzip and deflate are undone, one over the other too. zstd is not: its window would cost every
connection megabytes.

Invariants: what is given is what was encoded, from its beginning. After an error nothing more is given, and `broken`
says so; the status of the answer counts all the same, so nothing here raises.
"""

from collections.abc import Iterator
from typing import Final

from edged.http.content_coding import Coding, ContentCodingError, UnsupportedCoding, codings_of
from edged.http.content_decoding import DecodeLimits, Decoder

Headers = tuple[tuple[str, str], ...]

_LIMITS: Final = DecodeLimits(output_bytes=1 << 62)  # whoever takes the body bounds it
_OF_THE_CODED: Final = frozenset(("content-encoding", "content-length"))


class AnswerCoding:
    """Decodes the body of one answer; `headers` are those of the answer with names in lower case."""

    def __init__(self, headers: Headers) -> None:
        self.broken = False
        self._headers = headers
        self._decoder = None
        self._begun = False
        try:
            self._decoder = _decoder(", ".join(value for name, value in headers if name == "content-encoding"))
        except UnsupportedCoding:
            self.broken = True

    @property
    def headers(self) -> Headers:
        """The header fields of what is given: without those that describe the coded form."""
        if self._decoder is None:
            return self._headers
        return tuple((name, value) for name, value in self._headers if name not in _OF_THE_CODED)

    def feed(self, data: bytes | bytearray) -> Iterator[bytes | bytearray]:
        """Take the next bytes of the answer's body; yield what they give, in pieces. Exhaust it before the next call.

        Source: RFC 9110 8.4.
        """
        if self.broken:
            return
        if self._decoder is None:
            yield data
            return
        self._begun = self._begun or bool(data)
        try:
            yield from (piece for piece in self._decoder.feed(bytes(data)) if piece)
        except ContentCodingError:
            self.broken = True

    def finish(self) -> None:
        """Say that the body has ended; none at all, as after HEAD, is whole."""
        if self._decoder is None or not self._begun or self.broken:
            return
        try:
            self._decoder.finish()
        except ContentCodingError:
            self.broken = True


def _decoder(content_encoding: str) -> Decoder | None:
    codings = codings_of(content_encoding)
    if Coding.ZSTD in codings:
        raise UnsupportedCoding("zstd was not asked for")
    return Decoder(content_encoding, _LIMITS) if codings else None
