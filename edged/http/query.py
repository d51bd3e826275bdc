"""Query parameters: from the raw query component of a URI to ordered names and values.

Values are comma-separated lists, split before they are percent-decoded, so that "%2C" stays part of a value. A plus
sign stays a plus sign (PS3.18 lists it among the characters of a value, and media types and time zones need it); it is
never a space. Reading is lenient where nothing becomes ambiguous: characters that should have been encoded, an equal
sign inside a value, empty parameters, an empty value. What cannot be decoded, or holds control characters, is a
QueryError, and nothing else leaves the parser. Its message repeats nothing of the query, which may hold patient data.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

MAX_LENGTH: Final = 8192  # bytes: no request target is longer (414), so that only another server can hand over more
MAX_PARAMETERS: Final = 256  # more than the matching keys of any search

_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class QueryError(ValueError):
    """A query component that is not made of query parameters: 400. Its text may be shown."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter as it was sent; no values: a name without "=", one empty value: nothing after it."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """The parameters of a request in their order; names are case sensitive and may be repeated."""

    parameters: tuple[Parameter, ...] = ()

    def __contains__(self, name: str) -> bool:
        return any(parameter.name == name for parameter in self.parameters)

    def values(self, name: str) -> tuple[str, ...]:
        """Return all values of a parameter, those of its repetitions one after another; () if it is absent."""
        return tuple(value for parameter in self.parameters if parameter.name == name for value in parameter.values)

    def single(self, name: str) -> str | None:
        """Return the value of a parameter that takes one, None if it is absent; raises QueryError for none or several.

        Source: PS3.18 8.3.
        """
        if name not in self:
            return None
        values = self.values(name)
        if len(values) != 1 or not values[0]:
            raise QueryError(f"the parameter {name!r} takes exactly one value")
        return values[0]

    def unsupported(self, supported: Collection[str]) -> tuple[str, ...]:
        """Return the names that are not among the supported ones, each once, for a Warning. Source: PS3.18 8.3."""
        return tuple(dict.fromkeys(each.name for each in self.parameters if each.name not in supported))


def parse_query(raw: bytes) -> Query:
    """Read a query component, without its question mark. Raises QueryError. Source: PS3.18 8.3.1, RFC 3986 3.4."""
    if len(raw) > MAX_LENGTH:
        raise QueryError(f"a query has at most {MAX_LENGTH} bytes")
    if _BAD_ESCAPE.search(raw):
        raise QueryError("a percent sign is followed by two hexadecimal digits")
    pieces = [piece for piece in raw.split(b"&") if piece]
    if len(pieces) > MAX_PARAMETERS:
        raise QueryError(f"a query has at most {MAX_PARAMETERS} parameters")
    return Query(tuple(_parameter(piece) for piece in pieces))


def _parameter(piece: bytes) -> Parameter:
    raw_name, equals, raw_values = piece.partition(b"=")
    name = _decoded(raw_name)
    if not name:
        raise QueryError("a parameter has a name")
    return Parameter(name, tuple(_decoded(value) for value in raw_values.split(b",")) if equals else ())


def _decoded(raw: bytes) -> str:
    try:
        text = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise QueryError("names and values are percent-encoded UTF-8") from error
    if _CONTROL.search(text):
        raise QueryError("names and values hold no control characters")
    return text
