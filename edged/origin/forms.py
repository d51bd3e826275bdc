"""Which form an answer is given in: `dicomweb.negotiation` for handlers, as a Refusal where there is none.

User agents send the same few wishes over and over, so what came of them is remembered; both sides of the memory are
bounded by what a request head may hold.
"""

from functools import lru_cache

from edged.dicomweb.negotiation import NegotiationError, Selection, Wishes, negotiate, negotiate_leniently
from edged.http.media_type import MediaType
from edged.origin.exchange import Refusal

VARY = ("vary", "accept")
"""The field of an answer whose form was chosen."""

_REMEMBERED = 64

_strictly = lru_cache(maxsize=_REMEMBERED)(negotiate)
_leniently = lru_cache(maxsize=_REMEMBERED)(negotiate_leniently)


def chosen(wishes: Wishes, offered: tuple[MediaType, ...]) -> MediaType:
    """Return the form to answer in, one of `offered`; raises Refusal (400, 406). Source: PS3.18 8.3.3.1, 8.7.8."""
    try:
        selection: Selection = _strictly(wishes, offered)
    except NegotiationError as error:
        raise Refusal(error.problem) from error
    return selection.media_type


def chosen_leniently(wishes: Wishes, offered: tuple[MediaType, ...]) -> MediaType:
    """Return the form to answer in, the first of `offered` where nothing else is possible (DICOM.md §3)."""
    selection: Selection = _leniently(wishes, offered)
    return selection.media_type
