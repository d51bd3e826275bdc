"""What the box says at its start of the disk that its store is on: too small, or one that promises nothing.

Both are warnings, because the box goes on with what it has; both stand until the next start, where it tries again.
"""

from edged.store.allocation import Allocation
from edged.telemetry.conditions import Conditions, Severity

CAPACITY_SHORT = "capacity-short"
NOT_PREALLOCATED = "not-preallocated"
_MIB = 1 << 20


def tell_allocation(allocation: Allocation, conditions: Conditions) -> None:
    """Raise the conditions of a store that is smaller than was wanted, or whose pages the disk has not promised."""
    if allocation.short:
        wanted, there_is = allocation.wanted // _MIB, allocation.capacity // _MIB
        conditions.raise_(
            CAPACITY_SHORT,
            Severity.WARNING,
            f"The store should have {wanted} MiB; the disk had room for {there_is} MiB, and the store has that. Free "
            "some space on the disk, or set a smaller [store] capacity, then restart edged.",
        )
    if not allocation.preallocated:
        conditions.raise_(
            NOT_PREALLOCATED,
            Severity.WARNING,
            "The disk has not promised the store its space: other programs can take it, and then work is refused. Free "
            "some space on the disk and restart edged; if this stays, put [box] data_dir on ext4 or XFS.",
        )
