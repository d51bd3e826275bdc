"""Validators and conditional requests: strong entity tags and If-None-Match.

All entity tags of edged are strong: they are made of a digest of the bytes that are sent, so that
equal tags mean equal bytes. Reading a condition is lenient: what cannot be read simply does not
match.
"""

from edged.http.fields import split_quoted

_ANY = "*"
_WEAK = "W/"


def strong_etag(digest: bytes) -> str:
    """Return the strong entity tag of a representation with this digest. Source: RFC 9110 8.8.3."""
    return f'"{digest.hex()}"'


def matches_if_none_match(header: str | None, etag: str) -> bool:
    """Tell whether If-None-Match names this entity tag, so that 304 answers. Source: RFC 9110 13.1.2."""
    if header is None:
        return False
    candidates = [candidate.removeprefix(_WEAK) for candidate in split_quoted(header, ",")]
    return etag in candidates or candidates == [_ANY]
