"""Walking what waits, page by page, for a person: entries of the queues by destination, state, study or UID; conflicts.

An entry is one instance at one destination that has not committed to it, or a conflict, which is at none. A page is one
bounded read and ends with a cursor, from which the next goes on in another transaction; what moved meanwhile is seen
where it is then. Invariant: a walk over the states that an action starts from never meets what that action has moved.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from edged.store.counters import queue_bytes, queue_rows, standing
from edged.store.instances import all_instances, instances_under
from edged.store.queue import destination_names, read_instance
from edged.store.records import Delivery, DeliveryState, Instance, Standing
from edged.store.schema import BY_STUDY, QUEUE, number_at_end, queue_state_prefix, read_queue_key, study_prefix
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction

SCAN_ROWS = 5_000
"""How much is looked at for one page, at most."""

NOWHERE = 0
"""The destination of a conflict."""

_CONFLICT_ID = re.compile(r"conflict-([1-9][0-9]{0,18})")


class EntryState(StrEnum):
    """How an entry stands."""

    PENDING = "pending"
    ON_HOLD = "on-hold"
    STUCK = "stuck"
    PARKED = "parked"
    SENT = "sent"
    CONFLICT = "conflict"


STATES = {
    DeliveryState.HELD: EntryState.PENDING,
    DeliveryState.ON_HOLD: EntryState.ON_HOLD,
    DeliveryState.STUCK: EntryState.STUCK,
    DeliveryState.PARKED: EntryState.PARKED,
    DeliveryState.SENT: EntryState.SENT,
}
"""The entries of the queues by how far their deliveries are."""


class CursorError(ValueError):
    """A cursor that none of these walks has given."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries: of these destinations (None: of all), of a study, or of these UIDs and conflict ids; in these
    states, and only of instances with numbers up to `last`.

    A UID stands for its conflicts only where the state is among them; a conflict id does in any case.
    """

    destinations: tuple[int, ...] | None = None
    study: str | None = None
    uids: tuple[str, ...] = ()
    states: frozenset[EntryState] = frozenset(EntryState)
    last: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One entry: an instance number, a destination's id or NOWHERE, and the state that it was found in."""

    number: int
    destination: int
    state: EntryState


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, and where the next page begins, "" after the last; `unknown` are UIDs under which nothing is."""

    places: tuple[Place, ...]
    after: str
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one entry; of a conflict there is no delivery."""

    place: Place
    instance: Instance
    delivery: Delivery | None


@dataclass(slots=True)
class Sums:
    """Counts and bytes of entries by destination's id and state."""

    rows: Counter[tuple[int, EntryState]] = field(default_factory=Counter)
    bytes: int = 0


_Row = tuple[str, tuple[Place, ...], str]
"""Where to go on after it, what it holds, and the UID under which nothing is, if so."""


def walk(txn: Transaction, selection: Selection, after: str = "", *, limit: int = 500) -> Page:
    """Return the next entries: about `limit`, and now and then none though it goes on. Raises CursorError."""
    places: list[Place] = []
    unknown: list[str] = []
    for looked, (resume, found, missing) in enumerate(_rows(txn, selection, after), start=1):
        places += found
        unknown += [missing] if missing else []
        if len(places) >= limit or looked == SCAN_ROWS:
            return Page(tuple(places), resume, tuple(unknown))
    return Page(tuple(places), "", tuple(unknown))


def read_entries(txn: Transaction, places: tuple[Place, ...]) -> list[Entry]:
    """Return what is known of entries that are still there."""
    entries = []
    for place in places:
        instance = read_instance(txn, place.number)
        delivery = read_delivery(txn, place.number, place.destination)
        if instance is not None and (delivery is not None or place.state is EntryState.CONFLICT):
            entries.append(Entry(place, instance, delivery))
    return entries


def sums(txn: Transaction, selection: Selection) -> Sums | None:
    """Return the sums of a selection from the counters, which costs the same at any length; None if they do not tell.

    The bytes of conflicts are not counted.
    """
    if selection.study is not None or selection.uids or selection.last is not None:
        return None
    found = Sums()
    for destination in _destinations(txn, selection):
        for state, name in STATES.items():
            if name in selection.states:
                found.rows[destination, name] = txn.counter(queue_rows(destination, state))
                found.bytes += txn.counter(queue_bytes(destination, state))
    if EntryState.CONFLICT in selection.states and selection.destinations is None:
        found.rows[NOWHERE, EntryState.CONFLICT] = txn.counter(standing(Standing.CONFLICT))
    return found


