"""Content codings: which there are, what an answer is encoded with, and the encoding.

gzip (also by its old name x-gzip), deflate in its zlib format, and zstd, as far as user agents and proxies
support it (RFC 9659). An encoded representation is another representation: its entity tag differs, and
Vary says what chose it.

Decoding, which has to mistrust its input, is in `content_decoding`.
"""

import zlib
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol

from edged.http.fields import parse_weight, split_quoted
from edged.http.media_type import MediaType, MediaTypeError, parse_media_type
from edged.http.zstandard import zstd_compressor

MAX_CODINGS: Final = 2  # one over another is seen where a proxy compresses what is compressed; more is an attack
MIN_WORTH_BYTES: Final = 1024  # less fits one packet with or without a coding
ACCEPT_ENCODING: Final = ("accept-encoding", "gzip, deflate, zstd")
"""The field that a 415 answer carries when the coding was the trouble. Source: RFC 9110 12.5.3, 15.5.16."""
VARY: Final = ("vary", "accept-encoding")

_LEVEL: Final = 4  # 8 % larger than level 6 on DICOM JSON, at two thirds of its time
_MAX_ELEMENTS: Final = 32
_ANY: Final = "*"
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/javascript"})


class ContentCodingError(ValueError):
    """A body that is not what its Content-Encoding says, or a Content-Encoding that cannot be undone here."""


class UnsupportedCoding(ContentCodingError):
    """A coding that is not known here, or more than MAX_CODINGS of them: 415 with ACCEPT_ENCODING."""


class Coding(Enum):
    """A content coding by its name in Content-Encoding. Sources: RFC 9110 8.4.1, RFC 8878 7.2."""

    GZIP = "gzip"
    DEFLATE = "deflate"
    ZSTD = "zstd"
    IDENTITY = "identity"


ZLIB_FORMATS: Final = {Coding.GZIP: zlib.MAX_WBITS | 16, Coding.DEFLATE: zlib.MAX_WBITS}
"""What zlib calls the formats that it knows."""

_PREFERRED: Final = (Coding.ZSTD, Coding.GZIP, Coding.DEFLATE)  # zstd costs a quarter of gzip's time
_NAMES: Final = {**{coding.value: coding for coding in Coding}, "x-gzip": Coding.GZIP}


@lru_cache(maxsize=64)
def choose_coding(header: str | None) -> Coding | None:
    """Return the coding for an answer that is worth encoding, None if the user agent accepts none, not even identity.

    The greatest weight wins, between equals zstd, then gzip, then deflate; identity comes last unless it is named.
    Only who names zstd gets it, `*` does not stand for it. Without the field the answer is not encoded.
    Source: RFC 9110 12.5.3.
    """
    if header is None:
        return Coding.IDENTITY
    weights = _weights(header)
    others = weights.get(_ANY)
    best, best_weight = None, 0.0
    for coding in _PREFERRED:
        weight = weights.get(coding, 0.0 if coding is Coding.ZSTD else others or 0.0)
        if weight > best_weight:
            best, best_weight = coding, weight
    identity = weights.get(Coding.IDENTITY, others)
    if identity is None:
        return best or Coding.IDENTITY
    return Coding.IDENTITY if identity > best_weight else best


def is_worth_encoding(content_type: str, length: int | None) -> bool:
    """Tell whether a payload of this type and length in bytes (None: not known) gets smaller enough to bother.

    Text does (JSON, XML, multipart of such); DICOM and images do not: theirs is done by transfer syntaxes.
    """
    if length is not None and length < MIN_WORTH_BYTES:
        return False
    try:
        return _is_text(parse_media_type(content_type))
    except MediaTypeError:
        return False


def coded_etag(etag: str, coding: Coding) -> str:
    """Return the entity tag of an encoded representation, given that of the plain one. Source: RFC 9110 8.8.3.3."""
    return etag if coding is Coding.IDENTITY else f'{etag[:-1]}-{coding.value}"'


def codings_of(content_encoding: str | None) -> tuple[Coding, ...]:
    """Return the codings of a Content-Encoding value in the order they were applied, without identity.

    Raises UnsupportedCoding. Source: RFC 9110 8.4.
    """
    elements = split_quoted(content_encoding or "", ",", most=_MAX_ELEMENTS + 1)
    names = [name for name in elements if name]
    unknown = next((name for name in names if name.lower() not in _NAMES), None)
    if unknown is not None:
        raise UnsupportedCoding(f"the content coding {unknown[:40]!r} is not known here")
    codings = tuple(coding for name in names if (coding := _NAMES[name.lower()]) is not Coding.IDENTITY)
    if len(codings) > MAX_CODINGS or len(elements) > _MAX_ELEMENTS:
        raise UnsupportedCoding(f"more than {MAX_CODINGS} content codings are not undone here")
    return codings


def encode(body: bytes, coding: Coding) -> bytes:
    """Return a whole body encoded; the same body always gives the same bytes."""
    encoder = Encoder(coding)
    return encoder.feed(body) + encoder.finish()


class Encoder:
    """Encodes a body piece by piece; no time and no name is written, so that equal bodies stay equal."""

    def __init__(self, coding: Coding) -> None:
        self._compressor = _compressor(coding)

    def feed(self, data: bytes | memoryview) -> bytes:
        """Take the next bytes; return what of the encoded body is ready, often nothing."""
        return bytes(data) if self._compressor is None else self._compressor.compress(data)

    def finish(self) -> bytes:
        """Return the rest of the encoded body."""
        return b"" if self._compressor is None else self._compressor.flush()


class _Compressor(Protocol):
    """What zlib and zstd have in common."""

    def compress(self, data: bytes | memoryview, /) -> bytes: ...
    def flush(self) -> bytes: ...


def _compressor(coding: Coding) -> _Compressor | None:
    if coding is Coding.IDENTITY:
        return None
    return zstd_compressor() if coding is Coding.ZSTD else zlib.compressobj(_LEVEL, wbits=ZLIB_FORMATS[coding])


def _weights(header: str) -> dict[Coding | str, float]:
    """Read Accept-Encoding: the weight of each coding known here, and of `*`; what cannot be read is left out."""
    weights: dict[Coding | str, float] = {}
    for element in split_quoted(header, ",", most=_MAX_ELEMENTS):
        name, _, parameter = (text.strip() for text in element.lower().partition(";"))
        mark, equals, quality = (text.strip() for text in parameter.partition("="))
        known: Coding | str | None = _ANY if name == _ANY else _NAMES.get(name)
        if known is None or (parameter and (mark, equals) != ("q", "=")):
            continue
        weight = parse_weight(quality or "1")
        if weight is not None:
            weights[known] = weight
    return weights


def _is_text(media_type: MediaType) -> bool:
    if media_type.type == "multipart":
        root = media_type.parameter("type")
        return root is not None and "multipart" not in root.lower() and is_worth_encoding(root, None)
    structured = media_type.subtype.endswith(("+json", "+xml"))
    return media_type.type == "text" or structured or media_type.essence in _TEXTS
