"""Which destinations a new instance goes to, fixed when it is admitted (DESIGN §1.5).

Ids are given by the store and last; a destination that left the settings keeps its id and its entries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.config import Destination
from edged.store.counters import queue_rows
from edged.store.queue import destination_id, destination_names
from edged.store.records import DeliveryState
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.conditions import Conditions, Severity

REMOVED = "destination-removed"


@dataclass(frozen=True, slots=True)
class Routes:
    """The configured destinations by name, with the ids that the store knows them by."""

    ids: dict[str, int]
    required: tuple[int, ...]

    @property
    def all(self) -> tuple[int, ...]:
        """The ids of all configured destinations."""
        return tuple(self.ids.values())


async def load_routes(store: Store, destinations: Sequence[Destination]) -> Routes:
    """Give every configured destination its id; writes only when one is new. Raises StoreError."""
    names = [destination.name for destination in destinations]
    known = {name: number for number, name in (await store.read(destination_names)).items()}
    if not known.keys() >= set(names):
        known = await store.write(lambda txn: {name: destination_id(txn, name) for name in names})
    ids = {name: known[name] for name in names}
    required = tuple(ids[destination.name] for destination in destinations if destination.required)
    return Routes(ids, required)


def left_behind(txn: Transaction) -> dict[str, int]:
    """Return for each destination ever configured how many of its deliveries are not committed."""
    states = [state for state in DeliveryState if state is not DeliveryState.COMMITTED]
    counted = {
        name: sum(txn.counter(queue_rows(number, state)) for state in states)
        for number, name in destination_names(txn).items()
    }
    return {name: count for name, count in counted.items() if count}


def tell_left_behind(conditions: Conditions, routes: Routes, queued: Mapping[str, int]) -> None:
    """Raise a condition for each destination that left the settings and still has entries, and clear it for others."""
    left = {f"{REMOVED}:{name}": name for name in sorted(queued.keys() - routes.ids.keys())}
    for condition in conditions.snapshot():
        if condition.name.startswith(f"{REMOVED}:") and condition.name not in left:
            conditions.clear(condition.name)
    for full, name in left.items():
        conditions.raise_(
            full,
            Severity.WARNING,
            f"{queued[name]} instance{'s wait' if queued[name] != 1 else ' waits'} for destination {name}, which is no "
            "longer in the settings. Nothing of it is lost: "
            f"put it back, or `edged queue move --destination {name} --to OTHER`, or discard it.",
        )
