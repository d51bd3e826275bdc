"""The one transaction that makes an instance exist (DESIGN §1.1, §3).

Chunks not yet spooled, record, indexes, study, deliveries with their queue entries, counters and event are written
together; when it has committed the sender may be told yes. A data set that is held under the UID already is a success
without another copy. Another data set is judged by `duplicate` (DICOM.md §2): refused; held aside as a conflict, which
goes nowhere by itself; or put in the place of the first while no destination was sent that one.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from msgspec import Struct, structs

from edged.config.choices import Duplicate
from edged.dicomweb.event_report import EventKind
from edged.store.chunks import has_chunk, write_chunks
from edged.store.counters import NEXT_INSTANCE
from edged.store.errors import StoreFull
from edged.store.events import append_event, instance_event
from edged.store.eviction import Before, before_eviction
from edged.store.instances import enter, instances_under, take_out
from edged.store.queue import Start, drop_deliveries, enqueue
from edged.store.records import Check, Event, Instance, Unowned, UnownedKind
from edged.store.schema import UNOWNED, u64_key
from edged.store.standings import is_sent_nowhere, read_deliveries
from edged.store.transaction import Transaction

START = Start()
"""Not urgent, and nothing known of it."""


class Outcome(StrEnum):
    """What became of an instance that was handed in.

    `conflict`: it is held beside the one that its UID addresses. `replaced`: it took that one's place.
    """

    STORED = "stored"
    SAME = "same"
    DIFFERENT = "different"
    CONFLICT = "conflict"
    REPLACED = "replaced"


class Tail(Struct, frozen=True):
    """Chunks still in memory, for the instance `number`; `first` is the number of the first of them."""

    number: int
    first: int
    chunks: Sequence[bytes | bytearray]


class Admitted(Struct, frozen=True):
    """The outcome with the number under which the data set is held; of `different`, that of the first.

    `inconsistent` says that the study's patient, or the series' study, is another one than before (DICOM.md §2);
    `addressed` that the UID leads to this data set.
    """

    outcome: Outcome
    number: int
    inconsistent: bool = False
    addressed: bool = True


class _Held(Struct, frozen=True):
    """What is there under the UID: the same data set, and the instance that is addressed by the UID."""

    same: tuple[int, Instance] | None = None
    addressed: tuple[int, Instance] | None = None


def spool(txn: Transaction, tail: Tail, now: float) -> None:
    """Write chunks of an instance that is still arriving; until it is admitted they are unowned."""
    if tail.first == 0:
        _give_out(txn, tail.number)
        txn.put_record(UNOWNED, u64_key(tail.number), Unowned(kind=UnownedKind.SPOOLING, since=now))
    _require_earlier(txn, tail)
    write_chunks(txn, tail.number, tail.chunks, first=tail.first)


def admit(
    txn: Transaction, instance: Instance, tail: Tail, *, start: Start = START, duplicate: Duplicate = Duplicate.REFUSE
) -> Admitted:
    """Make the instance exist, or say why not."""
    held = _held(txn, instance)
    if held.same is not None:
        return Admitted(Outcome.SAME, held.same[0], addressed=not held.same[1].conflict)
    if held.addressed is None:
        return Admitted(Outcome.STORED, tail.number, inconsistent=not _store(txn, instance, tail, start=start))
    first, present = held.addressed
    if duplicate is Duplicate.REFUSE:
        return Admitted(Outcome.DIFFERENT, first)
    if duplicate is Duplicate.REPLACE and is_sent_nowhere(read_deliveries(txn, first, present)):
        _give_up(txn, first, present, now=instance.received)
        # a worker may be sending the first at this moment, or its answer was lost: the archive may keep that one
        consistent = _store(txn, instance, tail, start=replace(start, check=Check.DIGEST))
        append_event(txn, _event(EventKind.CONFLICT, tail.number, instance, text=f"replaces number {first}"))
        return Admitted(Outcome.REPLACED, tail.number, inconsistent=not consistent)
    _hold_aside(txn, structs.replace(instance, conflict=True), tail, first=first)
    return Admitted(Outcome.CONFLICT, tail.number, addressed=False)


def _held(txn: Transaction, instance: Instance) -> _Held:
    addressed: tuple[int, Instance] | None = None
    for number, present in instances_under(txn, instance.sop_instance_uid):
        if present.dataset_digest == instance.dataset_digest:
            return _Held(same=(number, present))
        if not present.conflict:
            addressed = number, present
    return _Held(addressed=addressed)


def _store(txn: Transaction, instance: Instance, tail: Tail, *, start: Start) -> bool:
    """Write an instance that its UID addresses; return whether its study and series agree with it."""
    _own(txn, tail)
    consistent = enter(txn, tail.number, instance)
    before = before_eviction(txn, instance)
    check = Check.DIGEST if before is Before.OTHER else start.check
    enqueue(txn, tail.number, instance, start=replace(start, ask_first=before is Before.SAME, check=check))
    append_event(txn, _event(EventKind.RECEIVED, tail.number, instance, text=instance.intake))
    return consistent


def _hold_aside(txn: Transaction, conflict: Instance, tail: Tail, *, first: int) -> None:
    """Write a conflict: durable, without a delivery, until somebody releases or discards it."""
    _own(txn, tail)
    enter(txn, tail.number, conflict)
    enqueue(txn, tail.number, conflict, start=START)
    append_event(txn, _event(EventKind.CONFLICT, tail.number, conflict, text=f"held beside number {first}"))


def _own(txn: Transaction, tail: Tail) -> None:
    _give_out(txn, tail.number)
    _require_earlier(txn, tail)
    write_chunks(txn, tail.number, tail.chunks, first=tail.first)
    if tail.first:
        txn.delete(UNOWNED, u64_key(tail.number))


def _require_earlier(txn: Transaction, tail: Tail) -> None:
    """What follows chunks that found no room must not find any either: then a part of the instance would be missing."""
    if tail.first and not has_chunk(txn, tail.number, tail.first - 1):
        raise StoreFull("the beginning of the instance found no room")


def _give_up(txn: Transaction, number: int, instance: Instance, *, now: float) -> None:
    """Take an instance out; its chunks are left to the sweeper, since somebody may be reading them."""
    drop_deliveries(txn, number, instance)
    take_out(txn, number, instance)
    txn.put_record(UNOWNED, u64_key(number), Unowned(kind=UnownedKind.REPLACED, since=now))


def _give_out(txn: Transaction, number: int) -> None:
    """Numbers are taken in memory; the highest one that was ever written is kept, so that none comes back."""
    beyond = number - txn.counter(NEXT_INSTANCE)
    if beyond > 0:
        txn.add(NEXT_INSTANCE, beyond)


def _event(kind: EventKind, number: int, instance: Instance, *, text: str) -> Event:
    return instance_event(kind, (number, instance), time=instance.received, text=text)
