"""Which character set a textual answer is written in, as a user agent asks for it in three places.

The charset parameter of the selected media type goes before the charset query parameter, and that before the
Accept-Charset header field; within one place the weights decide, and between equals the order of the offer. Names are
compared without case. Whatever is not valid or not offered is ignored, and when nothing is left the first of the offer,
the default, is selected: asking for a character set alone never makes an answer fail (RFC 9110 12.5.2 allows that;
PS3.18 8.8.5 ends with UTF-8).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edged.http.fields import WHITESPACE, parse_weight, split_quoted, unquote

MAX_CHARSETS: Final = 64  # browsers sent three when they still did

_MAX_PARAMETERS: Final = 8  # there is one: the weight
_ANY: Final = "*"
_NO_ALIASES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class CharsetRange:
    """One element of an Accept-Charset list: a name as it was given, or "*", and its weight, 0 (refused) to 1."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CharsetWishes:
    """Where character sets were asked for: a parameter of the media type, a query parameter, Accept-Charset."""

    media_type: str | None = None
    query: str | None = None
    header: str | None = None


def parse_accept_charset(value: str) -> tuple[CharsetRange, ...]:
    """Read a list of character sets; what is not valid, or after MAX_CHARSETS, is left out.

    Source: RFC 9110 12.5.2, PS3.18 8.8.4.
    """
    elements = split_quoted(value, ",", most=MAX_CHARSETS)
    return tuple(found for element in elements if element and (found := _range(element)))


def select_charset(wishes: CharsetWishes, offered: Sequence[str], *, aliases: Mapping[str, str] = _NO_ALIASES) -> str:
    """Return one of the offered character sets, the first being the default.

    `offered` is not empty and has IANA names; `aliases` leads from other names, in lower case, to such.
    Wildcards count in the header field only (PS3.18 8.3.3.2). Source: PS3.18 8.8.5.
    """
    names = [aliases.get(name.lower(), name).lower() for name in offered]
    places = ((wishes.media_type, False), (wishes.query, False), (wishes.header, True))
    for text, wildcards in places:
        ranges = [each for each in parse_accept_charset(text or "") if wildcards or each.name != _ANY]
        weights = [_weight(name, ranges, aliases) for name in names]
        if max(weights) > 0:
            return offered[weights.index(max(weights))]
    return offered[0]


def _range(element: str) -> CharsetRange | None:
    raw, *parameters = split_quoted(element, ";", most=_MAX_PARAMETERS + 2)
    name = unquote(raw) if '"' in raw else raw
    weight = 1.0 if len(parameters) <= _MAX_PARAMETERS else None
    for parameter in parameters:
        key, _, text = parameter.partition("=")
        if key.strip(WHITESPACE).lower() == "q":
            weight = parse_weight(text.strip(WHITESPACE))
    return CharsetRange(name, weight) if name and weight is not None else None


def _weight(name: str, ranges: Sequence[CharsetRange], aliases: Mapping[str, str]) -> float:
    """The weight of a name: of the ranges that name it, else of the wildcard, else 0."""
    asked = [(aliases.get(each.name.lower(), each.name).lower(), each.weight) for each in ranges]
    exact = [weight for wanted, weight in asked if wanted == name]
    return max(exact or [weight for wanted, weight in asked if wanted == _ANY] or [0.0])
