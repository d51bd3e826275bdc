"""Event Reports as data sets: the notifications of PS3.18 8.10.5.

Each has the fields of an N-EVENT-REPORT request (PS3.7 10.3.1) and edged's private block with kind and
event numbers. Storage commitment results are the Standard's own events (PS3.4 J.3.3); all others are
events of one private SOP Class, those about an instance shaped like an Instance Availability
Notification (PS3.4 R.3.2). No report carries an attribute of the patient.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from edged.dicom.reasons import FailureReason
from edged.dicomweb import dictionary as element
from edged.dicomweb.data_set import DataSet
from edged.dicomweb.reference import reference

EVENT_SOP_CLASS_UID: Final = "2.25.148008834308939622731693617613518225541"
EVENT_SOP_INSTANCE_UID: Final = "2.25.239656551049352452393715038978260268888"
COMMITMENT_SOP_CLASS_UID: Final = "1.2.840.10008.1.20.1"
COMMITMENT_SOP_INSTANCE_UID: Final = "1.2.840.10008.1.20.1.1"

COMMITMENT_SUCCESSFUL: Final = 1  # Event Type IDs of PS3.4 Table J.3-2
COMMITMENT_FAILURES_EXIST: Final = 2

_N_EVENT_REPORT_RQ: Final = 0x0100
_DATA_SET_PRESENT: Final = 0x0001  # anything but 0101H
_MESSAGE_IDS: Final = 0x10000  # VR US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EventKind(StrEnum):
    """What an event tells."""

    RECEIVED = "received"
    SENT = "sent"
    COMMITTED = "committed"
    COMMITMENT_RESULT = "commitment-result"
    PARKED = "parked"
    CONFLICT = "conflict"
    EVICTED = "evicted"
    STUDY_SETTLED = "study-settled"
    CONDITION_RAISED = "condition-raised"
    CONDITION_CLEARED = "condition-cleared"
    DESTINATION_UP = "destination-up"
    DESTINATION_DOWN = "destination-down"
    COMMITMENT_RESULT_GONE = "commitment-result-gone"
    """How a commitment result is told that is not kept any more."""
    GAP = "gap"
    """No event: what a follower is told in place of those that are not kept any more."""


EVENT_TYPE_IDS: Final = {
    EventKind.RECEIVED: 1,
    EventKind.SENT: 2,
    EventKind.COMMITTED: 3,
    EventKind.PARKED: 4,
    EventKind.CONFLICT: 5,
    EventKind.EVICTED: 6,
    EventKind.STUDY_SETTLED: 7,
    EventKind.CONDITION_RAISED: 8,
    EventKind.CONDITION_CLEARED: 9,
    EventKind.DESTINATION_UP: 10,
    EventKind.DESTINATION_DOWN: 11,
    EventKind.GAP: 12,
    EventKind.COMMITMENT_RESULT_GONE: 13,
}
"""Event Type IDs of the private SOP Class; a number once given keeps its meaning."""


class Availability(StrEnum):
    """Values of Instance Availability (0008,0056). Source: PS3.3 C.4.23.1.1."""

    ONLINE = "ONLINE"
    NEARLINE = "NEARLINE"
    OFFLINE = "OFFLINE"
    UNAVAILABLE = "UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class EventHead:
    """Kind and numbers of a report: the last event it tells of, the first, and the one to resume after.

    Whoever took this report and all before it misses nothing after `resume`; it is below `last` where another report
    tells of events in between. `time` is that of the first event, in seconds since the epoch; a gap has none.
    """

    kind: EventKind
    last: int
    first: int
    resume: int
    time: float | None = None


@dataclass(frozen=True, slots=True)
class EventInstance:
    """An instance that an event is about."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    retrieve_ae_title: str
    retrieve_url: str = ""


def instances_event(
    head: EventHead, instances: Iterable[EventInstance], *, subject: str = "", text: str = ""
) -> DataSet:
    """Return a report about instances of one study; `subject` is a destination, `text` for a person.

    Source: PS3.4 Table R.3.2-1.
    """
    study, by_series = "", dict[str, list[DataSet]]()
    for instance in instances:
        study = instance.study_instance_uid
        by_series.setdefault(instance.series_instance_uid, []).append(_available(head, instance))
    series = [
        element.SERIES_INSTANCE_UID.of(uid) | element.REFERENCED_SOP_SEQUENCE.of(*items)
        for uid, items in by_series.items()
    ]
    return (
        _private_event(head, subject, text)
        | element.REFERENCED_PPS_SEQUENCE.of()
        | element.STUDY_INSTANCE_UID.of(study)
        | element.REFERENCED_SERIES_SEQUENCE.of(*series)
    )