def _rows(txn: Transaction, selection: Selection, after: str) -> Iterator[_Row]:
    if not re.fullmatch(r"(?:|[qs](?:[0-9a-f]{2}){1,240}|[uc][0-9]{1,19})", after):
        raise CursorError("this is not where a page ended")
    kind, at = after[:1], after[1:]
    if selection.uids:
        yield from _named(txn, selection, int(at) if kind == "u" else 0)
        return
    if kind != "c":
        start = bytes.fromhex(at) if kind in {"q", "s"} else b""
        yield from (_queued if selection.study is None else _of_study)(txn, selection, start)
    if EntryState.CONFLICT in selection.states and txn.counter(standing(Standing.CONFLICT)):
        yield from _conflicts(txn, selection, int(at) if kind == "c" else 0)


def _queued(txn: Transaction, selection: Selection, start: bytes) -> Iterator[_Row]:
    for destination in _destinations(txn, selection):
        for state, name in STATES.items():
            prefix = queue_state_prefix(destination, state)
            if name not in selection.states or (start and prefix < start[: len(prefix)]):
                continue
            for key, _ in txn.rows(QUEUE, prefix, start=max(prefix, start)):
                number = int(read_queue_key(key)[3])
                place = Place(number, destination, name)
                yield _beyond("q", key), (place,) if _is_old(number, selection) else (), ""


def _of_study(txn: Transaction, selection: Selection, start: bytes) -> Iterator[_Row]:
    prefix = study_prefix(selection.study or "")
    for key, _ in txn.rows(BY_STUDY, prefix, start=max(prefix, start)):
        number = number_at_end(key)
        instance = read_instance(txn, number)
        yield _beyond("s", key), () if instance is None else _places(txn, number, instance, selection=selection), ""


def _conflicts(txn: Transaction, selection: Selection, after: int) -> Iterator[_Row]:
    for number, instance in all_instances(txn, after):
        wanted = instance.conflict and selection.study in {None, instance.study_instance_uid}
        yield f"c{number}", _places(txn, number, instance, selection=selection) if wanted else (), ""


def _named(txn: Transaction, selection: Selection, first: int) -> Iterator[_Row]:
    for index, uid in enumerate(selection.uids[first:], start=first + 1):
        under = list(_under(txn, uid))
        places = (each for number, instance in under for each in _places(txn, number, instance, selection=selection))
        yield f"u{index}", _conflict_named(uid, under) or tuple(places), "" if under else uid


def _under(txn: Transaction, uid: str) -> Iterator[tuple[int, Instance]]:
    named = _CONFLICT_ID.fullmatch(uid)
    if named is None:
        yield from instances_under(txn, uid)
        return
    instance = read_instance(txn, int(named[1])) if int(named[1]) < 1 << 63 else None
    if instance is not None and instance.conflict:
        yield int(named[1]), instance


def _conflict_named(uid: str, under: list[tuple[int, Instance]]) -> tuple[Place, ...]:
    if _CONFLICT_ID.fullmatch(uid) is None:
        return ()
    return tuple(Place(number, NOWHERE, EntryState.CONFLICT) for number, _ in under)


def _places(txn: Transaction, number: int, instance: Instance, *, selection: Selection) -> tuple[Place, ...]:
    """Return the entries of one instance that are selected."""
    named = [each for each in instance.destinations if _is_of(each, selection)]
    if not _is_old(number, selection):
        return ()
    if instance.conflict:
        wanted = EntryState.CONFLICT in selection.states and (named or selection.destinations is None)
        return (Place(number, NOWHERE, EntryState.CONFLICT),) if wanted else ()
    found = ((each, read_delivery(txn, number, each)) for each in named)
    states = ((each, STATES.get(delivery.state)) for each, delivery in found if delivery is not None)
    return tuple(Place(number, each, state) for each, state in states if state and state in selection.states)


def _destinations(txn: Transaction, selection: Selection) -> list[int]:
    return [each for each in sorted(destination_names(txn)) if _is_of(each, selection)]


def _is_of(destination: int, selection: Selection) -> bool:
    return selection.destinations is None or destination in selection.destinations


def _is_old(number: int, selection: Selection) -> bool:
    return selection.last is None or number <= selection.last


def _beyond(kind: str, key: bytes | memoryview) -> str:
    return f"{kind}{bytes(key).hex()}00"


def conflict_id(number: int) -> str:
    """Return by what a conflict is named."""
    return f"conflict-{number}"


def is_conflict_id(text: str) -> bool:
    """Whether a text names a conflict."""
    return _CONFLICT_ID.fullmatch(text) is not None
