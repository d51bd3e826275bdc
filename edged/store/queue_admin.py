"""What a person decides about entries of the queues: each about one entry, in the transaction that makes it true.

A table says from which states an action starts; it is asked again in the transaction, so that what moved meanwhile
stays where it is. Nothing here ends silently: every decision stands in the instance's history with who made it and why,
and where a kind of event fits, in the event log. Invariants: an instance whose last destination is taken away is let
go, one that had a required destination keeps one as long as it has any; of a UID at most one instance is no conflict.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.counters import standing
from edged.store.events import append_event, instance_event
from edged.store.eviction import Going, evict, let_go_by_hand
from edged.store.history import note
from edged.store.instances import enter, find_instance, take_out
from edged.store.queue import (
    Start,
    begin_anew,
    destination_names,
    drop_deliveries,
    enqueue,
    move,
    read_instance,
    rearrange,
)
from edged.store.queue_walk import STATES, EntryState, Place, conflict_id
from edged.store.records import (
    Check,
    Delivery,
    DeliveryState,
    Event,
    Happened,
    HistoryEntry,
    Instance,
    Standing,
    Unowned,
    UnownedKind,
)
from edged.store.schema import UNOWNED, read_moment_key, u64_key
from edged.store.standings import evictable_key, is_evictable, is_sent_nowhere, read_deliveries, read_delivery
from edged.store.transaction import Transaction


class Action(StrEnum):
    """What can be done about an entry."""

    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    DISCARD = "discard"
    MOVE = "move"


STARTS = {
    Action.RETRY: frozenset({EntryState.PARKED, EntryState.STUCK, EntryState.PENDING}),
    Action.HOLD: frozenset({EntryState.PENDING, EntryState.STUCK}),
    Action.RELEASE: frozenset({EntryState.ON_HOLD, EntryState.CONFLICT}),
    Action.DISCARD: frozenset(EntryState),
    Action.MOVE: frozenset(EntryState) - {EntryState.CONFLICT},
}
"""The states from which each action starts; a retry also from sent, where it was sent again in vain."""

USUAL = {
    **{action: states - {EntryState.CONFLICT} for action, states in STARTS.items()},
    Action.RETRY: frozenset({EntryState.PARKED, EntryState.STUCK}),
}
"""Those that are meant where no state is named: a conflict never is, and what is pending needs no retry by the way."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided, by whom, why and when (seconds since the epoch); `target` is where a move goes.

    `gates`: the target is one of those without which nothing is let go.
    """

    action: Action
    who: str
    time: float
    why: str = ""
    target: int = 0
    gates: bool = False

    @property
    def by(self) -> str:
        """Who decided, and why."""
        return f"by {self.who}: {self.why}" if self.why else f"by {self.who}"


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a decision about one entry; `text` says why nothing did."""

    place: Place
    sop_instance_uid: str
    done: bool
    text: str = ""


@dataclass(frozen=True, slots=True)
class _Subject:
    place: Place
    instance: Instance
    delivery: Delivery


class _Conflict(NamedTuple):
    number: int
    instance: Instance


def decide(txn: Transaction, place: Place, decision: Decision) -> Done:
    """Carry out a decision about one entry, if it is still there and in a state that the action starts from."""
    instance = read_instance(txn, place.number)
    if instance is None:
        return Done(place, "", done=False, text="it is not here any more")
    uid = instance.sop_instance_uid
    if place.state is EntryState.CONFLICT:
        if not instance.conflict or decision.action not in _OF_CONFLICTS:
            return Done(place, uid, done=False, text=_inapt(EntryState.CONFLICT, decision.action))
        refused = _OF_CONFLICTS[decision.action](txn, _Conflict(place.number, instance), decision)
        return Done(place, uid, done=not refused, text=refused)
    delivery = read_delivery(txn, place.number, place.destination)
    state = None if delivery is None else STATES.get(delivery.state)
    if delivery is None or state is None:
        return Done(place, uid, done=False, text="it is committed, or gone from this destination")
    if state not in STARTS[decision.action] and not (decision.action is Action.RETRY and _sent_in_vain(delivery)):
        return Done(place, uid, done=False, text=_inapt(state, decision.action))
    _OF_ENTRIES[decision.action](txn, _Subject(place, instance, delivery), decision)
    return Done(place, uid, done=True)


