"""Reading event reports, whoever wrote them: what a follower of a box, or of an archive, understands of one.

What may live here: the inverse of `event_report`; pure, lenient, never raises but DataSetError for what is no data set.
A report without edged's private block has no numbers and is known by its SOP Class and Event Type ID alone (PS3.7
10.3.1).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from edged.dicomweb import dictionary as element
from edged.dicomweb.data_set import DataSet, DataSetError, first_of, items_of, text_of
from edged.dicomweb.event_report import (
    COMMITMENT_FAILURES_EXIST,
    COMMITMENT_SOP_CLASS_UID,
    COMMITMENT_SUCCESSFUL,
    EVENT_SOP_CLASS_UID,
    EVENT_TYPE_IDS,
    EventKind,
)
from edged.dicomweb.reference import class_uid_of, instance_uid_of
from edged.dicomweb.representation import read_data_sets

_KINDS: Final = {number: kind for kind, number in EVENT_TYPE_IDS.items()}


@dataclass(frozen=True, slots=True)
class ReportedInstance:
    """An instance that a report is about."""

    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    availability: str = ""
    retrieve_url: str = ""


@dataclass(frozen=True, slots=True)
class EventReport:
    """A report: `kind` is None where it is none that edged knows; the numbers where it has none of edged's.

    `time` is when its first event happened, in seconds of the epoch, None where it does not say so.
    `data_set` is all of it: for the results of storage commitment `commitment_report` reads on.
    """

    kind: EventKind | None
    data_set: DataSet
    first: int | None = None
    last: int | None = None
    resume: int | None = None
    time: float | None = None
    subject: str = ""
    text: str = ""
    study_instance_uid: str = ""
    transaction_uid: str = ""

    @property
    def instances(self) -> list[ReportedInstance]:
        """The instances, by series."""
        return [
            ReportedInstance(
                series_instance_uid=text_of(series, element.SERIES_INSTANCE_UID.tag),
                sop_class_uid=class_uid_of(item),
                sop_instance_uid=instance_uid_of(item),
                availability=text_of(item, element.INSTANCE_AVAILABILITY.tag),
                retrieve_url=text_of(item, element.RETRIEVE_URL.tag),
            )
            for series in items_of(self.data_set, element.REFERENCED_SERIES_SEQUENCE.tag)
            for item in items_of(series, element.REFERENCED_SOP_SEQUENCE.tag)
        ]


def read_event_report(message: bytes) -> EventReport:
    """Read a message in JSON or XML, as its first character says. Raises DataSetError. Source: PS3.18 8.10.5.1."""
    data_sets = read_data_sets(message, None)
    if len(data_sets) != 1:
        raise DataSetError("an event report is one data set")
    [data_set] = data_sets
    ours = text_of(data_set, element.PRIVATE_CREATOR.tag) == element.PRIVATE_CREATOR_VALUE
    return EventReport(
        kind=_kind(data_set),
        data_set=data_set,
        first=_number(data_set, element.FIRST_EVENT_NUMBER.tag) if ours else None,
        last=_number(data_set, element.LAST_EVENT_NUMBER.tag) if ours else None,
        resume=_number(data_set, element.RESUME_NUMBER.tag) if ours else None,
        time=_moment(data_set) if ours else None,
        subject=text_of(data_set, element.EVENT_SUBJECT.tag) if ours else "",
        text=text_of(data_set, element.EVENT_TEXT.tag) if ours else "",
        study_instance_uid=text_of(data_set, element.STUDY_INSTANCE_UID.tag),
        transaction_uid=text_of(data_set, element.TRANSACTION_UID.tag),
    )


def _kind(data_set: DataSet) -> EventKind | None:
    sop_class = text_of(data_set, element.AFFECTED_SOP_CLASS_UID.tag)
    event_type = _number(data_set, element.EVENT_TYPE_ID.tag)
    if sop_class == COMMITMENT_SOP_CLASS_UID and event_type in {COMMITMENT_SUCCESSFUL, COMMITMENT_FAILURES_EXIST}:
        return EventKind.COMMITMENT_RESULT
    return _KINDS.get(event_type) if sop_class == EVENT_SOP_CLASS_UID and event_type is not None else None


def _number(data_set: DataSet, tag: str) -> int | None:
    """Read a number that may be written as text; above 2**53 JSON has it so (PS3.18 F.2.2)."""
    value = first_of(data_set, tag)
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 21 else None


def _moment(data_set: DataSet) -> float | None:
    """Read a DT with its offset from UTC, as `event_report` writes it (PS3.5 Table 6.2-1)."""
    try:
        return datetime.strptime(text_of(data_set, element.EVENT_TIME.tag), "%Y%m%d%H%M%S.%f%z").timestamp()
    except (ValueError, OverflowError):
        return None
