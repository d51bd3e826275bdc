"""The storage commitment transactions: Request and Result Check (PS3.18 13.4, 13.5).

The form of the answer is chosen before anything is done: for a check 406 says that there is none, a request gets the
default form then, because what it asks for has been taken. An error of the store is the application's to answer.
"""

import hashlib
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
from edged.dicomweb.representation import OFFERED, write_data_set
from edged.http.media_type import MediaType
from edged.origin.bodies import read_whole
from edged.origin.exchange import Reply, Request, refusal
from edged.origin.forms import VARY, chosen, chosen_leniently
from edged.services.commitment import CommitmentService, DuplicateTransactionError, Result
from edged.store.commitments import COMMITTED
from edged.store.records import Reference as StoredReference

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
LOOK_AGAIN_S = 10
"""Retry-After of a 202: an uplink rarely proves anything faster."""


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
        body = await read_whole(request, MAX_REQUEST_BYTES)
        wanted = _parse(body, request.header("content-type"))
        try:
            result = await self._service.request(
                transaction_uid,
                tuple(_stored(each) for each in wanted.references),
                study_form=wanted.form is CommitmentForm.STUDY,
                digest=hashlib.blake2b(body, digest_size=32).digest(),
            )
        except DuplicateTransactionError as error:
            raise refusal(HTTPStatus.CONFLICT, "This Transaction UID is in use.") from error
        return _reply(result, media_type)


class CheckCommitment:
    """GET /commitment-requests/{transactionUID}."""

    def __init__(self, service: CommitmentService) -> None:
        self._service = service

    async def __call__(self, request: Request) -> Reply:
        """Answer with the result, or with 202 while there is none."""
        media_type = chosen(request.wishes, OFFERED)
        result = await self._service.result(request.params["transactionUID"])
        if result is None:
            raise refusal(HTTPStatus.NOT_FOUND, "No request was made with this Transaction UID.")
        if result.request.purged:
            raise refusal(HTTPStatus.GONE, "The result of this request is no longer kept. Ask again with a new UID.")
        return _reply(result, media_type)


def _require_taken(content_type: str | None) -> None:
    """Refuse what only a form or a script of a web page would send; what has no type is told by its content."""
    if content_type is not None and content_type.partition(";")[0].strip().lower() not in TAKEN:
        detail = "A Storage Commitment Request is DICOM JSON or the Native DICOM Model: application/dicom+json or +xml."
        raise refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)


def _parse(body: bytes, content_type: str | None) -> CommitmentRequest:
    try:
        wanted = parse_commitment_request(body, content_type)
    except CommitmentSyntaxError as error:
        raise refusal(HTTPStatus.BAD_REQUEST, f"Not a Storage Commitment Request: {error}.") from error
    if len(wanted.references) > MAX_REFERENCES:
        detail = f"A request may name {MAX_REFERENCES} instances; this one names {len(wanted.references)}."
        raise refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)
    return wanted


def _stored(reference: Reference) -> StoredReference:
    return StoredReference(
        sop_class_uid=reference.sop_class_uid,
        sop_instance_uid=reference.sop_instance_uid,
        study_instance_uid=reference.study or "",
        series_instance_uid=reference.series or "",
    )


def _reply(result: Result, media_type: MediaType) -> Reply:
    if not result.answered:
        return Reply(HTTPStatus.ACCEPTED, (("retry-after", str(LOOK_AGAIN_S)),))
    form = CommitmentForm.STUDY if result.request.study_form else CommitmentForm.SOP
    references = tuple(
        Reference(
            each.study_instance_uid or None,
            each.series_instance_uid or None,
            each.sop_class_uid,
            each.sop_instance_uid,
        )
        for each in result.references
    )
    failed = {
        each.sop_instance_uid: FailureReason(each.reason)
        for each in result.references
        if each.reason is not None and each.reason != COMMITTED
    }
    written = write_data_set(commitment_response(CommitmentRequest(form, references), failed), media_type)
    return Reply(HTTPStatus.OK, (("content-type", written.content_type), VARY), written.body)