def _available(head: EventHead, instance: EventInstance) -> DataSet:
    gone = head.kind is EventKind.EVICTED
    item = reference(instance.sop_class_uid, instance.sop_instance_uid)
    item |= element.INSTANCE_AVAILABILITY.of(Availability.UNAVAILABLE if gone else Availability.ONLINE)
    item |= element.RETRIEVE_AE_TITLE.of(instance.retrieve_ae_title)
    if instance.retrieve_url and not gone:
        item |= element.RETRIEVE_URL.of(instance.retrieve_url)
    return item


def study_event(head: EventHead, study_instance_uid: str, *, instances: int, text: str = "") -> DataSet:
    """Return a report about a study with the number of its instances here."""
    return (
        _private_event(head, "", text)
        | element.STUDY_INSTANCE_UID.of(study_instance_uid)
        | element.NUMBER_OF_STUDY_RELATED_INSTANCES.of(instances)
    )


def subject_event(head: EventHead, subject: str, *, text: str = "") -> DataSet:
    """Return a report about a condition or a destination, by its name."""
    return _private_event(head, subject, text)


def gone_result_event(head: EventHead, transaction_uid: str, *, text: str) -> DataSet:
    """Return a report that a storage commitment request has a result which is not kept any more; `text` is of it.

    It is no event of the Standard: each of those says of every instance whether it is committed (PS3.4 J.3.3).
    """
    return _private_event(head, "", text) | element.TRANSACTION_UID.of(transaction_uid)


def commitment_event(
    head: EventHead,
    transaction_uid: str,
    *,
    committed: Iterable[tuple[str, str]],
    failed: Mapping[tuple[str, str], FailureReason],
) -> DataSet:
    """Return a storage commitment result for pairs of SOP Class and SOP Instance UID.

    Raises ValueError for a result about nothing. Source: PS3.4 Table J.3-2.
    """
    kept = [reference(*pair) for pair in committed]
    lost = [reference(*pair) | element.FAILURE_REASON.of(reason) for pair, reason in failed.items()]
    if not kept and not lost:
        raise ValueError("a storage commitment result names its instances")
    report = (
        element.AFFECTED_SOP_CLASS_UID.of(COMMITMENT_SOP_CLASS_UID)
        | element.AFFECTED_SOP_INSTANCE_UID.of(COMMITMENT_SOP_INSTANCE_UID)
        | element.EVENT_TYPE_ID.of(COMMITMENT_FAILURES_EXIST if lost else COMMITMENT_SUCCESSFUL)
        | element.TRANSACTION_UID.of(transaction_uid)
        | _common(head)
    )
    if lost:
        report |= element.FAILED_SOP_SEQUENCE.of(*lost)
    if kept:
        report |= element.REFERENCED_SOP_SEQUENCE.of(*kept)
    return report


def _private_event(head: EventHead, subject: str, text: str) -> DataSet:
    report = (
        element.AFFECTED_SOP_CLASS_UID.of(EVENT_SOP_CLASS_UID)
        | element.AFFECTED_SOP_INSTANCE_UID.of(EVENT_SOP_INSTANCE_UID)
        | element.EVENT_TYPE_ID.of(EVENT_TYPE_IDS[head.kind])
        | _common(head)
    )
    if subject:
        report |= element.EVENT_SUBJECT.of(subject)
    if text:
        report |= element.EVENT_TEXT.of(text)
    return report


def _common(head: EventHead) -> DataSet:
    common = (
        element.COMMAND_FIELD.of(_N_EVENT_REPORT_RQ)
        | element.MESSAGE_ID.of(head.last % _MESSAGE_IDS)
        | element.COMMAND_DATA_SET_TYPE.of(_DATA_SET_PRESENT)
        | element.PRIVATE_CREATOR.of(element.PRIVATE_CREATOR_VALUE)
        | element.LAST_EVENT_NUMBER.of(head.last)
        | element.FIRST_EVENT_NUMBER.of(head.first)
        | element.EVENT_KIND.of(head.kind)
        | element.RESUME_NUMBER.of(head.resume)
    )
    return common if head.time is None else common | element.EVENT_TIME.of(_date_time(head.time))


def _date_time(seconds: float) -> str:
    """Return a DT with its offset from UTC (PS3.5 Table 6.2-1)."""
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y%m%d%H%M%S.%f%z")
