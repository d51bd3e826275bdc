"""Content negotiation by the Accept header field.

Each offered type gets the weight of the most specific range that covers it; the greatest weight
wins and, between equals, the order of the offer (the origin server's preference, its default
first). Ranges that cannot be read are ignored, as PS3.18 8.7.7 wants. For multipart types the
`type` parameter is itself matched as a media range, and `transfer-syntax=*` covers every Transfer
Syntax. Parameters that only say how a message is written (boundary, charset, …) do not take part.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edged.http.fields import split_quoted
from edged.http.media_type import MediaType, MediaTypeError, parse_media_type

MAX_RANGES: Final = 100  # browsers send about ten; keeps matching cheap

_ANY: Final = "*"
_QUALITY: Final = re.compile(r"0(?:\.\d*)?|1(?:\.0*)?|\.\d+", re.ASCII)
_NOT_MATCHED: Final = frozenset({"q", "boundary", "charset", "start", "start-info"})

_Specificity = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One element of an Accept list: what it covers and its weight, 0 (refused) to 1."""

    media_type: MediaType
    weight: float


@lru_cache(maxsize=32)
def parse_accept(header: str) -> tuple[MediaRange, ...]:
    """Read an Accept field value; elements that are not valid are left out. Source: RFC 9110 12.5.1."""
    elements = [element for element in split_quoted(header, ",") if element][:MAX_RANGES]
    return tuple(media_range for element in elements if (media_range := _media_range(element)))


def choose(header: str | None, offered: Sequence[MediaType]) -> MediaType | None:
    """Return the offered type that the user agent prefers, or None if none of them is acceptable.

    A missing header is None as well, because PS3.18 8.7.5 asks for 406 then.
    Source: RFC 9110 12.5.1, PS3.18 8.7.8.1.
    """
    ranges = parse_accept(header or "")
    best, best_weight = None, 0.0
    for offer in offered:
        weight = _weight(offer, ranges)
        if weight > best_weight:
            best, best_weight = offer, weight
    return best


def _media_range(element: str) -> MediaRange | None:
    if element.partition(";")[0].strip() == _ANY:  # java.net.HttpURLConnection sends a lone star
        element = element.replace(_ANY, "*/*", 1)
    try:
        media_type = parse_media_type(element)
    except MediaTypeError:
        return None
    weight = media_type.parameters.get("q", "1")
    if not _QUALITY.fullmatch(weight) or (media_type.type == _ANY and media_type.subtype != _ANY):
        return None
    return MediaRange(media_type, float(weight))


def _weight(offer: MediaType, ranges: Sequence[MediaRange]) -> float:
    covering = [
        (specificity, media_range.weight)
        for media_range in ranges
        if (specificity := _specificity(offer, media_range.media_type))
    ]
    return max(covering)[1] if covering else 0.0


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
