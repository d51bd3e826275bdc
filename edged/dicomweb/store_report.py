"""The Store Instances Response: what became of each instance of a Store request.

As origin server: a StoreReport is collected instance by instance, then gives the status and the body
(PS3.18 10.5.3, Annex I). As user agent: `read_store_report` reads what archives really answer. There a
Failed SOP Sequence outweighs a Referenced SOP Sequence, a Warning Reason never makes a failure, and a
body that is not a Store Instances Response at all is None, so that nobody takes it for evidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from msgspec import Struct

from edged.dicom.reasons import FailureReason, WarningReason, is_lack_of_room
from edged.dicomweb.data_set import DataSet, DataSetError, items_of, text_of
from edged.dicomweb.dictionary import (
    FAILED_SOP_SEQUENCE,
    FAILURE_REASON,
    OTHER_FAILURES_SEQUENCE,
    REFERENCED_SOP_SEQUENCE,
    RETRIEVE_URL,
    WARNING_REASON,
)
from edged.dicomweb.reference import instance_uid_of, reason_of, reference
from edged.dicomweb.representation import read_data_sets

_SIGNS = (REFERENCED_SOP_SEQUENCE, FAILED_SOP_SEQUENCE, OTHER_FAILURES_SEQUENCE, RETRIEVE_URL)


class Stored(Struct, frozen=True):
    """An instance that is stored, perhaps with a warning."""

    sop_class_uid: str
    sop_instance_uid: str
    retrieve_url: str = ""
    warning: WarningReason | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance that is not stored."""

    sop_class_uid: str
    sop_instance_uid: str
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class Other:
    """A part of the request from which no instance could be told."""

    reason: FailureReason


class StoreReport(Struct, frozen=True):
    """The outcome of a Store request; `study_url` only if all that is stored shares a study."""

    stored: tuple[Stored, ...] = ()
    failed: tuple[Failed, ...] = ()
    other: tuple[Other, ...] = ()
    study_url: str = ""

    def status(self) -> HTTPStatus:
        """Return the status of the answer; a request with nothing in it is bad syntax.

        503 wants a Retry-After from the caller. Source: PS3.18 Table 10.5.3-1, 8.5.
        """
        reasons = [failure.reason for failure in self.failed] + [failure.reason for failure in self.other]
        if self.stored:
            flawless = not reasons and all(stored.warning is None for stored in self.stored)
            return HTTPStatus.OK if flawless else HTTPStatus.ACCEPTED
        if not reasons:
            return HTTPStatus.BAD_REQUEST
        return HTTPStatus.SERVICE_UNAVAILABLE if any(map(is_lack_of_room, reasons)) else HTTPStatus.CONFLICT

    def to_data_set(self) -> DataSet:
        """Return the Store Instances Response Module. Source: PS3.18 Table I.1-1."""
        data_set = RETRIEVE_URL.of(self.study_url)
        if self.failed:
            data_set |= FAILED_SOP_SEQUENCE.of(*map(_failed_item, self.failed))
        if self.stored:
            data_set |= REFERENCED_SOP_SEQUENCE.of(*map(_stored_item, self.stored))
        if self.other:
            data_set |= OTHER_FAILURES_SEQUENCE.of(*(FAILURE_REASON.of(other.reason) for other in self.other))
        return data_set


def _stored_item(stored: Stored) -> DataSet:
    item = reference(stored.sop_class_uid, stored.sop_instance_uid) | RETRIEVE_URL.of(stored.retrieve_url)
    return item if stored.warning is None else item | WARNING_REASON.of(stored.warning)


def _failed_item(failed: Failed) -> DataSet:
    return reference(failed.sop_class_uid, failed.sop_instance_uid) | FAILURE_REASON.of(failed.reason)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The archive says that it stored the instance; `warning` is its code, whatever it is."""

    warning: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """The archive says that it did not store the instance; a reason that cannot be read is None."""

    reason: int | None
    warning: int | None = None


@dataclass(frozen=True, slots=True)
class ReadReport:
    """An archive's Store Instances Response by SOP Instance UID."""

    outcomes: Mapping[str, Accepted | Refused]
    other_failures: tuple[int | None, ...]
    retrieve_url: str


def read_store_report(body: bytes, content_type: str | None) -> ReadReport | None:
    """Read an archive's answer; None if it is not a Store Instances Response. Never raises.

    Source: PS3.18 Annex I, and the wild.
    """
    try:
        data_sets = read_data_sets(body, content_type)
    except DataSetError:
        return None
    if not any(sign.tag in data_set for data_set in data_sets for sign in _SIGNS):
        return None
    outcomes: dict[str, Accepted | Refused] = {}
    other_failures: list[int | None] = []
    for item in _all_items(data_sets, REFERENCED_SOP_SEQUENCE.tag):
        if uid := instance_uid_of(item):
            outcomes[uid] = Accepted(reason_of(item, WARNING_REASON.tag))
    for item in _all_items(data_sets, FAILED_SOP_SEQUENCE.tag):
        refused = Refused(reason_of(item, FAILURE_REASON.tag), reason_of(item, WARNING_REASON.tag))
        if uid := instance_uid_of(item):
            outcomes[uid] = refused
        else:
            other_failures.append(refused.reason)
    others = _all_items(data_sets, OTHER_FAILURES_SEQUENCE.tag)
    other_failures += [reason_of(item, FAILURE_REASON.tag) for item in others]
    urls = [text_of(data_set, RETRIEVE_URL.tag) for data_set in data_sets]
    return ReadReport(outcomes, tuple(other_failures), next(filter(None, urls), ""))


def _all_items(data_sets: list[DataSet], tag: str) -> list[DataSet]:
    return [item for data_set in data_sets for item in items_of(data_set, tag)]
