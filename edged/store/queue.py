"""Deliveries and the queue: the only place where an instance moves forward at a destination.

Every move is a compare-and-set on (instance, destination, state): a verdict that comes late finds another state and is
dropped. Delivery, queue row, counters, eviction order, event and history change together.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.counters import NEXT_DESTINATION, queue_bytes, queue_rows, standing, taken_back
from edged.store.events import append_event
from edged.store.history import note
from edged.store.records import (
    Check,
    Delivery,
    DeliveryState,
    Event,
    Happened,
    HistoryEntry,
    Instance,
    Queued,
    Standing,
    pack,
    unpack,
)
from edged.store.schema import (
    DELIVERIES,
    DESTINATIONS,
    EVICTABLE,
    INSTANCES,
    QUEUE,
    delivery_key,
    moment_key,
    queue_key,
    queue_state_prefix,
    read_u32,
    u32_key,
    u64_key,
)
from edged.store.transaction import Transaction

UNSENT = (DeliveryState.HELD, DeliveryState.ON_HOLD, DeliveryState.STUCK)
NOT_SENT = frozenset({*UNSENT, DeliveryState.PARKED})
"""The states in which a destination has given no evidence that it holds the instance."""

KEPT = frozenset({DeliveryState.PARKED, DeliveryState.ON_HOLD})
"""The states, at whichever destination, in which an instance is never evicted (DESIGN §1.4, §6)."""

_EVENTS = {
    DeliveryState.SENT: EventKind.SENT,
    DeliveryState.COMMITTED: EventKind.COMMITTED,
    DeliveryState.PARKED: EventKind.PARKED,
}
_TOLD = {
    DeliveryState.HELD: Happened.HELD,
    DeliveryState.ON_HOLD: Happened.ON_HOLD,
    DeliveryState.STUCK: Happened.STUCK,
    DeliveryState.PARKED: Happened.PARKED,
}
"""The moves that stand in an instance's history: those that are no step forward."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a new instance begins at its destinations: `urgency` 0 is urgent, 1 is not; `on_hold` waits for a person.

    `ask_first` and `check` are as in records.Delivery.
    """

    urgency: int = 1
    on_hold: bool = False
    ask_first: bool = False
    check: Check = Check.ANSWER


@dataclass(frozen=True, slots=True)
class Figures:
    """One destination's queue in one state; `oldest` is the time of the oldest row or None."""

    rows: int
    bytes: int
    oldest: float | None


def destination_id(txn: Transaction, name: str) -> int:
    """Return the lasting id of a destination, made when it is new."""
    known = txn.get(DESTINATIONS, name.encode())
    if known is not None:
        return int(read_u32(known)[0])
    number = txn.add(NEXT_DESTINATION, 1)
    txn.put(DESTINATIONS, name.encode(), u32_key(number))
    return number


def destination_names(txn: Transaction) -> dict[int, str]:
    """Return the names of all destinations ever configured, by id."""
    return {int(read_u32(value)[0]): bytes(name).decode() for name, value in txn.rows(DESTINATIONS)}


def enqueue(txn: Transaction, number: int, instance: Instance, *, start: Start) -> None:
    """Write a new instance's deliveries, its queue entries and its standing; part of admission.

    A conflict has no deliveries: it keeps its destinations for the day when it is released.
    """
    delivery = Delivery(
        state=DeliveryState.ON_HOLD if start.on_hold else DeliveryState.HELD,
        since=instance.received,
        urgency=start.urgency,
        ask_first=start.ask_first,
        check=start.check,
    )
    for destination in () if instance.conflict else instance.destinations:
        _put(txn, (number, destination), delivery=delivery, instance=instance)
    txn.add(standing(standing_of(txn, number, instance)), 1)


def move(txn: Transaction, number: int, destination: int, *, expected: Container[DeliveryState], to: Delivery) -> bool:
    """Bring one delivery from one of the `expected` states to `to`; return False when it is in none of them.

    Its urgency and `check` stay, what is doubted stays so until it is committed, and `resends` never falls but by
    `begin_anew`.
    """
    return _move(txn, (number, destination), expected=expected, to=to, anew=False)


