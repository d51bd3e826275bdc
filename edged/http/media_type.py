"""Media types with their parameters: the value of Content-Type and the ranges of Accept.

Reading is lenient where real user agents are careless and nothing becomes ambiguous: white space
around ";" and "=", a type with a slash left unquoted (`type=application/dicom`), empty parameters,
wildcards. A parameter given twice with different values is refused, because two readers would
disagree about the message. Type, subtype and parameter names are lower case; parameter values keep
their case.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from edged.http.fields import TOKEN, WHITESPACE, has_control_characters, quote, split_quoted, unquote

MAX_LENGTH: Final = 8192  # as much as one header field may have; keeps an absurd value cheap
MAX_PARAMETERS: Final = 32  # the Standard knows about ten


class MediaTypeError(ValueError):
    """A value that is not a media type."""


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type or media range; `parameters` is read, never changed."""

    type: str
    subtype: str
    parameters: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def essence(self) -> str:
        """`type/subtype` without parameters."""
        return f"{self.type}/{self.subtype}"

    def parameter(self, name: str) -> str | None:
        """Return a parameter's value; `name` in lower case."""
        return self.parameters.get(name)

    def __str__(self) -> str:
        return "; ".join([self.essence, *(f"{name}={_value(text)}" for name, text in self.parameters.items())])


@lru_cache(maxsize=128)
def parse_media_type(value: str) -> MediaType:
    """Read a media type. Raises MediaTypeError. Source: RFC 9110 8.3.1, RFC 2387."""
    if len(value) > MAX_LENGTH or has_control_characters(value):
        raise MediaTypeError("not a media type")
    essence, *rest = split_quoted(value, ";", most=MAX_PARAMETERS + 2)
    kind, slash, subtype = essence.partition("/")
    if not (slash and TOKEN.fullmatch(kind) and TOKEN.fullmatch(subtype)):
        raise MediaTypeError(f"not a media type: {essence[:80]!r}")
    if len(rest) > MAX_PARAMETERS:
        raise MediaTypeError(f"more than {MAX_PARAMETERS} parameters")
    parameters: dict[str, str] = {}
    for piece in rest:
        name, text = _parameter(piece)
        if name and parameters.setdefault(name, text) != text:
            raise MediaTypeError(f"parameter {name!r} is given twice")
    return MediaType(kind.lower(), subtype.lower(), parameters)


def _parameter(piece: str) -> tuple[str, str]:
    name, equals, text = piece.partition("=")
    name = name.strip(WHITESPACE).lower()
    if not equals:
        return "", ""
    if not TOKEN.fullmatch(name):
        raise MediaTypeError(f"not a parameter name: {name[:80]!r}")
    text = text.strip(WHITESPACE)
    if '"' not in text:
        return name, text
    unquoted = unquote(text)
    if unquoted is None:
        raise MediaTypeError(f"parameter {name!r} is badly quoted")
    return name, unquoted


def _value(text: str) -> str:
    return text if TOKEN.fullmatch(text) else quote(text)
