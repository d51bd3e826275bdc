"""Finding instances by UID, study and series."""

from collections.abc import Iterator

from edged.store.records import Instance
from edged.store.schema import (
    BY_SOP_INSTANCE,
    BY_STUDY,
    INSTANCES,
    number_at_end,
    study_prefix,
    u64_key,
    uid_key,
)
from edged.store.transaction import Transaction


def find_instance(txn: Transaction, sop_instance_uid: str) -> tuple[int, Instance] | None:
    """Return the number and record of the instance that the UID addresses: the first that came, never a conflict."""
    for key, _ in txn.rows(BY_SOP_INSTANCE, uid_key(sop_instance_uid) + b"\0"):
        number = number_at_end(key)
        instance = txn.record(INSTANCES, u64_key(number), Instance)
        if instance and instance.sop_instance_uid == sop_instance_uid and not instance.conflict:
            return number, instance
    return None


def instances_of(txn: Transaction, study: str, series: str | None = None) -> Iterator[int]:
    """Yield the numbers of a study's or a series' instances, by series and SOP Instance UID."""
    prefix = study_prefix(study) if series is None else study_prefix(study, series)
    for key, _ in txn.rows(BY_STUDY, prefix):
        yield number_at_end(key)