def begin_anew(
    txn: Transaction, number: int, destination: int, *, expected: Container[DeliveryState], to: Delivery
) -> bool:
    """As move, but what counted against sending it once more is forgotten: a person decided so."""
    return _move(txn, (number, destination), expected=expected, to=to, anew=True)


def _move(
    txn: Transaction, place: tuple[int, int], *, expected: Container[DeliveryState], to: Delivery, anew: bool
) -> bool:
    number, destination = place
    present = txn.record(DELIVERIES, delivery_key(number, destination), Delivery)
    instance = txn.record(INSTANCES, u64_key(number), Instance)
    if present is None or instance is None or present.state not in expected:
        return False
    resends = to.resends if anew else max(present.resends, to.resends)
    doubted = 0.0 if to.state is DeliveryState.COMMITTED else to.doubted or present.doubted
    to = structs.replace(to, urgency=present.urgency, check=present.check or to.check, resends=resends, doubted=doubted)
    _count(txn, number, instance, by=-1)
    _take(txn, place, delivery=present, instance=instance)
    _put(txn, place, delivery=to, instance=instance)
    _count(txn, number, instance, by=1)
    if to.state != present.state:
        if present.state is DeliveryState.COMMITTED:
            txn.add(taken_back(destination), 1)
        _tell(txn, place, instance=instance, to=to)
    return True


def _tell(txn: Transaction, place: tuple[int, int], *, instance: Instance, to: Delivery) -> None:
    """Write the event of a move, and in the history what is no step forward."""
    if to.state in _EVENTS:
        append_event(txn, _event(txn, place, instance=instance, to=to))
    if to.state in _TOLD:
        number, destination = place
        what, text = _TOLD[to.state], to.text or to.answer
        entry = HistoryEntry(
            what=what, time=to.since, destination=destination, batch=to.batch, reason=to.reason, text=text
        )
        note(txn, number, entry)


def resize(txn: Transaction, number: int, *, before: Instance, after: Instance) -> None:
    """Bring an instance's queue rows, their sums and its place in the order of eviction in line with its new sizes."""
    _count(txn, number, before, by=-1)
    for destination in () if before.conflict else before.destinations:
        delivery = read_delivery(txn, number, destination)
        if delivery is not None:
            _take(txn, (number, destination), delivery=delivery, instance=before)
            _put(txn, (number, destination), delivery=delivery, instance=after)
    _count(txn, number, after, by=1)


def rearrange(
    txn: Transaction, number: int, before: Instance, *, after: Instance, deliveries: Mapping[int, Delivery | None]
) -> None:
    """Give an instance other destinations: `deliveries` to be written, None for one to be taken away.

    Only for what a person decided; writes neither event nor history.
    """
    _count(txn, number, before, by=-1)
    for destination, delivery in deliveries.items():
        present = read_delivery(txn, number, destination)
        if present is not None:
            _take(txn, (number, destination), delivery=present, instance=before)
            txn.delete(DELIVERIES, delivery_key(number, destination))
        if delivery is not None:
            _put(txn, (number, destination), delivery=delivery, instance=after)
    txn.put_record(INSTANCES, u64_key(number), after)
    _count(txn, number, after, by=1)


def drop_deliveries(txn: Transaction, number: int, instance: Instance) -> None:
    """Take an instance out of every queue and out of its standing: it is being evicted.

    What was committed stays counted: that figure is for ever.
    """
    _count(txn, number, instance, by=-1)
    for destination in instance.destinations:
        delivery = read_delivery(txn, number, destination)
        if delivery is None:
            continue
        if delivery.state is not DeliveryState.COMMITTED:
            _take(txn, (number, destination), delivery=delivery, instance=instance)
        txn.delete(DELIVERIES, delivery_key(number, destination))


def read_instance(txn: Transaction, number: int) -> Instance | None:
    """Return the record of one instance."""
    return txn.record(INSTANCES, u64_key(number), Instance)


def read_delivery(txn: Transaction, number: int, destination: int) -> Delivery | None:
    """Return how far one instance is at one destination."""
    return txn.record(DELIVERIES, delivery_key(number, destination), Delivery)


