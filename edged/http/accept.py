"""Media ranges, and negotiation by the Accept header field alone.

Each offered type gets the weight of the most specific range that covers it; the greatest weight
wins and, between equals, the order of the offer (the origin server's preference, its default
first). Ranges that cannot be read are ignored, as PS3.18 8.7.7 wants. For multipart types the
`type` parameter is itself matched as a media range, and `transfer-syntax=*` covers every Transfer
Syntax. Parameters that only say how a message is written (boundary, charset, …) do not take part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edged.http.fields import parse_weight, split_quoted
from edged.http.media_type import MediaType, MediaTypeError, parse_media_type

MAX_RANGES: Final = 100  # browsers send about ten; keeps matching cheap

_ANY: Final = "*"
_NOT_MATCHED: Final = frozenset({"q", "boundary", "charset", "start", "start-info"})

_Specificity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept list: what it covers and its weight, 0 (refused) to 1."""

    media_type: MediaType
    weight: float


@lru_cache(maxsize=32)
def parse_accept(header: str) -> tuple[MediaRange, ...]:
    """Read an Accept field value; elements that are not valid, or after MAX_RANGES, are left out.

    Source: RFC 9110 12.5.1.
    """
    elements = split_quoted(header, ",", most=MAX_RANGES)
    return tuple(media_range for element in elements if element and (media_range := parse_media_range(element)))


def parse_media_range(element: str) -> MediaRange | None:
    """Read one element of an Accept list; None if it is not valid. Source: RFC 9110 12.5.1."""
    if element.partition(";")[0].strip() == _ANY:  # java.net.HttpURLConnection sends a lone star
        element = element.replace(_ANY, "*/*", 1)
    try:
        media_type = parse_media_type(element)
    except MediaTypeError:
        return None
    weight = parse_weight(media_type.parameters.get("q", "1"))
    if weight is None or (media_type.type == _ANY and media_type.subtype != _ANY):
        return None
    return MediaRange(media_type, weight)


def most_specific(ranges: Sequence[MediaRange], offer: MediaType) -> MediaRange | None:
    """Return the range that decides about an offered type, the most specific that covers it, or None.

    Between equally specific ones the greatest weight decides. Source: RFC 9110 12.5.1, PS3.18 8.7.8.1.
    """
    covering = [(specificity, each) for each in ranges if (specificity := _specificity(offer, each.media_type))]
    return max(covering, key=lambda pair: (pair[0], pair[1].weight))[1] if covering else None


def choose(header: str | None, offered: Sequence[MediaType]) -> MediaType | None:
    """Return the offered type that the user agent prefers, or None if none of them is acceptable.

    A missing header is None as well, because PS3.18 8.7.5 asks for 406 then.
    Source: RFC 9110 12.5.1, PS3.18 8.7.8.1.
    """
    ranges = parse_accept(header or "")
    best, best_weight = None, 0.0
    for offer in offered:
        decisive = most_specific(ranges, offer)
        if decisive is not None and decisive.weight > best_weight:
            best, best_weight = offer, decisive.weight
    return best


def _specificity(offer: MediaType, wanted: MediaType) -> _Specificity | None:
    """How narrowly a range covers an offer: type, exact and wildcard parameters; None: it does not."""
    level = _essence_level(offer, wanted)
    if level is None:
        return None
    exact = wild = 0
    for name, value in wanted.parameters.items():
        if name in _NOT_MATCHED:
            continue
        if _ANY in value and _covers(name, value, offer.parameter(name)):
            wild += 1
        elif offer.parameter(name) is not None and value.lower() == str(offer.parameter(name)).lower():
            exact += 1
        else:
            return None
    return level, exact, wild


def _essence_level(offer: MediaType, wanted: MediaType) -> int | None:
    if wanted.essence == offer.essence:
        return 2
    if wanted.type == offer.type and wanted.subtype == _ANY:
        return 1
    return 0 if wanted.type == _ANY else None


def _covers(name: str, wanted: str, offered: str | None) -> bool:
    """Tell whether a wildcard covers a value: `*` for transfer-syntax, `*/*` or `image/*` for type."""
    if name == "transfer-syntax":
        return wanted == _ANY
    if name != "type" or offered is None:
        return False
    return wanted == "*/*" or (wanted.endswith("/*") and offered.lower().startswith(wanted[:-1].lower()))
