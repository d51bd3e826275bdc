"""Events as reports: what a follower of the box is told, read from the log in the store (PS3.18 8.10, DICOM.md §7).

A follower reads from a place in the log, never from a queue of its own: a slow one costs nothing but its place.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial

from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet
from edged.dicomweb.event_report import (
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    instance_event,
    subject_event,
)
from edged.dicomweb.routing import url_of
from edged.services.bell import Bells
from edged.store.commitments import COMMITTED, read_request, references
from edged.store.events import last_event, read_events
from edged.store.records import Event
from edged.store.store import Store
from edged.store.transaction import Transaction

AT_ONCE = 100
INSTANCE = "/studies/{study}/series/{series}/instances/{instance}"


@dataclass(frozen=True, slots=True)
class Place:
    """What the reports of one follower name: the box's AE title and its Base URI as the follower reaches it."""

    ae_title: str
    base_url: str


class NotificationService:
    """Gives the reports of the event log."""

    def __init__(self, store: Store, bells: Bells) -> None:
        self._store = store
        self._bells = bells

    async def now(self) -> int:
        """Return the number of the newest event: `follow` from here on misses nothing that comes after this call."""
        return await self._store.read(last_event)

    async def follow(self, place: Place, after: int) -> AsyncGenerator[DataSet, None]:
        """Yield reports in order for ever, from the event after `after` on."""
        while True:
            logged = self._bells.logged.next
            reports = await self._store.read(partial(_reports, place=place, after=after))
            for number, report in reports:
                yield report
                after = number
            if not reports:
                await logged.wait()


def _reports(txn: Transaction, place: Place, after: int) -> list[tuple[int, DataSet]]:
    return [(number, _report(txn, place, (number, event))) for number, event in read_events(txn, after, AT_ONCE)]


def _report(txn: Transaction, place: Place, numbered: tuple[int, Event]) -> DataSet:
    number, event = numbered
    head = EventHead(event.kind, number, number)
    if event.kind is EventKind.COMMITMENT_RESULT:
        return _commitment(txn, head, event.transaction_uid)
    if event.sop_instance_uid:
        uids = {
            "study": event.study_instance_uid,
            "series": event.series_instance_uid,
            "instance": event.sop_instance_uid,
        }
        instance = EventInstance(
            study_instance_uid=event.study_instance_uid,
            series_instance_uid=event.series_instance_uid,
            sop_class_uid=event.sop_class_uid,
            sop_instance_uid=event.sop_instance_uid,
            retrieve_ae_title=place.ae_title,
            retrieve_url=url_of(place.base_url, INSTANCE, **uids),
        )
        return instance_event(head, instance, subject=event.destination, text=event.text)
    return subject_event(head, event.destination, text=event.text)


def _commitment(txn: Transaction, head: EventHead, transaction_uid: str) -> DataSet:
    request = read_request(txn, transaction_uid)
    decided = references(txn, request.number) if request is not None else []
    return commitment_event(
        head,
        transaction_uid,
        committed=[(each.sop_class_uid, each.sop_instance_uid) for each in decided if each.reason == COMMITTED],
        failed={
            (each.sop_class_uid, each.sop_instance_uid): FailureReason(each.reason)
            for each in decided
            if each.reason is not None and each.reason != COMMITTED
        },
    )
