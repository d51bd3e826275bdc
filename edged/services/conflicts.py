"""Telling that instances are held in conflict: as long as there are any, and again after a restart (DICOM.md §2)."""

from edged.store.counters import standing
from edged.store.records import Standing
from edged.store.store import Store
from edged.telemetry.conditions import Conditions, Severity

CONFLICT = "conflict"


def tell_conflicts(store: Store, conditions: Conditions) -> None:
    """Raise the condition while an instance is held in conflict, else clear it."""
    count = store.read_now(lambda txn: txn.counter(standing(Standing.CONFLICT)))
    if not count:
        conditions.clear(CONFLICT)
        return
    conditions.raise_(
        CONFLICT,
        Severity.WARNING,
        f"Held, and not forwarded: {count}, each another data set under the SOP Instance UID of an instance that came "
        "before it. `edged queue list --state conflict` names them, edged export writes them beside the first ones, to "
        "be compared; release or discard each with `edged queue`.",
    )
