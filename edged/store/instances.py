"""Instances in their indexes: finding one by its UIDs, entering a new one, taking one out.

A UID addresses at most one instance, the one that is not a conflict. A conflict is found under its UID and its number
only: it stands in no study and no series until somebody decides about it (DICOM.md §2).
"""

from collections.abc import Iterator
from itertools import islice

from msgspec import structs

from edged.store.records import Instance, Series, Study, unpack
from edged.store.schema import (
    BY_SOP_INSTANCE,
    BY_STUDY,
    INSTANCES,
    SERIES,
    STUDIES,
    number_at_end,
    read_u64,
    sop_instance_key,
    study_prefix,
    u64_key,
    uid_key,
)
from edged.store.transaction import Transaction

PATIENT_ID, ISSUER, BIRTH_DATE = "PatientID", "IssuerOfPatientID", "PatientBirthDate"


def all_instances(txn: Transaction, after: int = 0) -> Iterator[tuple[int, Instance]]:
    """Yield every instance with a number above `after`, conflicts too, in the order in which they came."""
    for key, value in txn.rows(INSTANCES, start=u64_key(after + 1)):
        yield read_u64(key), unpack(Instance, value)


def instances_under(txn: Transaction, sop_instance_uid: str) -> Iterator[tuple[int, Instance]]:
    """Yield everything that is stored under one UID, conflicts too, in the order in which it came."""
    for key, _ in txn.rows(BY_SOP_INSTANCE, uid_key(sop_instance_uid) + b"\0"):
        number = number_at_end(key)
        instance = txn.record(INSTANCES, u64_key(number), Instance)
        if instance is not None and instance.sop_instance_uid == sop_instance_uid:
            yield number, instance


def find_instance(txn: Transaction, sop_instance_uid: str) -> tuple[int, Instance] | None:
    """Return the number and record of the instance that the UID addresses, never a conflict."""
    under = instances_under(txn, sop_instance_uid)
    return next(((number, instance) for number, instance in under if not instance.conflict), None)


def instances_of(txn: Transaction, study: str, series: str | None = None) -> Iterator[int]:
    """Yield the numbers of a study's or a series' instances, by series and SOP Instance UID; no conflicts."""
    prefix = study_prefix(study) if series is None else study_prefix(study, series)
    for key, _ in txn.rows(BY_STUDY, prefix):
        yield number_at_end(key)


def page_of(
    txn: Transaction, study: str, series: str | None = None, *, after: bytes = b"", limit: int
) -> list[tuple[bytes, int]]:
    """Return some of a study's or a series' instances, as `instances_of`, those beyond `after`: places and numbers."""
    prefix = study_prefix(study) if series is None else study_prefix(study, series)
    rows = txn.rows(BY_STUDY, prefix, start=max(prefix, after + b"\0"))
    return [(bytes(key), number_at_end(key)) for key, _ in islice(rows, limit)]


def study_of(txn: Transaction, uid: str) -> tuple[str, str | None] | None:
    """Return the study, or study and series, of which instances are stored under this UID."""
    if txn.record(STUDIES, uid_key(uid), Study) is not None:
        return uid, None
    series = txn.record(SERIES, uid_key(uid), Series)
    return None if series is None else (series.study_instance_uid, uid)


def enter(txn: Transaction, number: int, instance: Instance) -> bool:
    """Write a new instance's record and indexes and count it in its study and series.

    Return False when the study's patient, or the series' study, is another one than before (DICOM.md §2).
    """
    txn.put_record(INSTANCES, u64_key(number), instance)
    txn.put(BY_SOP_INSTANCE, sop_instance_key(instance.sop_instance_uid, number))
    if instance.conflict:
        return True
    txn.put(BY_STUDY, place_of(number, instance))
    return _count_study(txn, number, instance) & _count_series(txn, instance)


def take_out(txn: Transaction, number: int, instance: Instance) -> None:
    """Delete an instance's record and indexes and count it out of its study and series."""
    txn.delete(INSTANCES, u64_key(number))
    txn.delete(BY_SOP_INSTANCE, sop_instance_key(instance.sop_instance_uid, number))
    if instance.conflict:
        return
    txn.delete(BY_STUDY, place_of(number, instance))
    _uncount(txn, instance)


def place_of(number: int, instance: Instance) -> bytes:
    """Return the key of BY_STUDY for an instance."""
    uids = instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
    return study_prefix(*uids) + u64_key(number)


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


def _uncount(txn: Transaction, instance: Instance) -> None:
    study = txn.record(STUDIES, uid_key(instance.study_instance_uid), Study)
    series = txn.record(SERIES, uid_key(instance.series_instance_uid), Series)
    for table, uid, record in (
        (STUDIES, instance.study_instance_uid, study),
        (SERIES, instance.series_instance_uid, series),
    ):
        if record is None:
            raise AssertionError(f"{table.name} has no row for {uid}")
        if record.instances == 1:
            txn.delete(table, uid_key(uid))
        else:
            txn.put_record(table, uid_key(uid), structs.replace(record, instances=record.instances - 1))
