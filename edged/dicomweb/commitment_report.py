"""Storage Commitment requests and responses, in the SOP form and in the Study form.

The SOP form lists instances in a Referenced SOP Sequence, the Study form nests them by study, series
and SOP Class; a response uses the form of its request and leaves empty lists out (PS3.18 Annex J). As
origin server, requests are read strictly: a reference that cannot be read, or that stands twice, is an
error, because a commitment must not be guessed. As user agent, responses are read leniently.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import groupby
from typing import Final

from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet, DataSetError, items_of, text_of
from edged.dicomweb.dictionary import (
    FAILED_SOP_SEQUENCE,
    FAILED_STUDY_SEQUENCE,
    FAILURE_REASON,
    REFERENCED_INSTANCE_SEQUENCE,
    REFERENCED_INSTANCES_BY_SOP_CLASS_SEQUENCE,
    REFERENCED_SERIES_SEQUENCE,
    REFERENCED_SOP_CLASS_UID,
    REFERENCED_SOP_INSTANCE_UID,
    REFERENCED_SOP_SEQUENCE,
    REFERENCED_STUDY_SEQUENCE,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Element,
)
from edged.dicomweb.reference import class_uid_of, instance_uid_of, reason_of, reference
from edged.dicomweb.representation import read_data_sets

_UID: Final = re.compile(r"[0-9.]{1,64}")  # its characters only: ill-formed UIDs are in use (PS3.5 9.1)

_NESTING: Final = (
    REFERENCED_STUDY_SEQUENCE,
    REFERENCED_SERIES_SEQUENCE,
    REFERENCED_INSTANCES_BY_SOP_CLASS_SEQUENCE,
    REFERENCED_INSTANCE_SEQUENCE,
)
_SIGNS: Final = (
    REFERENCED_SOP_SEQUENCE,
    FAILED_SOP_SEQUENCE,
    REFERENCED_STUDY_SEQUENCE,
    FAILED_STUDY_SEQUENCE,
)


class CommitmentSyntaxError(ValueError):
    """A Storage Commitment Request Module that cannot be understood without doubt."""


class CommitmentForm(Enum):
    """How a request lists its instances, and so how its response does."""

    SOP = auto()
    STUDY = auto()


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that a request refers to; study and series are known in the Study form only."""

    study: str | None
    series: str | None
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """What a request asks for; no instance stands in it twice."""

    form: CommitmentForm
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class CommitmentResult:
    """What an archive committed to, and what not with which reason: pairs of SOP Class and SOP Instance UID.

    A pair is in at most one; of a class that was not named the UID is empty.
    """

    committed: frozenset[tuple[str, str]]
    failed: Mapping[tuple[str, str], int | None]


def parse_commitment_request(body: bytes, content_type: str | None) -> CommitmentRequest:
    """Read a request body. Raises CommitmentSyntaxError. Source: PS3.18 13.4.1.4, Table J.1-1."""
    try:
        data_sets = read_data_sets(body, content_type)
    except DataSetError as error:
        raise CommitmentSyntaxError(f"the payload cannot be read: {error}") from error
    if any(_is_hollow(data_set, _NESTING) for data_set in data_sets):
        raise CommitmentSyntaxError("a Referenced Study Sequence does not go down to instances")
    flat = [wanted for data_set in data_sets for wanted in _sop_references(data_set)]
    nested = [wanted for data_set in data_sets for wanted, _ in _study_references(data_set)]
    if flat and nested:
        raise CommitmentSyntaxError("Referenced SOP Sequence and Referenced Study Sequence are both present")
    references = tuple(flat or nested)
    _require_sound(references)
    return CommitmentRequest(CommitmentForm.SOP if flat else CommitmentForm.STUDY, references)


def commitment_request(references: Iterable[tuple[str, str]]) -> DataSet:
    """Return a request in the SOP form for pairs of SOP Class and SOP Instance UID. Source: PS3.18 J.1."""
    return REFERENCED_SOP_SEQUENCE.of(*(reference(*pair) for pair in references))


def commitment_request_by_study(references: Iterable[Reference]) -> DataSet:
    """Return a request in the Study form for references that name study and series. Source: PS3.18 J.1."""
    return REFERENCED_STUDY_SEQUENCE.of(*_study_items(references, {}))


def commitment_response(request: CommitmentRequest, failed: Mapping[str, FailureReason]) -> DataSet:
    """Return the response in the request's form; what is not in `failed` is committed.

    `failed` is keyed by SOP Instance UID. Source: PS3.18 Table J.2-1.
    """
    kept = [wanted for wanted in request.references if wanted.sop_instance_uid not in failed]
    lost = [wanted for wanted in request.references if wanted.sop_instance_uid in failed]
    if request.form is CommitmentForm.SOP:
        lists = {REFERENCED_SOP_SEQUENCE: _sop_items(kept, {}), FAILED_SOP_SEQUENCE: _sop_items(lost, failed)}
    else:
        lists = {
            REFERENCED_STUDY_SEQUENCE: _study_items(kept, {}),
            FAILED_STUDY_SEQUENCE: _study_items(lost, failed),
        }
    response: DataSet = {}
    for sequence, items in lists.items():
        if items:
            response |= sequence.of(*items)
    return response


