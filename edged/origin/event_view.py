"""What a follower asks for in the query of its opening handshake: a view of the event log and where to begin.

Attributes are matched as a search does it (PS3.18 8.3.4): by keyword or tag, UIDs by lists of them. Only those that an
event has can be matched: there are no attributes of the patient among them.
"""

from http import HTTPStatus
from typing import Final

from edged.dicom.uids import is_uid
from edged.dicomweb.event_report import EventKind
from edged.dicomweb.negotiation import Wishes
from edged.dicomweb.parameters import MATCHED_OF_EVENTS
from edged.dicomweb.representation import DICOM_JSON, DICOM_XML, JSON
from edged.http.media_type import MediaType
from edged.http.query import Query, QueryError
from edged.origin.exchange import Refusal, Request, refusal
from edged.origin.forms import chosen, chosen_leniently
from edged.services.event_reports import DICOM, Place, View, Wanted

OFFERED: Final = (DICOM_JSON, DICOM_XML, JSON, DICOM)
AFTER, KINDS, GRANULARITY, DESTINATION = "after", "kinds", "granularity", "destination"
ACKNOWLEDGE = "acknowledge"

_ANYTHING: Final = frozenset({"", "*/*"})
_FIELDS: Final = ("study_instance_uid", "series_instance_uid", "sop_instance_uid", "sop_class_uid", "transaction_uid")
"""Of an event: those that hold MATCHED_OF_EVENTS."""

_EACH: Final = {"study": False, "instance": True}
_ACKNOWLEDGES: Final = {"": None, "yes": True, "no": False}
_LARGEST: Final = 1 << 63


def view_of(request: Request, ae_title: str) -> View:
    """Return what a follower wants to be told; raises Refusal (400, 406).

    A parameter that is not known is refused, as no answer could carry a Warning of it: without it more is told.
    """
    if request.ignored:
        detail = f"There is no parameter {', '.join(request.ignored)} of a notification connection."
        raise refusal(HTTPStatus.BAD_REQUEST, detail)
    media_type = _negotiated(request)
    try:
        each = _one_of(request.query, GRANULARITY, _EACH)
        wanted = Wanted(_kinds(request.query), tuple(_having(request.query)))
    except QueryError as error:
        raise _malformed(error) from error
    return View(Place(ae_title, request.base_url), media_type, each, wanted)


def after_of(request: Request) -> int | None:
    """Return the number of the event to begin after, None where none is named; raises Refusal (400)."""
    try:
        said = request.query.single(AFTER)
    except QueryError as error:
        raise _malformed(error) from error
    if said is None:
        return None
    if not (said.isascii() and said.isdigit() and len(said) < 20 and int(said) < _LARGEST):
        raise refusal(HTTPStatus.BAD_REQUEST, f"{AFTER} is the number of an event, 0 for all that are kept.")
    return int(said)


def acknowledges_of(request: Request) -> bool | None:
    """Return whether a requester says that it acknowledges, None where it does not say; raises Refusal (400)."""
    try:
        return _ACKNOWLEDGES[request.query.single(ACKNOWLEDGE) or ""]
    except KeyError:
        raise refusal(HTTPStatus.BAD_REQUEST, f"{ACKNOWLEDGE} is yes or no.") from None
    except QueryError as error:
        raise _malformed(error) from error


def _negotiated(request: Request) -> MediaType:
    """Return the form of the reports.

    By Accept and the accept parameter; by that alone, since browsers cannot send Accept with a handshake; without
    either, or with an Accept of anything, by Content-Type (PS3.18 Table 8.10.4-1), else JSON (CP-1871 8.10.4.2).
    """
    wishes = request.wishes
    if wishes.accept is not None and wishes.accept.strip() not in _ANYTHING:
        return chosen(wishes, OFFERED)
    if wishes.accept_parameter is not None:
        return chosen(Wishes(accept=wishes.accept_parameter), OFFERED)
    return chosen_leniently(Wishes(accept=request.header("content-type")), OFFERED)


def _kinds(query: Query) -> frozenset[EventKind]:
    known = set(EventKind) - {EventKind.GAP, EventKind.COMMITMENT_RESULT_GONE}
    unknown = sorted(set(query.values(KINDS)) - known)
    if unknown:
        raise QueryError(f"{KINDS} are among {', '.join(sorted(known))}")
    return frozenset(EventKind(each) for each in query.values(KINDS))


def _having(query: Query) -> list[tuple[str, frozenset[str]]]:
    found: list[tuple[str, frozenset[str]]] = []
    for each, name in zip(MATCHED_OF_EVENTS, _FIELDS, strict=True):
        values = [uid for said in (each.keyword, each.tag) for value in query.values(said) for uid in value.split("\\")]
        if not all(is_uid(value) for value in values):
            raise QueryError(f"{each.keyword} takes UIDs")
        if values:
            found.append((name, frozenset(values)))
    if subjects := query.values(DESTINATION):
        found.append(("destination", frozenset(subjects)))
    return found


def _one_of(query: Query, name: str, values: dict[str, bool]) -> bool:
    said = query.single(name) or next(iter(values))
    if said not in values:
        raise QueryError(f"{name} is one of {', '.join(values)}")
    return values[said]


def _malformed(error: QueryError) -> Refusal:
    return refusal(HTTPStatus.BAD_REQUEST, f"The query cannot be read: {error}.")
