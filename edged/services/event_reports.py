"""Events as reports: what a follower asked to be told, made from the rows of the log (PS3.18 8.10.5, DICOM.md §7).

What may live here: functions of a read transaction; nothing waits. A report is made once for all who ask for the same
(`View`), and is then nothing but text or bytes and its numbers.
"""

import hashlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from edged.dicom.reasons import FailureReason
from edged.dicomweb.binary_model import to_file
from edged.dicomweb.data_set import DataSet, text_of
from edged.dicomweb.dictionary import AFFECTED_SOP_CLASS_UID, AFFECTED_SOP_INSTANCE_UID
from edged.dicomweb.event_report import (
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    gone_result_event,
    instances_event,
    subject_event,
)
from edged.dicomweb.representation import DICOM_JSON, write_data_set
from edged.dicomweb.routing import url_of
from edged.http.media_type import MediaType
from edged.services.event_windows import Told, by_study, one_by_one, singles_of, window_of
from edged.store.commitments import COMMITTED, read_request, references
from edged.store.events import first_event, iter_events
from edged.store.records import Event
from edged.store.transaction import Transaction

DICOM: Final = MediaType("application", "dicom")
"""The one form that goes out in binary frames. Source: CP-1871 Table 8.10.5-3."""

PAGE_BYTES = 1000
"""Of a page without its messages."""

INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events a follower is told: those of `kinds`, if any are named, with one of the values of each of `having`.

    `having` names fields of an Event; one that an event does not have is not matched by it.
    """

    kinds: frozenset[EventKind] = frozenset()
    having: tuple[tuple[str, frozenset[str]], ...] = ()

    def takes(self, event: Event) -> bool:
        """Whether an event is told."""
        if self.kinds and event.kind not in self.kinds:
            return False
        return all(getattr(event, name) in values for name, values in self.having)


@dataclass(frozen=True, slots=True)
class Place:
    """What the reports of one follower name: the box's AE title and its Base URI as the follower reaches it."""

    ae_title: str
    base_url: str


@dataclass(frozen=True, slots=True)
class View:
    """What a follower is told, and how: `each` event in a report of its own, or those of a study together."""

    place: Place
    media_type: MediaType = DICOM_JSON
    each: bool = False
    wanted: Wanted = Wanted()

    @property
    def digest(self) -> bytes:
        """Of what decides which reports there are: with another one a place within a window means nothing."""
        having = sorted((name, sorted(values)) for name, values in self.wanted.having)
        said = repr((self.each, sorted(self.wanted.kinds), having))
        return hashlib.blake2b(said.encode(), digest_size=8).digest()


@dataclass(frozen=True, slots=True)
class Report:
    """One report as it goes out; `resume` is the number after which whoever took all up to it goes on."""

    message: str | bytes
    resume: int


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Page:
    """The reports of the events after `after` up to `end`; there may be none.

    `gap`: these events are not kept any more, and the one report says so.
    """

    after: int
    end: int
    reports: tuple[Report, ...]
    gap: bool = False

    @property
    def size(self) -> int:
        """What it takes in memory, in bytes: roughly."""
        return PAGE_BYTES + sum(len(report.message) for report in self.reports)


def page_of(txn: Transaction, view: View, *, after: int, until: int, most: int) -> Page:
    """Return the reports of what follows `after`: of at most `most` events up to `until`, or of a gap alone.

    Without `each` they are those of the first window, which is taken to end with `until` at the latest, or of the first
    windows where each is a single event. No more of the log is read than what the page tells.
    """
    if after + 1 < (first := first_event(txn)):
        head = EventHead(EventKind.GAP, last=first - 1, first=after + 1, resume=first - 1)
        text = f"{first - 1 - after} events are not kept any more."
        return Page(after, first - 1, (_written(subject_event(head, "", text=text), view, first - 1),), gap=True)
    log = islice(iter_events(txn, after), min(most, until - after))
    events = singles_of(log, bulk=view.each)
    together = not events and not view.each
    if together:
        events, _ = window_of(islice(iter_events(txn, after), min(most, until - after)))
    if not events:
        return Page(after, after, ())
    end = events[-1][0]
    wanted = [(number, event) for number, event in events if view.wanted.takes(event)]
    told = by_study(wanted, after=after, end=end) if together else one_by_one(wanted)
    return Page(after, end, tuple(_written(_report(txn, view.place, each), view, each.resume) for each in told))


def _written(report: DataSet, view: View, resume: int) -> Report:
    if view.media_type.essence != DICOM.essence:
        return Report(write_data_set(report, view.media_type).body.decode(), resume)
    sop_class_uid = text_of(report, AFFECTED_SOP_CLASS_UID.tag)
    sop_instance_uid = text_of(report, AFFECTED_SOP_INSTANCE_UID.tag)
    return Report(to_file(report, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid), resume)


def _report(txn: Transaction, place: Place, told: Told) -> DataSet:
    _, event = told.events[0]
    head = EventHead(event.kind, told.last, told.first, told.resume, event.time)
    if event.kind is EventKind.COMMITMENT_RESULT:
        return _commitment(txn, head, event)
    if event.sop_instance_uid:
        instances = [_instance(place, each) for _, each in told.events]
        return instances_event(head, instances, subject=event.destination, text=event.text)
    return subject_event(head, event.destination, text=event.text)


def _instance(place: Place, event: Event) -> EventInstance:
    uids = {
        "study": event.study_instance_uid,
        "series": event.series_instance_uid,
        "instance": event.sop_instance_uid,
    }
    return EventInstance(
        study_instance_uid=event.study_instance_uid,
        series_instance_uid=event.series_instance_uid,
        sop_class_uid=event.sop_class_uid,
        sop_instance_uid=event.sop_instance_uid,
        retrieve_ae_title=place.ae_title,
        retrieve_url=url_of(place.base_url, INSTANCE, **uids),
    )


def _commitment(txn: Transaction, head: EventHead, event: Event) -> DataSet:
    request = read_request(txn, event.transaction_uid)
    decided = [] if request is None or request.purged else references(txn, request.number)
    if not decided:
        gone = replace(head, kind=EventKind.COMMITMENT_RESULT_GONE)
        return gone_result_event(gone, event.transaction_uid, text=f"{event.text}; it is not kept any more")
    return commitment_event(
        head,
        event.transaction_uid,
        committed=[(each.sop_class_uid, each.sop_instance_uid) for each in decided if each.reason == COMMITTED],
        failed={
            (each.sop_class_uid, each.sop_instance_uid): FailureReason(each.reason)
            for each in decided
            if each.reason is not None and each.reason != COMMITTED
        },
    )