def figures(txn: Transaction, destination: int, state: DeliveryState) -> Figures:
    """Return one queue's counts; costs the same at any length."""
    oldest = [
        unpack(Queued, row[1]).since
        for urgency in (0, 1)
        if (row := txn.first(QUEUE, queue_state_prefix(destination, state) + bytes([urgency])))
    ]
    return Figures(
        txn.counter(queue_rows(destination, state)),
        txn.counter(queue_bytes(destination, state)),
        min(oldest, default=None),
    )


def _put(txn: Transaction, place: tuple[int, int], *, delivery: Delivery, instance: Instance) -> None:
    number, destination = place
    txn.put_record(DELIVERIES, delivery_key(number, destination), delivery)
    txn.add(queue_rows(destination, delivery.state), 1)
    txn.add(queue_bytes(destination, delivery.state), instance.exit_length)
    if delivery.state is not DeliveryState.COMMITTED:
        since = instance.received if delivery.state in UNSENT else delivery.since
        queued = Queued(
            study=instance.study_instance_uid,
            size=instance.exit_length,
            since=since,
            ask_first=delivery.ask_first,
        )
        txn.put(QUEUE, queue_key(destination, delivery.state, delivery.urgency, number), pack(queued))


def _take(txn: Transaction, place: tuple[int, int], *, delivery: Delivery, instance: Instance) -> None:
    number, destination = place
    txn.add(queue_rows(destination, delivery.state), -1)
    txn.add(queue_bytes(destination, delivery.state), -instance.exit_length)
    if delivery.state is not DeliveryState.COMMITTED:
        txn.delete(QUEUE, queue_key(destination, delivery.state, delivery.urgency, number))


def standing_of(txn: Transaction, number: int, instance: Instance) -> Standing:
    """Return an instance's standing: its least advanced required delivery, parked before all else."""
    if instance.conflict:
        return Standing.CONFLICT
    states = [delivery.state for delivery in _required(txn, number, instance)]
    if DeliveryState.PARKED in states:
        return Standing.PARKED
    least = min(states, default=DeliveryState.HELD)
    return {DeliveryState.SENT: Standing.SENT, DeliveryState.COMMITTED: Standing.COMMITTED}.get(least, Standing.HELD)


def is_sent_nowhere(txn: Transaction, number: int, instance: Instance) -> bool:
    """Whether no destination has given evidence that it holds an instance."""
    deliveries = (read_delivery(txn, number, destination) for destination in instance.destinations)
    return all(delivery is None or delivery.state in NOT_SENT for delivery in deliveries)


def is_evictable(txn: Transaction, number: int, instance: Instance) -> bool:
    """Whether an instance may be let go: each required destination has committed to it, and none keeps it parked or
    on hold, the optional ones included.
    """
    if standing_of(txn, number, instance) is not Standing.COMMITTED:
        return False
    optional = (read_delivery(txn, number, each) for each in instance.destinations if each not in instance.required)
    return not any(delivery is not None and delivery.state in KEPT for delivery in optional)


def _required(txn: Transaction, number: int, instance: Instance) -> list[Delivery]:
    found = (txn.record(DELIVERIES, delivery_key(number, each), Delivery) for each in instance.required)
    return [delivery for delivery in found if delivery is not None]


def _count(txn: Transaction, number: int, instance: Instance, *, by: int) -> None:
    """Count an instance in (1) or out (-1) of its standing, and with it of the order of eviction."""
    txn.add(standing(standing_of(txn, number, instance)), by)
    if is_evictable(txn, number, instance):
        key = evictable_key(txn, number, instance)
        if by > 0:
            txn.put(EVICTABLE, key, u64_key(instance.size))
        else:
            txn.delete(EVICTABLE, key)


def evictable_key(txn: Transaction, number: int, instance: Instance) -> bytes:
    """Return the place of a committed instance in the order of eviction: when the last commitment came."""
    committed_at = max(delivery.since for delivery in _required(txn, number, instance))
    return moment_key(int(committed_at * 1000), number)


def _event(txn: Transaction, place: tuple[int, int], *, instance: Instance, to: Delivery) -> Event:
    number, destination = place
    return Event(
        kind=_EVENTS[to.state],
        time=to.since,
        instance=number,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        destination=destination_names(txn).get(destination, ""),
        text=to.proof or ", ".join(filter(None, (to.evidence, to.answer if to.evidence else ""))) or to.text,
    )