def _sent_in_vain(delivery: Delivery) -> bool:
    """Whether it was "stored", sent again and still not to be seen: then a person may have it sent anew."""
    return delivery.state is DeliveryState.SENT and delivery.resends > 0


def _inapt(state: EntryState, action: Action) -> str:
    states = " or ".join(sorted(each.value for each in STARTS[action]))
    return f"it is {state.value}, and {action.value} is for what is {states}"


def _retry(txn: Transaction, subject: _Subject, decision: Decision) -> None:
    """Begin anew; what is pending is only to be tried at once, which stands nowhere in the store.

    What was sent again in vain is counted anew too, and looked for before it is sent.
    """
    in_vain = subject.delivery.resends > 0
    if subject.delivery.state is DeliveryState.HELD and not in_vain:
        return
    held = Delivery(
        state=DeliveryState.HELD,
        since=decision.time,
        ask_first=subject.delivery.ask_first or in_vain,
        text=f"retried {decision.by}",
    )
    place = subject.place
    begin_anew(txn, place.number, place.destination, expected=(subject.delivery.state,), to=held)


def _hold(txn: Transaction, subject: _Subject, decision: Decision) -> None:
    _turn(txn, subject, DeliveryState.ON_HOLD, text=f"put on hold {decision.by}", now=decision.time)


def _release(txn: Transaction, subject: _Subject, decision: Decision) -> None:
    _turn(txn, subject, DeliveryState.HELD, text=f"released {decision.by}", now=decision.time)


def _turn(txn: Transaction, subject: _Subject, state: DeliveryState, *, text: str, now: float) -> None:
    place, present = subject.place, subject.delivery
    to = structs.replace(present, state=state, since=now, text=text, answer="", reason=None)
    move(txn, place.number, place.destination, expected=(present.state,), to=to)


def _discard(txn: Transaction, subject: _Subject, decision: Decision) -> None:
    """Take the entry away; with the last one goes the instance. What is left gates eviction, if nothing else does."""
    number, destination, before = subject.place.number, subject.place.destination, subject.instance
    told = f"{_stood(txn, subject)}, discarded {decision.by}"
    _note(txn, subject.place, Happened.DISCARDED, time=decision.time, text=told)
    left = tuple(each for each in before.destinations if each != destination)
    if not left:
        let_go_by_hand(txn, number, before, now=decision.time, text=told)
        return
    required = tuple(each for each in before.required if each != destination)
    if before.required and not required:
        required = left
    after = structs.replace(before, destinations=left, required=required)
    rearrange(txn, number, before, after=after, deliveries={destination: None})


def _move_elsewhere(txn: Transaction, subject: _Subject, decision: Decision) -> None:
    """Give the entry to another destination, which is asked first if this one may have been the same archive."""
    place, before, present = subject.place, subject.instance, subject.delivery
    source, target = place.destination, decision.target
    sent = present.state is DeliveryState.SENT or present.resends > 0
    begun = Delivery(
        state=DeliveryState.ON_HOLD if present.state is DeliveryState.ON_HOLD else DeliveryState.HELD,
        since=decision.time,
        urgency=present.urgency,
        ask_first=present.ask_first or sent,
        check=present.check,
        text=f"moved {decision.by}",
    )
    changes: dict[int, Delivery | None] = {source: None}
    if target not in before.destinations:
        changes[target] = begun
    destinations = tuple(dict.fromkeys(target if each == source else each for each in before.destinations))
    required = tuple(dict.fromkeys(target if each == source else each for each in before.required))
    if decision.gates and target not in required:
        required = (*required, target)
    told = f"{_stood(txn, subject)}, moved to {destination_names(txn).get(target, target)} {decision.by}"
    _note(txn, Place(place.number, target, place.state), Happened.MOVED, time=decision.time, text=told)
    after = structs.replace(before, destinations=destinations, required=required)
    rearrange(txn, place.number, before, after=after, deliveries=changes)


