"""What an instance's deliveries make of it, of all its destinations together: its standing, and whether it may go.

The deliveries are read once, and handed from rule to rule: a move forward asks several of them, before it and after.
"""

from collections.abc import Mapping

from edged.store.counters import standing
from edged.store.records import Delivery, DeliveryState, Instance, Standing
from edged.store.schema import DELIVERIES, EVICTABLE, delivery_key, moment_key, u64_key
from edged.store.transaction import Transaction

UNSENT = (DeliveryState.HELD, DeliveryState.ON_HOLD, DeliveryState.STUCK)
NOT_SENT = frozenset({*UNSENT, DeliveryState.PARKED})
"""The states in which a destination has given no evidence that it holds the instance."""

KEPT = frozenset({DeliveryState.PARKED, DeliveryState.ON_HOLD})
"""The states, at whichever destination, in which an instance is never evicted (DESIGN §1.4, §6)."""

Deliveries = Mapping[int, Delivery]
"""How far an instance is, by destination."""


def read_delivery(txn: Transaction, number: int, destination: int) -> Delivery | None:
    """Return how far one instance is at one destination."""
    return txn.record(DELIVERIES, delivery_key(number, destination), Delivery)


def read_deliveries(txn: Transaction, number: int, instance: Instance) -> dict[int, Delivery]:
    """Return how far an instance is at each of its destinations, as far as that is known."""
    found = {destination: read_delivery(txn, number, destination) for destination in instance.destinations}
    return {destination: delivery for destination, delivery in found.items() if delivery is not None}


def required_of(instance: Instance, deliveries: Deliveries) -> dict[int, Delivery]:
    """Return the deliveries that gate eviction."""
    return {destination: deliveries[destination] for destination in instance.required if destination in deliveries}


def standing_of(instance: Instance, deliveries: Deliveries) -> Standing:
    """Return an instance's standing: its least advanced required delivery, parked before all else."""
    if instance.conflict:
        return Standing.CONFLICT
    states = [delivery.state for delivery in required_of(instance, deliveries).values()]
    if DeliveryState.PARKED in states:
        return Standing.PARKED
    least = min(states, default=DeliveryState.HELD)
    return {DeliveryState.SENT: Standing.SENT, DeliveryState.COMMITTED: Standing.COMMITTED}.get(least, Standing.HELD)


def is_sent_nowhere(deliveries: Deliveries) -> bool:
    """Whether no destination has given evidence that it holds an instance."""
    return all(delivery.state in NOT_SENT for delivery in deliveries.values())


def is_evictable(instance: Instance, deliveries: Deliveries) -> bool:
    """Whether an instance may be let go: each required destination has committed to it, and none keeps it parked or
    on hold, the optional ones included.
    """
    if standing_of(instance, deliveries) is not Standing.COMMITTED:
        return False
    return not any(delivery.state in KEPT for delivery in deliveries.values())


def evictable_key(number: int, instance: Instance, deliveries: Deliveries) -> bytes:
    """Return the place of a committed instance in the order of eviction: when the last commitment came."""
    committed_at = max(delivery.since for delivery in required_of(instance, deliveries).values())
    return moment_key(int(committed_at * 1000), number)


def count(txn: Transaction, number: int, instance: Instance, *, deliveries: Deliveries, by: int) -> None:
    """Count an instance in (1) or out (-1) of its standing, and with it of the order of eviction."""
    txn.add(standing(standing_of(instance, deliveries)), by)
    if is_evictable(instance, deliveries):
        key = evictable_key(number, instance, deliveries)
        if by > 0:
            txn.put(EVICTABLE, key, u64_key(instance.size))
        else:
            txn.delete(EVICTABLE, key)
