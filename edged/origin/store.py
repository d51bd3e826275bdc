"""The Store transaction (PS3.18 10.5): instances stream from the request into the store.

Parts are read one after the other and admitted side by side, so that many small ones share a commit. The answer is
made when all are durable or refused. Room is asked for before the body: what is announced and does not fit now is
answered 503 before it is sent, what could never fit 413; once the first part is durable the rest of the request has its
room reserved (DICOM.md §3). `max_instance` bounds one instance: alone in its request it is answered 413 if its length
says so, else it fails by itself with 0110H, and the others of its request are stored.
"""

import logging
from collections import Counter
from contextlib import aclosing
from functools import lru_cache, partial
from http import HTTPStatus

import outcome
import trio

from edged.dicom.reasons import FailureReason, reason_text
from edged.dicomweb.representation import DICOM_JSON, OFFERED, write_data_set
from edged.dicomweb.store_report import Failed, Other, Stored, StoreReport
from edged.http.accept import choose
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
from edged.origin.exchange import Refusal, Reply, Request, refusal
from edged.services.filling import Filling
from edged.services.store_instance import Accepted, FrontDoor, Receiving, Refused, Source
from edged.store.errors import StoreFailed, StoreFull
from edged.store.space import Reservation
from edged.store.writer import ANSWER_WITHIN_S

log = logging.getLogger(__name__)

INTAKE = "stow"
ADMISSIONS = 128
"""Parts of one request that may wait for their commit; their bytes are bounded by the intake budget."""

PARTS_A_TURN = 16
"""Parts that are begun before others have their turn: small ones cost time, not bytes."""

UNKNOWN_LENGTH = 16 << 20
"""What a request without a length is taken to need, when it is told when to come again."""

_DICOM = "application/dicom"

Result = Accepted | Refused

_NO_ANSWER = Refused(FailureReason.OUT_OF_RESOURCES, "the store did not answer in time", passing=True)
"""What a part is told until there is an answer."""


class StoreTransaction:
    """POST /studies and POST /studies/{study}."""

    def __init__(self, door: FrontDoor, filling: Filling) -> None:
        self._door = door
        self._filling = filling

    async def __call__(self, request: Request) -> Reply:
        """Store the request's instances and answer with a Store Instances Response (PS3.18 10.5.3, Annex I)."""
        content_type = _content_type(request)
        self._require_possible(request, content_type)
        try:
            reservation = self._door.store.space.open(request.content_length or 0)
        except StoreFull:
            log.info("refused a store request before its body: the store is full")
            no_room = Refused(FailureReason.OUT_OF_RESOURCES, "there is no room now", passing=True)
            return self._reply(request, [no_room])
        try:
            outcomes = await self._store(request, content_type, reservation)
        finally:
            reservation.close()
        _tell(outcomes)
        return self._reply(request, outcomes)

    def _require_possible(self, request: Request, content_type: MediaType) -> None:
        """Refuse what is announced larger than it may ever be; raises Refusal (413)."""
        announced = request.content_length or 0
        most = self._door.store.space.soft_cap
        if content_type.essence == _DICOM and self._door.max_instance_bytes is not None:
            most = min(most, self._door.max_instance_bytes)
        if announced > most:
            detail = f"The request announces {announced} bytes; at most {most} can be taken at once."
            raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _reply(self, request: Request, outcomes: list[Result]) -> Reply:
        """Make the answer; a store never answers 406 (DICOM.md §3)."""
        stored = [each for each in outcomes if isinstance(each, Accepted)]
        report = _report(request.base_url, outcomes, stored)
        written = write_data_set(report.to_data_set(), choose(request.header("accept"), OFFERED) or DICOM_JSON)
        headers = [("content-type", written.content_type)]
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
        parts = Parts(self._door, Source(INTAKE, request.params.get("study")), reservation)
        try:
            if content_type.essence == _DICOM:
                await _read_single(request, parts)
            else:
                await _read_multipart(request, parts, boundary_of(content_type))
        finally:
            await parts.close()
        return parts.outcomes()


