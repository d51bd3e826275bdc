"""The Store transaction (PS3.18 10.5): instances stream from the request into the store.

The answer is made when all parts are durable or refused; of a body that breaks off, or cannot be decoded any further,
what was durable by then is answered as ever. Room is asked for before the body: what is announced and does not fit now
is answered 503 before it is sent, what could never fit 413; once the first part is durable the rest of the request has
its room reserved (DICOM.md §3). `max_instance` bounds one instance: alone in its request it is answered 413 if its
length says so, else it fails by itself with 0110H, and the others of its request are stored.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus

from edged.dicom.reasons import FailureReason, reason_text
from edged.dicomweb.representation import OFFERED, write_data_set
from edged.dicomweb.store_report import Failed, Other, Stored, StoreReport
from edged.http.content_coding import ContentCodingError
from edged.http.media_type import MediaType, MediaTypeError, parse_media_type
from edged.http.multipart import (
    Event,
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)
from edged.origin.bodies import coding_refusal, pieces_of
from edged.origin.exchange import Refusal, Reply, Request, refusal
from edged.origin.forms import VARY, chosen_leniently
from edged.origin.parts import DICOM, Parts, Result
from edged.origin.provenance import client_of
from edged.origin.room import LARGE
from edged.services.filling import Filling
from edged.services.routing import Source
from edged.services.store_instance import Accepted, FrontDoor, Refused
from edged.store.errors import StoreFull
from edged.store.space import Reservation

log = logging.getLogger(__name__)

INTAKE = "stow"
UNKNOWN_LENGTH = 16 << 20
"""What a request without a length is taken to need, when it is told when to come again."""


class StoreTransaction:
    """POST /studies and POST /studies/{study}."""

    def __init__(self, door: FrontDoor, filling: Filling, *, audit_patient: bool = False) -> None:
        self._door = door
        self._filling = filling
        self._audit_patient = audit_patient

    async def __call__(self, request: Request) -> Reply:
        """Store the request's instances and answer with a Store Instances Response (PS3.18 10.5.3, Annex I)."""
        content_type = _content_type(request)
        self._require_possible(request, content_type)
        try:
            reservation = self._door.store.space.open(request.content_length or 0)
        except StoreFull:
            log.info("refused a store request before its body: the store is full")
            no_room = Refused(FailureReason.OUT_OF_RESOURCES, "there is no room now", passing=True)
            return await self._reply(request, [no_room])
        try:
            outcomes = await self._store(request, content_type, reservation)
        finally:
            reservation.close()
        _tell(outcomes)
        return await self._reply(request, outcomes)

    def _require_possible(self, request: Request, content_type: MediaType) -> None:
        """Refuse what is announced larger than it may ever be; raises Refusal (413)."""
        announced = request.content_length or 0
        most = self._most_bytes(content_type)
        if announced > most:
            detail = f"The request announces {announced} bytes; at most {most} can be taken at once."
            raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _most_bytes(self, content_type: MediaType) -> int:
        most = self._door.store.space.soft_cap
        if content_type.essence == DICOM and self._door.max_instance_bytes is not None:
            most = min(most, self._door.max_instance_bytes)
        return most

    async def _reply(self, request: Request, outcomes: list[Result]) -> Reply:
        """Make the answer; a store never answers 406 (DICOM.md §3)."""
        stored = [each for each in outcomes if isinstance(each, Accepted)]
        media_type = chosen_leniently(request.wishes, OFFERED)
        async with request.memory.alone(large=len(outcomes) > LARGE) as do:
            report = _report(request.base_url, outcomes, stored)
            written = await do(lambda: write_data_set(report.to_data_set(), media_type))
            await request.memory.going.hold(request.held_bytes(written.body))
        headers = [*written.fields, VARY]
        status = report.status()
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            seconds = self._filling.retry_after_s(request.content_length or UNKNOWN_LENGTH)
            headers.append(("retry-after", str(seconds)))
        if any(each.addressed and not each.again for each in stored):
            location = _location(request.base_url, stored)
            headers += [("content-location", location), ("location", location)]
        return Reply(status, tuple(headers), written.body)

    async def _store(self, request: Request, content_type: MediaType, reservation: Reservation) -> list[Result]:
        """Read the body; what was begun is brought to its end even if the request cannot be."""
        body = pieces_of(request, self._most_bytes(content_type))
        address = client_of(request, request.said)
        source = Source(INTAKE, request.params.get("study"), sender=request.requester.name, address=address)
        parts = Parts(self._door, source, reservation)
        undecoded = None
        try:
            async with aclosing(body):
                await _read(body, content_type, parts)
        except ContentCodingError as error:
            undecoded = error
            await parts.end(complete=False)
            parts.broken(str(error))
        finally:
            await parts.close()
            request.outcomes = parts.audited(with_patients=self._audit_patient)
        outcomes = parts.outcomes()
        if undecoded is not None and not any(isinstance(each, Accepted) for each in outcomes):
            raise coding_refusal(undecoded)
        return outcomes


