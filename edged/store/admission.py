"""The one transaction that makes an instance exist (DESIGN §1.1, §3).

Chunks not yet spooled, record, indexes, study, deliveries with their queue entries, counters and event are written
together; when it has committed the sender may be told yes. The same data set again is a success without a second copy
(DICOM.md §2); another data set under the same UID is refused here and never overwrites.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edged.dicomweb.event_report import EventKind
from edged.store.chunks import write_chunks
from edged.store.counters import NEXT_INSTANCE
from edged.store.events import append_event
from edged.store.eviction import was_committed
from edged.store.instances import find_instance
from edged.store.queue import enqueue
from edged.store.records import Event, Instance, Series, Study, Unowned, UnownedKind
from edged.store.schema import (
    BY_SOP_INSTANCE,
    BY_STUDY,
    INSTANCES,
    SERIES,
    STUDIES,
    UNOWNED,
    sop_instance_key,
    study_prefix,
    u64_key,
    uid_key,
)
from edged.store.transaction import Transaction

PATIENT_ID, ISSUER, BIRTH_DATE = "PatientID", "IssuerOfPatientID", "PatientBirthDate"


class Outcome(StrEnum):
    """What became of an instance that was handed in."""

    STORED = "stored"
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Tail:
    """Chunks still in memory, for the instance `number`; `first` is the number of the first of them."""

    number: int
    first: int
    chunks: Sequence[bytes | bytearray]


@dataclass(frozen=True, slots=True)
class Admitted:
    """The outcome with the number of the instance that is addressed by the UID now.

    `inconsistent` says that the study's patient, or the series' study, is another one than before (DICOM.md §2).
    """

    outcome: Outcome
    number: int
    inconsistent: bool = False


def spool(txn: Transaction, tail: Tail, now: float) -> None:
    """Write chunks of an instance that is still arriving; until it is admitted they are unowned."""
    if tail.first == 0:
        _give_out(txn, tail.number)
        txn.put_record(UNOWNED, u64_key(tail.number), Unowned(kind=UnownedKind.SPOOLING, since=now))
    write_chunks(txn, tail.number, tail.chunks, first=tail.first)


def admit(txn: Transaction, instance: Instance, tail: Tail, *, urgency: int = 1) -> Admitted:
    """Make the instance exist, or say why not."""
    known = find_instance(txn, instance.sop_instance_uid)
    if known is not None:
        same = known[1].dataset_digest == instance.dataset_digest
        return Admitted(Outcome.SAME if same else Outcome.DIFFERENT, known[0])
    number = tail.number
    _give_out(txn, number)
    write_chunks(txn, number, tail.chunks, first=tail.first)
    txn.delete(UNOWNED, u64_key(number))
    txn.put_record(INSTANCES, u64_key(number), instance)
    _index(txn, number, instance)
    consistent = _count_study(txn, number, instance) & _count_series(txn, instance)
    enqueue(txn, number, instance, urgency=urgency, ask_first=was_committed(txn, instance))
    append_event(txn, _received(number, instance))
    return Admitted(Outcome.STORED, number, inconsistent=not consistent)


def _give_out(txn: Transaction, number: int) -> None:
    """Numbers are taken in memory; the highest one that was ever written is kept, so that none comes back."""
    beyond = number - txn.counter(NEXT_INSTANCE)
    if beyond > 0:
        txn.add(NEXT_INSTANCE, beyond)


def _index(txn: Transaction, number: int, instance: Instance) -> None:
    txn.put(BY_SOP_INSTANCE, sop_instance_key(instance.sop_instance_uid, number))
    place = study_prefix(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
    txn.put(BY_STUDY, place + u64_key(number))


def _count_study(txn: Transaction, number: int, instance: Instance) -> bool:
    key = uid_key(instance.study_instance_uid)
    patient = tuple(instance.attributes.get(name, b"").strip(b" \0") for name in (PATIENT_ID, ISSUER, BIRTH_DATE))
    study = txn.record(STUDIES, key, Study)
    before = (study.patient_id, study.issuer, study.birth_date) if study else patient
    counted = Study(
        first=study.first if study else number,
        instances=study.instances + 1 if study else 1,
        last_received=instance.received,
        patient_id=before[0],
        issuer=before[1],
        birth_date=before[2],
    )
    txn.put_record(STUDIES, key, counted)
    return before == patient


def _count_series(txn: Transaction, instance: Instance) -> bool:
    key = uid_key(instance.series_instance_uid)
    series = txn.record(SERIES, key, Series)
    study = series.study_instance_uid if series else instance.study_instance_uid
    txn.put_record(SERIES, key, Series(study_instance_uid=study, instances=series.instances + 1 if series else 1))
    return study == instance.study_instance_uid


def _received(number: int, instance: Instance) -> Event:
    return Event(
        kind=EventKind.RECEIVED,
        time=instance.received,
        instance=number,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        text=instance.intake,
    )
