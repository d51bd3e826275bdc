"""The event log: numbered without gaps, each event written in the transaction that makes it true (DESIGN §6)."""

from collections.abc import Iterator
from itertools import islice

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.counters import FIRST_EVENT, NEXT_EVENT
from edged.store.records import Event, Instance, Told, unpack
from edged.store.schema import EVENTS, MAX_EVENTS, META, read_u64, u64_key
from edged.store.transaction import Transaction

TRIM_EVENTS = 1000

_TOLD = b"told"
_STANDING = {
    EventKind.CONDITION_RAISED: ("conditions", True),
    EventKind.CONDITION_CLEARED: ("conditions", False),
    EventKind.DESTINATION_DOWN: ("down", True),
    EventKind.DESTINATION_UP: ("down", False),
}
"""What an event changes of what stands."""


def instance_event(
    kind: EventKind, about: tuple[int, Instance], *, time: float, text: str = "", destination: str = ""
) -> Event:
    """Return an event about an instance, given with its number."""
    number, instance = about
    return Event(
        kind=kind,
        time=time,
        instance=number,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        destination=destination,
        text=text,
    )


def append_event(txn: Transaction, event: Event) -> int:
    """Write the next event; return its number (from 1 on)."""
    number = txn.add(NEXT_EVENT, 1)
    txn.put_record(EVENTS, u64_key(number), event)
    return number


def append_change(txn: Transaction, event: Event) -> int:
    """Write an event about a condition or a destination, and with it what stands now; return its number."""
    field, stands = _STANDING[event.kind]
    told = told_standing(txn)
    names = set(getattr(told, field)) - {event.destination}
    if stands:
        names.add(event.destination)
    txn.put_record(META, _TOLD, structs.replace(told, **{field: tuple(sorted(names))}))
    return append_event(txn, event)


def told_standing(txn: Transaction) -> Told:
    """Return what followers were told to stand, also by a daemon before this one."""
    return txn.record(META, _TOLD, Told) or Told()


def last_event(txn: Transaction) -> int:
    """Return the number of the newest event; 0 when there was none."""
    return txn.counter(NEXT_EVENT)


def first_event(txn: Transaction) -> int:
    """Return the number of the oldest event that is kept, or will be."""
    return txn.counter(FIRST_EVENT) + 1


def iter_events(txn: Transaction, after: int) -> Iterator[tuple[int, Event]]:
    """Yield the events with numbers above `after`, oldest first; nothing is read that is not taken."""
    for key, value in txn.rows(EVENTS, start=u64_key(after + 1)):
        yield read_u64(key), unpack(Event, value)


def read_events(txn: Transaction, after: int, limit: int) -> list[tuple[int, Event]]:
    """Return at most `limit` events with numbers above `after`, oldest first."""
    return list(islice(iter_events(txn, after), limit))


def trim_events(
    txn: Transaction, before: float, *, limit: int = TRIM_EVENTS, keep: int = MAX_EVENTS, step: int = 1
) -> int:
    """Delete at most `limit` events older than `before` (seconds since the epoch) or beyond `keep` rows.

    The last one is one whose number is a multiple of `step`: what is told together is then not cut.
    """
    surplus = txn.count(EVENTS) - keep
    doomed: list[bytes] = []
    for key, value in txn.rows(EVENTS):
        if len(doomed) == limit or (len(doomed) >= surplus and unpack(Event, value).time >= before):
            break
        doomed.append(bytes(key))
    while doomed and read_u64(doomed[-1]) % step:
        doomed.pop()
    for number in doomed:
        txn.delete(EVENTS, number)
    txn.add(FIRST_EVENT, len(doomed))
    return len(doomed)