async def _read(body: AsyncGenerator[bytes, None], content_type: MediaType, parts: Parts) -> None:
    if content_type.essence == DICOM:
        await _read_single(body, parts)
    else:
        await _read_multipart(body, parts, boundary_of(content_type))


async def _read_single(body: AsyncGenerator[bytes, None], parts: Parts) -> None:
    empty = True
    await parts.begin(())
    async for piece in body:
        empty = False
        await parts.data(piece)
    if empty:
        raise _bad("The request has no body.")
    await parts.end(complete=True)


async def _read_multipart(body: AsyncGenerator[bytes, None], parts: Parts, boundary: bytes) -> None:
    parser = MultipartParser(boundary)
    seen = False
    try:
        async for piece in body:
            for event in parser.feed(piece):
                seen = True
                await _take(event, parts)
        for event in parser.finish():
            seen = True
            await _take(event, parts)
    except MultipartError as error:
        if not seen:
            raise _bad(f"The body is not what its Content-Type says: {error}.") from error
        await parts.end(complete=False)
        parts.broken(str(error))
    else:
        if not seen:
            raise _bad("The request holds no instance: no part stands between its boundary delimiters.")


async def _take(event: Event, parts: Parts) -> None:
    match event:
        case PartBegin(headers):
            await parts.begin(headers)
        case PartData(data):
            await parts.data(data)
        case PartEnd(complete):
            await parts.end(complete=complete)


def _content_type(request: Request) -> MediaType:
    """Return the request's media type if instances can be stored from it; raises Refusal (400, 415)."""
    value = request.header("content-type")
    if value is None:
        raise _unsupported("The request has no Content-Type.")
    try:
        media_type = parse_media_type(value)
    except MediaTypeError as error:
        raise _bad(f"The Content-Type cannot be read: {error}.") from error
    if media_type.essence == DICOM:
        return media_type
    root = (media_type.parameter("type") or "*/*").partition(";")[0].strip().lower()
    if media_type.essence != "multipart/related" or root not in {DICOM, "*/*", "application/*"}:
        raise _unsupported(f"Instances are not stored from {str(media_type)[:120]}.")
    try:
        boundary_of(media_type)
    except MultipartError as error:
        raise _bad(f"The Content-Type is not complete: {error}.") from error
    return media_type


def _bad(detail: str) -> Refusal:
    return refusal(HTTPStatus.BAD_REQUEST, detail)


def _unsupported(detail: str) -> Refusal:
    remedy = 'Send multipart/related; type="application/dicom"; boundary=… with one PS3.10 file a part.'
    return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"{detail} {remedy}")


def _tell(outcomes: list[Result]) -> None:
    """Log why instances were refused: the codes, nothing of the instances."""
    refused = [each.reason for each in outcomes if isinstance(each, Refused)]
    if refused:
        reasons = ", ".join(f"{count} with {reason_text(reason)}" for reason, count in Counter(refused).items())
        log.info("of %d instances in a store request %d were refused: %s", len(outcomes), len(refused), reasons)


def _report(base_url: str, outcomes: list[Result], stored: list[Accepted]) -> StoreReport:
    studies = {each.study_instance_uid for each in stored if each.addressed}
    return StoreReport(
        stored=tuple(
            Stored(each.sop_class_uid, each.sop_instance_uid, _instance_url(base_url, each)) for each in stored
        ),
        failed=tuple(
            Failed(each.sop_class_uid or "", each.sop_instance_uid, each.reason)
            for each in outcomes
            if isinstance(each, Refused) and each.sop_instance_uid
        ),
        other=tuple(Other(each.reason) for each in outcomes if isinstance(each, Refused) and not each.sop_instance_uid),
        study_url=f"{base_url}/studies/{studies.pop()}" if len(studies) == 1 else "",
    )


def _location(base_url: str, stored: list[Accepted]) -> str:
    studies = {each.study_instance_uid for each in stored}
    return f"{base_url}/studies/{studies.pop()}" if len(studies) == 1 else f"{base_url}/studies"


def _instance_url(base_url: str, each: Accepted) -> str:
    if not each.addressed:
        return ""
    place = f"{each.study_instance_uid}/series/{each.series_instance_uid}/instances/{each.sop_instance_uid}"
    return f"{base_url}/studies/{place}"
