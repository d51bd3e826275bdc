"""What to do about a file that was not stored: one sentence for each reason and status that says enough."""

from http import HTTPStatus

from edged.dicom.reasons import (
    CANNOT_UNDERSTAND_RANGE,
    DOES_NOT_MATCH_RANGE,
    OUT_OF_RESOURCES_RANGE,
    FailureReason,
)
from edged.upstream.send_values import FileResult, Outcome, Stop

_OF_REASON = {
    FailureReason.DUPLICATE_SOP_INSTANCE: "the archive has another object under this UID: compare the two",
    FailureReason.ALREADY_EXISTS: "the archive has an object under this UID already: compare the two",
    FailureReason.BEING_CREATED: "another sender is storing it now: send it again later",
    FailureReason.RESOURCE_LIMITATION: "the archive has no room for it now: send it again later",
    FailureReason.PROCESSING_FAILURE: "the archive failed without saying why: its log says more",
    FailureReason.SOP_CLASS_NOT_SUPPORTED: "the archive does not take this kind of object",
    FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED: "the archive does not take this compression: transcode it",
    FailureReason.NOT_AUTHORIZED: "the credential may not store this: use another --token-file",
    FailureReason.STUDY_INSTANCE_UID_MISMATCH: "--to names another study: leave the study out of the URL",
}
_OF_RANGE = {
    OUT_OF_RESOURCES_RANGE: _OF_REASON[FailureReason.RESOURCE_LIMITATION],
    DOES_NOT_MATCH_RANGE: "the file's content does not fit its SOP Class: make it anew at its source",
    CANNOT_UNDERSTAND_RANGE: "the archive cannot read the file: make it anew at its source",
}
_OF_FILE = {
    FailureReason.NOT_A_DICOM_FILE: "name DICOM files, or a folder to pass over what is none",
    FailureReason.TRUNCATED: "the file is cut: copy it again from its source",
    FailureReason.PIXEL_DATA_MISSING: "the file is cut: copy it again from its source",
    FailureReason.REQUIRED_ATTRIBUTE_MISSING: "an instance needs it to be stored: make the file anew at its source",
    FailureReason.INVALID_UID: "an instance needs it to be stored: make the file anew at its source",
    FailureReason.CANNOT_UNDERSTAND: "the file is damaged: copy it again from its source",
}
_OF_STATUS = {
    HTTPStatus.UNAUTHORIZED: "give a token that is known there with --token-file",
    HTTPStatus.FORBIDDEN: "give a token that may store with --token-file",
    HTTPStatus.NOT_FOUND: "--to must be the Base URI of the service, to which /studies is appended",
    HTTPStatus.METHOD_NOT_ALLOWED: "--to must be the Base URI of the service, to which /studies is appended",
}


def advice(result: FileResult) -> str:
    """Return what to do about a file that was not stored; nothing where the text says it."""
    if result.outcome is Outcome.UNPROVEN:
        return "look for it in the archive, or send it again: the same instance twice does no harm"
    if result.reason is None:
        return "check the file and send it again" if result.outcome is Outcome.UNREADABLE else ""
    if result.outcome is Outcome.UNREADABLE:
        return _OF_FILE.get(FailureReason(result.reason), "")
    of_reason = next((text for reason, text in _OF_REASON.items() if reason == result.reason), "")
    return of_reason or next((text for codes, text in _OF_RANGE.items() if result.reason in codes), "")


def advice_on_stop(stop: Stop, url: str) -> str:
    """Return what to do so that the rest can be sent."""
    if not stop.answered:
        return f"is {url} right, and does the archive run?"
    known = next((text for status, text in _OF_STATUS.items() if status == stop.status), "")
    return known or stop.hint or "send the rest again later: what is stored already does no harm"
