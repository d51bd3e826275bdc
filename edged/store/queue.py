"""Deliveries and the queue: the only place where an instance moves forward at a destination.

Every move is a compare-and-set on (instance, destination, state): a verdict that comes late finds another state and is
dropped. Delivery, queue row, counters, eviction order, event and history change together.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.counters import NEXT_DESTINATION, queue_bytes, queue_rows, standing, taken_back
from edged.store.events import append_event, instance_event
from edged.store.history import note
from edged.store.records import (
    Check,
    Delivery,
    DeliveryState,
    Happened,
    HistoryEntry,
    Instance,
    Queued,
    pack,
    unpack,
)
from edged.store.schema import (
    DELIVERIES,
    DESTINATIONS,
    INSTANCES,
    QUEUE,
    delivery_key,
    queue_key,
    queue_state_prefix,
    read_u32,
    u32_key,
    u64_key,
)
from edged.store.standings import UNSENT, count, read_deliveries, standing_of
from edged.store.transaction import Transaction

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
    txn.names = None
    return number


def destination_names(txn: Transaction) -> Mapping[int, str]:
    """Return the names of all destinations ever configured, by id."""
    if txn.names is None:
        txn.names = {int(read_u32(value)[0]): bytes(name).decode() for name, value in txn.rows(DESTINATIONS)}
    return txn.names


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
    deliveries = {} if instance.conflict else dict.fromkeys(instance.destinations, delivery)
    for destination in deliveries:
        _put(txn, (number, destination), delivery=delivery, instance=instance)
    txn.add(standing(standing_of(instance, deliveries)), 1)


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
    instance = read_instance(txn, number)
    if instance is None:
        return False
    deliveries = read_deliveries(txn, number, instance)
    present = deliveries.get(destination)
    if present is None or present.state not in expected:
        return False
    resends = to.resends if anew else max(present.resends, to.resends)
    doubted = 0.0 if to.state is DeliveryState.COMMITTED else to.doubted or present.doubted
    to = structs.replace(to, urgency=present.urgency, check=present.check or to.check, resends=resends, doubted=doubted)
    count(txn, number, instance, deliveries=deliveries, by=-1)
    _take(txn, place, delivery=present, instance=instance)
    _put(txn, place, delivery=to, instance=instance)
    count(txn, number, instance, deliveries=deliveries | {destination: to}, by=1)
    if to.state != present.state:
        if present.state is DeliveryState.COMMITTED:
            txn.add(taken_back(destination), 1)
        _tell(txn, place, instance=instance, to=to)
    return True


def _tell(txn: Transaction, place: tuple[int, int], *, instance: Instance, to: Delivery) -> None:
    """Write the event of a move, and in the history what is no step forward."""
    number, destination = place
    if to.state in _EVENTS:
        name = destination_names(txn).get(destination, "")
        text = to.proof or ", ".join(filter(None, (to.evidence, to.answer if to.evidence else ""))) or to.text
        append_event(
            txn, instance_event(_EVENTS[to.state], (number, instance), time=to.since, text=text, destination=name)
        )
    if to.state in _TOLD:
        what, text = _TOLD[to.state], to.text or to.answer
        entry = HistoryEntry(
            what=what, time=to.since, destination=destination, batch=to.batch, reason=to.reason, text=text
        )
        note(txn, number, entry)


def resize(txn: Transaction, number: int, *, before: Instance, after: Instance) -> None:
    """Bring an instance's queue rows, their sums and its place in the order of eviction in line with its new sizes."""
    deliveries = read_deliveries(txn, number, before)
    count(txn, number, before, deliveries=deliveries, by=-1)
    for destination, delivery in deliveries.items():
        _take(txn, (number, destination), delivery=delivery, instance=before)
        _put(txn, (number, destination), delivery=delivery, instance=after)
    count(txn, number, after, deliveries=deliveries, by=1)


def rearrange(
    txn: Transaction, number: int, before: Instance, *, after: Instance, deliveries: Mapping[int, Delivery | None]
) -> None:
    """Give an instance other destinations: `deliveries` to be written, None for one to be taken away.

    Only for what a person decided; writes neither event nor history.
    """
    found = read_deliveries(txn, number, before)
    count(txn, number, before, deliveries=found, by=-1)
    for destination, delivery in deliveries.items():
        present = found.pop(destination, None)
        if present is not None:
            _take(txn, (number, destination), delivery=present, instance=before)
            txn.delete(DELIVERIES, delivery_key(number, destination))
        if delivery is not None:
            found[destination] = delivery
            _put(txn, (number, destination), delivery=delivery, instance=after)
    txn.put_record(INSTANCES, u64_key(number), after)
    count(txn, number, after, deliveries=found, by=1)


def drop_deliveries(txn: Transaction, number: int, instance: Instance) -> None:
    """Take an instance out of every queue and out of its standing: it is being evicted.

    What was committed stays counted: that figure is for ever.
    """
    deliveries = read_deliveries(txn, number, instance)
    count(txn, number, instance, deliveries=deliveries, by=-1)
    for destination, delivery in deliveries.items():
        if delivery.state is not DeliveryState.COMMITTED:
            _take(txn, (number, destination), delivery=delivery, instance=instance)
        txn.delete(DELIVERIES, delivery_key(number, destination))


def read_instance(txn: Transaction, number: int) -> Instance | None:
    """Return the record of one instance."""
    return txn.record(INSTANCES, u64_key(number), Instance)


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