def _stood(txn: Transaction, subject: _Subject) -> str:
    """Tell how an entry stood that is taken away, and by what evidence."""
    present, name = subject.delivery, destination_names(txn).get(subject.place.destination, "")
    evidence = f" ({present.evidence})" if present.evidence else ""
    return f"{STATES[present.state].value}{evidence} at {name}"


def _release_conflict(txn: Transaction, conflict: _Conflict, decision: Decision) -> str:
    """Give the UID to a conflict, to be sent, and compared there; return why not, if so.

    What came first takes its place as the conflict if it was sent nowhere, and is let go if it is committed.
    """
    number, instance = conflict
    first = find_instance(txn, instance.sop_instance_uid)
    if first is not None:
        deliveries = read_deliveries(txn, *first)
        if not is_sent_nowhere(deliveries) and not is_evictable(first[1], deliveries):
            return (
                f"the one that came first, number {first[0]}, was sent and is not committed yet: "
                "release this when it is, or discard that one"
            )
        _make_way(txn, *first, beside=number, decision=decision)
    take_out(txn, number, instance)
    txn.add(standing(Standing.CONFLICT), -1)
    released = structs.replace(instance, conflict=False)
    enter(txn, number, released)
    enqueue(txn, number, released, start=Start(check=Check.DIGEST))
    told = f"{conflict_id(number)} released {decision.by}"
    append_event(txn, _event(number, released, time=decision.time, text=told))
    for destination in released.destinations or (0,):
        _note(txn, Place(number, destination, EntryState.CONFLICT), Happened.HELD, time=decision.time, text=told)
    return ""


def _make_way(txn: Transaction, number: int, first: Instance, *, beside: int, decision: Decision) -> None:
    deliveries = read_deliveries(txn, number, first)
    if not is_sent_nowhere(deliveries):
        committed_ms, _ = read_moment_key(evictable_key(number, first, deliveries))
        evict(txn, [Going(committed_ms, number, first.size)], now=decision.time)
        return
    drop_deliveries(txn, number, first)
    take_out(txn, number, first)
    aside = structs.replace(first, conflict=True)
    enter(txn, number, aside)
    enqueue(txn, number, aside, start=Start())
    told = f"held as {conflict_id(number)} beside number {beside}, which was released {decision.by}"
    append_event(txn, _event(number, aside, time=decision.time, text=told))
    _note(txn, Place(number, 0, EntryState.CONFLICT), Happened.ON_HOLD, time=decision.time, text=told)


def _discard_conflict(txn: Transaction, conflict: _Conflict, decision: Decision) -> str:
    """Take a conflict out; its bytes are left to the sweeper. It stands in the history of the one that came first."""
    number, instance = conflict
    told = f"{conflict_id(number)} discarded {decision.by}"
    first = find_instance(txn, instance.sop_instance_uid)
    for each in {number, first[0] if first is not None else number}:
        _note(txn, Place(each, 0, EntryState.CONFLICT), Happened.DISCARDED, time=decision.time, text=told)
    txn.add(standing(Standing.CONFLICT), -1)
    take_out(txn, number, instance)
    txn.put_record(UNOWNED, u64_key(number), Unowned(kind=UnownedKind.REPLACED, since=decision.time))
    append_event(txn, _event(number, instance, time=decision.time, text=told))
    return ""


def _note(txn: Transaction, place: Place, what: Happened, *, time: float, text: str) -> None:
    note(txn, place.number, HistoryEntry(what=what, time=time, destination=place.destination, text=text))


def _event(number: int, instance: Instance, *, time: float, text: str) -> Event:
    return instance_event(EventKind.CONFLICT, (number, instance), time=time, text=text)


_OF_ENTRIES: dict[Action, Callable[[Transaction, _Subject, Decision], None]] = {
    Action.RETRY: _retry,
    Action.HOLD: _hold,
    Action.RELEASE: _release,
    Action.DISCARD: _discard,
    Action.MOVE: _move_elsewhere,
}
_OF_CONFLICTS: dict[Action, Callable[[Transaction, _Conflict, Decision], str]] = {
    Action.RELEASE: _release_conflict,
    Action.DISCARD: _discard_conflict,
}
