"""The storage commitment transactions: Request and Result Check (PS3.18 13.4, 13.5).

The form of the answer is chosen before anything is done: for a check 406 says that there is none, a request gets the
default form then, because what it asks for has been taken. An error of the store is the application's to answer.
What is large is read and written in a worker thread, one request's after another's, with room held for its text.
A result never changes: it is the representation of its resource, with an entity tag, whichever method asks for it.
"""

import hashlib
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

from edged.dicom.reasons import FailureReason
from edged.dicom.uids import is_uid
from edged.dicomweb.commitment_report import (
    CommitmentForm,
    CommitmentRequest,
    CommitmentSyntaxError,
    Reference,
    commitment_response,
    parse_commitment_request,
)
from edged.dicomweb.dictionary import REFERENCED_SOP_INSTANCE_UID
from edged.dicomweb.representation import OFFERED, Representation, write_data_set
from edged.dicomweb.routing import url_of
from edged.http.media_type import MediaType
from edged.origin.bodies import read_whole
from edged.origin.exchange import Refusal, Reply, Request, refusal
from edged.origin.forms import VARY, chosen, chosen_leniently
from edged.origin.room import LARGE, SMALL_BYTES
from edged.services.commitment import CommitmentService, DuplicateTransactionError
from edged.store.commitments import COMMITTED
from edged.store.records import CommitmentRequest as StoredRequest
from edged.store.records import Reference as StoredReference

RESOURCE = "/commitment-requests/{transactionUID}"
MAX_REQUEST_BYTES = 8 << 20
MAX_REFERENCES = 20_000
TAKEN = frozenset(
    {
        "application/dicom+json",
        "application/dicom+xml",
        "application/json",
        "application/xml",
        "text/xml",
        "multipart/related",
    }
)
_REFERENCE_MARKS = tuple(f"{quote}{REFERENCED_SOP_INSTANCE_UID.tag}{quote}".encode() for quote in "\"'")
"""What each reference of a request has once, in JSON and XML."""


class RequestCommitment:
    """POST /commitment-requests/{transactionUID}; never answers 406, because the request was taken."""

    def __init__(self, service: CommitmentService) -> None:
        self._service = service

    async def __call__(self, request: Request) -> Reply:
        """Take the request; 200 with the result if it can be given at once, else 202."""
        transaction_uid = request.params["transactionUID"]
        if not is_uid(transaction_uid):
            raise refusal(HTTPStatus.BAD_REQUEST, "The Transaction UID is not a UID.")
        _require_taken(request.header("content-type"))
        media_type = chosen_leniently(request.wishes, OFFERED)
        taken = await self._take(request, transaction_uid)
        return await _reply(self._service, request, taken, media_type=media_type)

    async def _take(self, request: Request, transaction_uid: str) -> StoredRequest:
        body = await read_whole(request, MAX_REQUEST_BYTES)
        async with request.memory.alone(large=len(body) > SMALL_BYTES) as do:
            wanted, form, digest = await do(partial(_read, body, request.header("content-type")))
            study_form = form is CommitmentForm.STUDY
            try:
                return await self._service.request(transaction_uid, wanted, study_form=study_form, digest=digest)
            except DuplicateTransactionError as error:
                raise refusal(HTTPStatus.CONFLICT, "This Transaction UID is in use.") from error
            finally:
                request.memory.coming.keep(0)


class CheckCommitment:
    """GET /commitment-requests/{transactionUID}."""

    def __init__(self, service: CommitmentService) -> None:
        self._service = service

    async def __call__(self, request: Request) -> Reply:
        """Answer with the result, or with 202 while there is none."""
        media_type = chosen(request.wishes, OFFERED)
        found = await self._service.find(request.params["transactionUID"])
        if found is None:
            raise refusal(HTTPStatus.NOT_FOUND, "No request was made with this Transaction UID.")
        if found.purged:
            raise _no_longer_kept()
        return await _reply(self._service, request, found, media_type=media_type)


def _require_taken(content_type: str | None) -> None:
    """Refuse what only a form or a script of a web page would send; what has no type is told by its content."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() not in TAKEN:
        detail = "A Storage Commitment Request is DICOM JSON or the Native DICOM Model: application/dicom+json or +xml."
        raise refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


def _read(body: bytes, content_type: str | None) -> tuple[tuple[StoredReference, ...], CommitmentForm, bytes]:
    """Return what a body asks for, in which form, and its digest; raises Refusal (400, 413)."""
    if sum(map(body.count, _REFERENCE_MARKS)) > MAX_REFERENCES:
        raise _too_many()
    try:
        wanted = parse_commitment_request(body, content_type)
    except CommitmentSyntaxError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, f"Not a Storage Commitment Request: {error}.") from error
    if len(wanted.references) > MAX_REFERENCES:
        raise _too_many()
    digest = hashlib.blake2b(body, digest_size=32).digest()
    return tuple(map(_stored, wanted.references)), wanted.form, digest


def _too_many() -> Refusal:
    return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request may name {MAX_REFERENCES} instances.")


def _no_longer_kept() -> Refusal:
    return refusal(HTTPStatus.GONE, "The result of this request is no longer kept. Ask again with a new UID.")


def _stored(reference: Reference) -> StoredReference:
    return StoredReference(
        sop_class_uid=reference.sop_class_uid,
        sop_instance_uid=reference.sop_instance_uid,
        study_instance_uid=reference.study or "",
        series_instance_uid=reference.series or "",
    )


async def _reply(service: CommitmentService, request: Request, asked: StoredRequest, *, media_type: MediaType) -> Reply:
    """Answer with the result of a request if it stands, written with room held for it; raises Refusal (410), NoRoom."""
    if not asked.answered:
        return Reply(HTTPStatus.ACCEPTED, (("retry-after", str(service.look_again_s(asked))),))
    location = url_of(request.base_url, RESOURCE, **request.params)
    async with request.memory.alone(large=asked.count > LARGE) as do:
        references = await service.references(asked)
        if len(references) < asked.count:
            raise _no_longer_kept()
        written = await do(partial(_written, asked, references, media_type, location=location))
        await request.memory.going.hold(len(written.body))
    return Reply(HTTPStatus.OK, (*written.fields, VARY), written.body)


def _written(
    asked: StoredRequest, stored: Sequence[StoredReference], media_type: MediaType, *, location: str
) -> Representation:
    form = CommitmentForm.STUDY if asked.study_form else CommitmentForm.SOP
    references = tuple(
        Reference(
            each.study_instance_uid or None,
            each.series_instance_uid or None,
            each.sop_class_uid,
            each.sop_instance_uid,
        )
        for each in stored
    )
    failed = {
        each.sop_instance_uid: FailureReason(each.reason)
        for each in stored
        if each.reason is not None and each.reason != COMMITTED
    }
    response = commitment_response(CommitmentRequest(form, references), failed)
    return write_data_set(response, media_type, location=location)