def read_commitment_result(body: bytes, content_type: str | None) -> CommitmentResult | None:
    """Read an archive's response of either form; None if it is not one. Never raises.

    An instance in both lists has failed. Source: PS3.18 Table J.2-1.
    """
    try:
        data_sets = read_data_sets(body, content_type)
    except DataSetError:
        return None
    if not any(sign.tag in data_set for data_set in data_sets for sign in _SIGNS):
        return None
    committed: set[tuple[str, str]] = set()
    failed: dict[tuple[str, str], int | None] = {}
    for data_set in data_sets:
        committed.update(_pair(kept) for kept in _sop_references(data_set))
        committed.update(_pair(kept) for kept, _ in _study_references(data_set))
        for item in items_of(data_set, FAILED_SOP_SEQUENCE.tag):
            failed[class_uid_of(item), instance_uid_of(item)] = reason_of(item, FAILURE_REASON.tag)
        for lost, item in _study_references(data_set, FAILED_STUDY_SEQUENCE.tag):
            failed[_pair(lost)] = reason_of(item, FAILURE_REASON.tag)
    named = {pair: reason for pair, reason in failed.items() if pair[1]}
    return CommitmentResult(frozenset(pair for pair in committed if pair[1] and pair not in named), named)


def _pair(reference: Reference) -> tuple[str, str]:
    return reference.sop_class_uid, reference.sop_instance_uid


def _sop_references(data_set: DataSet) -> Iterator[Reference]:
    for item in items_of(data_set, REFERENCED_SOP_SEQUENCE.tag):
        yield Reference(None, None, class_uid_of(item), instance_uid_of(item))


def _study_references(
    data_set: DataSet, tag: str = REFERENCED_STUDY_SEQUENCE.tag
) -> Iterator[tuple[Reference, DataSet]]:
    """Walk the Study form; yields each reference with its innermost item."""
    for study in items_of(data_set, tag):
        for series in items_of(study, REFERENCED_SERIES_SEQUENCE.tag):
            for by_class in items_of(series, REFERENCED_INSTANCES_BY_SOP_CLASS_SEQUENCE.tag):
                for item in items_of(by_class, REFERENCED_INSTANCE_SEQUENCE.tag):
                    found = Reference(
                        text_of(study, STUDY_INSTANCE_UID.tag),
                        text_of(series, SERIES_INSTANCE_UID.tag),
                        class_uid_of(by_class),
                        instance_uid_of(item),
                    )
                    yield found, item


def _is_hollow(data_set: DataSet, nesting: Sequence[Element]) -> bool:
    """Tell whether an item of the nested sequences has nothing below it."""
    items = items_of(data_set, nesting[0].tag)
    deeper = nesting[1:]
    return any(not items_of(item, deeper[0].tag) or _is_hollow(item, deeper) for item in items if deeper)


def _require_sound(references: tuple[Reference, ...]) -> None:
    if not references:
        raise CommitmentSyntaxError("the request refers to no instance")
    seen: set[str] = set()
    for wanted in references:
        uids = (wanted.study, wanted.series, wanted.sop_class_uid, wanted.sop_instance_uid)
        if not all(uid is None or _UID.fullmatch(uid) for uid in uids):
            raise CommitmentSyntaxError("a reference lacks a UID, or holds one with illegal characters")
        if wanted.sop_instance_uid in seen:
            raise CommitmentSyntaxError(f"instance {wanted.sop_instance_uid} is referred to twice")
        seen.add(wanted.sop_instance_uid)


def _sop_items(references: Iterable[Reference], failed: Mapping[str, FailureReason]) -> list[DataSet]:
    return [reference(wanted.sop_class_uid, wanted.sop_instance_uid) | _reason(wanted, failed) for wanted in references]


def _study_items(references: Iterable[Reference], failed: Mapping[str, FailureReason]) -> list[DataSet]:
    ordered = sorted(references, key=lambda wanted: (wanted.study, wanted.series, wanted.sop_class_uid))
    return [
        STUDY_INSTANCE_UID.of(study) | REFERENCED_SERIES_SEQUENCE.of(*_series_items(members, failed))
        for study, members in groupby(ordered, key=lambda wanted: wanted.study)
    ]


def _series_items(references: Iterable[Reference], failed: Mapping[str, FailureReason]) -> list[DataSet]:
    return [
        SERIES_INSTANCE_UID.of(series) | REFERENCED_INSTANCES_BY_SOP_CLASS_SEQUENCE.of(*_class_items(members, failed))
        for series, members in groupby(references, key=lambda wanted: wanted.series)
    ]


def _class_items(references: Iterable[Reference], failed: Mapping[str, FailureReason]) -> list[DataSet]:
    return [
        REFERENCED_SOP_CLASS_UID.of(sop_class_uid)
        | REFERENCED_INSTANCE_SEQUENCE.of(
            *(REFERENCED_SOP_INSTANCE_UID.of(wanted.sop_instance_uid) | _reason(wanted, failed) for wanted in members)
        )
        for sop_class_uid, members in groupby(references, key=lambda wanted: wanted.sop_class_uid)
    ]


def _reason(wanted: Reference, failed: Mapping[str, FailureReason]) -> DataSet:
    reason = failed.get(wanted.sop_instance_uid)
    return {} if reason is None else FAILURE_REASON.of(reason)
