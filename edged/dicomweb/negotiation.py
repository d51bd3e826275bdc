"""Content negotiation, once for all services: what is offered against what a user agent accepts.

The accept query parameter goes before the Accept header field, which must be there in any case and cover it; within
each the most specific range gives an offer its weight (8.7.8.1). Between equal weights the order of the offer decides,
but a type that was asked for without Transfer Syntax means its default one (8.7.3.4), if that is offered. Which kinds
may stand together is checked for the parameter and the field apart, because the field of a browser always lists
rendered types, whatever the link that it follows asks for. All is decided before anything is done: a Selection, or a
NegotiationError with the Problem to answer. For a transaction that must not fail, because the answer comes after the
deed, `negotiate_leniently` always selects. Character sets are not negotiated: whatever is asked for, the steps of 8.8.5
end with UTF-8, the only one that is offered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from edged.dicomweb.media_types import TRANSFER_SYNTAX, Kind, default_transfer_syntax, kind_of, root_essence
from edged.http.accept import MediaRange, most_specific, parse_accept, parse_media_range
from edged.http.fields import split_quoted
from edged.http.media_type import MediaType
from edged.http.problem import Problem
from edged.http.query import Query

ACCEPT_PARAMETER: Final = "accept"

MAX_ASKED: Final = 16  # in a hyperlink; each is looked for among all ranges of the header field

_NO_QUERY: Final = Query()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a user agent accepts, as it was sent; None is absent."""

    accept: str | None = None
    accept_parameter: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The selected media type, one of those offered, and what the choice depended on."""

    media_type: MediaType
    vary: tuple[str, ...] = ("Accept",)


class NegotiationError(ValueError):
    """A request whose answer cannot be given in an acceptable form: 400 or 406."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def wishes_of(fields: Mapping[str, str], query: Query = _NO_QUERY, *, accept_name: str = ACCEPT_PARAMETER) -> Wishes:
    """Gather what a request says; `fields` by lower-case name. The URI service names the parameter "contentType".

    Source: PS3.18 8.3.3, 8.4.1, 9.1.2.2.1.
    """
    return Wishes(
        accept=fields.get("accept"),
        accept_parameter=",".join(query.values(accept_name)) if accept_name in query else None,
    )


def negotiate(wanted: Wishes, offered: Sequence[MediaType]) -> Selection:
    """Select how to answer; `offered` is not empty, the default first, and among Transfer Syntaxes the cheapest first.

    Raises NegotiationError: 406 without Accept or when nothing matches, 400 for an accept parameter that is not valid
    or not covered by Accept, and for DICOM and rendered types together. Source: PS3.18 8.3.3.1, 8.7.5, 8.7.8.
    """
    if wanted.accept is None:
        raise NegotiationError(_not_acceptable("A request for this resource has an Accept header field.", offered))
    header = parse_accept(wanted.accept)
    if wanted.accept_parameter is None:
        asked: tuple[MediaRange, ...] = ()
        _require_one_kind(header, offered)
    else:
        asked = _parse_parameter(wanted.accept_parameter, header)
        _require_one_kind(asked, offered)
    best = _best(asked, offered) or _best(header, offered)
    if best is None:
        raise NegotiationError(_not_acceptable("None of the acceptable media types is available.", offered))
    return Selection(media_type=best)


def negotiate_leniently(wanted: Wishes, offered: Sequence[MediaType]) -> Selection:
    """Select how to answer a store or commitment request: the default where `negotiate` would refuse.

    After the instances were taken a refusal would lose them: PS3.18 10.5.3 has no 406 for it.
    """
    try:
        return negotiate(wanted, offered)
    except NegotiationError:
        return Selection(media_type=offered[0])


def _parse_parameter(value: str, header: Sequence[MediaRange]) -> tuple[MediaRange, ...]:
    elements = [element for element in split_quoted(value, ",") if element]
    if not 0 < len(elements) <= MAX_ASKED:
        raise NegotiationError(_bad_request(f"The accept parameter lists media types, {MAX_ASKED} at most."))
    return tuple(_parameter_element(element, header) for element in elements)


def _parameter_element(element: str, header: Sequence[MediaRange]) -> MediaRange:
    found = parse_media_range(element)
    if found is None:
        raise NegotiationError(_bad_request("The accept parameter has a value that is not a media type."))
    if "*" in found.media_type.essence or "*" in (found.media_type.parameter("type") or ""):
        raise NegotiationError(_bad_request("The accept parameter takes no wildcards."))
    covering = most_specific(header, found.media_type)
    if covering is None or covering.weight == 0:
        raise NegotiationError(_bad_request("The Accept header field does not cover the accept parameter."))
    return found


def _require_one_kind(ranges: Sequence[MediaRange], offered: Sequence[MediaType]) -> None:
    kinds = {kind_of(each.media_type, offered) for each in ranges if each.weight > 0}
    if {Kind.DICOM, Kind.RENDERED} <= kinds:
        raise NegotiationError(_bad_request("DICOM and rendered media types cannot be accepted together."))


def _best(ranges: Sequence[MediaRange], offered: Sequence[MediaType]) -> MediaType | None:
    """The offer of the greatest weight; of one form, the Transfer Syntax that is meant."""
    decided = [
        (offer, decisive) for offer in offered if (decisive := most_specific(ranges, _explicit(offer))) is not None
    ]
    greatest = max((decisive.weight for _, decisive in decided), default=0.0)
    if greatest == 0:
        return None
    equals = [pair for pair in decided if pair[1].weight == greatest]
    form = _form(equals[0][0])
    meant = (offer for offer, by in equals if _form(offer) == form and _is_meant(by.media_type, offer))
    return next(meant, equals[0][0])


def _form(offer: MediaType) -> tuple[str, str]:
    return offer.essence, root_essence(offer)


def _explicit(offer: MediaType) -> MediaType:
    """A DICOM type that names no Transfer Syntax has the default one. Source: PS3.18 8.7.3."""
    if kind_of(offer) is not Kind.DICOM or TRANSFER_SYNTAX in offer.parameters:
        return offer
    parameters = {**offer.parameters, TRANSFER_SYNTAX: default_transfer_syntax(offer)}
    return MediaType(offer.type, offer.subtype, parameters)


def _is_meant(wanted: MediaType, offer: MediaType) -> bool:
    """Without a Transfer Syntax the default one is meant. Source: PS3.18 8.7.3.4, 8.7.8.2."""
    syntax = offer.parameter(TRANSFER_SYNTAX)
    return wanted.parameter(TRANSFER_SYNTAX) is not None or syntax in (None, default_transfer_syntax(offer))


def _bad_request(detail: str) -> Problem:
    return Problem(status=HTTPStatus.BAD_REQUEST, detail=detail)


def _not_acceptable(detail: str, offered: Sequence[MediaType]) -> Problem:
    """List what there is, as Table 8.5-1 wants it."""
    available = [str(each) for each in offered]
    return Problem(status=HTTPStatus.NOT_ACCEPTABLE, detail=detail, extra={"available": available})