class Parts:
    """The instances of one request, in the order of its parts."""

    def __init__(self, door: FrontDoor, source: Source, reservation: Reservation) -> None:
        self._door = door
        self._source = source
        self._reservation = reservation
        self._admissions = 0
        self._admitted = trio.lowlevel.ParkingLot()
        self._outcomes: list[outcome.Outcome[Result]] = []
        self._current: Receiving | None = None

    async def begin(self, head: tuple[tuple[str, str], ...]) -> None:
        """Begin a part; one that is not DICOM by its own word is refused, one that says nothing is looked at."""
        if self._admissions >= ADMISSIONS:
            await self._wait_room()
        if self._outcomes and len(self._outcomes) % PARTS_A_TURN == 0:
            await trio.lowlevel.checkpoint()
        self._outcomes.append(outcome.Value(_NO_ANSWER))
        self._current = self._door.receive(self._source, self._reservation)
        declared = _declared_type(head)
        if declared not in {_DICOM, "application/octet-stream", ""}:
            text = f"a part of media type {declared[:80]} where application/dicom is stored"
            self._current.refuse(Refused(FailureReason.NOT_A_DICOM_FILE, text))

    async def data(self, data: memoryview | bytes) -> None:
        """Take bytes of the current part."""
        if self._current is not None:
            await self._current.feed(data)

    async def end(self, *, complete: bool) -> None:
        """End the current part; its admission goes on beside the next part."""
        receiving, self._current = self._current, None
        if receiving is None:
            return
        index = len(self._outcomes) - 1
        if complete:
            await self._hand_over(receiving, index)
        else:
            self._outcomes[index] = outcome.Value(receiving.cut())
            await receiving.close()

    async def _hand_over(self, receiving: Receiving, index: int) -> None:
        is_handed_over = False
        self._admissions += 1
        try:
            await receiving.hand_over(partial(self._answered, index))
            is_handed_over = True
        finally:
            if not is_handed_over:
                self._admissions -= 1
                await receiving.close()

    def broken(self, text: str) -> None:
        """Note a failure that belongs to no instance."""
        self._outcomes.append(outcome.Value(Refused(FailureReason.CANNOT_UNDERSTAND, text)))

    async def close(self) -> None:
        """Let go of a part that was left open by an exception, and bring to its end what was handed over."""
        if self._current is not None:
            await self._current.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_WITHIN_S):
            await self._wait_admitted(0)

    def outcomes(self) -> list[Result]:
        """What became of each part, once closed."""
        return [each.unwrap() for each in self._outcomes]

    def _answered(self, index: int, result: outcome.Outcome[Result]) -> None:
        self._outcomes[index] = result
        self._admissions -= 1
        self._admitted.unpark_all()

    async def _wait_room(self) -> None:
        with trio.move_on_after(ANSWER_WITHIN_S) as waiting:
            await self._wait_admitted(ADMISSIONS - 1)
        if waiting.cancelled_caught:
            raise StoreFailed("the store does not answer")

    async def _wait_admitted(self, most: int) -> None:
        """Wait until at most so many parts wait for their commit."""
        while self._admissions > most:
            await self._admitted.park()


@lru_cache(maxsize=64)
def _declared_type(head: tuple[tuple[str, str], ...]) -> str:
    """The media type that a part's head tells, DICOM when it tells none."""
    return dict(head).get("content-type", _DICOM).partition(";")[0].strip().lower()


async def _read_single(request: Request, parts: Parts) -> None:
    empty = True
    await parts.begin(())
    async with aclosing(request.body()) as pieces:
        async for piece in pieces:
            empty = False
            await parts.data(piece)
    if empty:
        raise _bad("The request has no body.")
    await parts.end(complete=True)


async def _read_multipart(request: Request, parts: Parts, boundary: bytes) -> None:
    parser = MultipartParser(boundary)
    seen = False
    try:
        async with aclosing(request.body()) as pieces:
            async for piece in pieces:
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
    if media_type.essence == _DICOM:
        return media_type
    root = (media_type.parameter("type") or "*/*").partition(";")[0].strip().lower()
    if media_type.essence != "multipart/related" or root not in {_DICOM, "*/*", "application/*"}:
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
    refused = Counter(each.reason for each in outcomes if isinstance(each, Refused))
    if refused:
        reasons = ", ".join(f"{count} with {reason_text(reason)}" for reason, count in refused.items())
        log.info("of %d instances in a store request %d were refused: %s", len(outcomes), refused.total(), reasons)


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
