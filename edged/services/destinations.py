"""Which destinations a new instance goes to, fixed when it is admitted (DESIGN §1.5).

Ids are given by the store and last; a destination that left the settings keeps its id and its entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edged.config import Destination
from edged.store.counters import queue_rows
from edged.store.queue import destination_id, destination_names
from edged.store.records import DeliveryState
from edged.store.store import Store
from edged.store.transaction import Transaction


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
