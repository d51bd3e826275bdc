"""What is asked of the queues and answered, as values: in JSON between the commands and the daemon, so they only grow.

Times are seconds since the epoch, sizes bytes.
"""

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from msgspec import Struct

from edged.services.bell import Bells
from edged.store.queue_admin import Decision, Done
from edged.store.queue_walk import NOWHERE, Entry, EntryState, Sums, conflict_id
from edged.store.records import Delivery, DeliveryState
from edged.telemetry.conditions import Conditions


class QueueRequestError(ValueError):
    """What is asked cannot be done as it was asked; the text may be shown."""


class UnknownNameError(ValueError):
    """What is asked about is not known; the text tells the remedy."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class Plan:
    """What an entry waits for; `next_try_s` is in how many seconds it is tried, None where that is not known."""

    waits_for: str
    next_try_s: float | None = None


class Hand(Protocol):
    """A destination that runs, to whoever changes its queue."""

    def undisturbed(self) -> AbstractAsyncContextManager[Collection[int]]:
        """Keep it from taking work while the block runs; gives the numbers of what it is sending."""

    def renew(self, number: int, *, doubted: bool) -> None:
        """Forget what was held against an instance; `doubted`: it gets one try, alone."""

    def hasten(self) -> None:
        """Try the destination now, whatever it waits for."""

    def plan(self, number: int, state: EntryState, delivery: Delivery | None) -> Plan:
        """Tell what an entry waits for."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a decision reaches beside the store; `hands` are the destinations that run, by their ids."""

    conditions: Conditions
    bells: Bells
    hands: Mapping[int, Hand]


class Wanted(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries; what is empty does not matter. `uids` may be conflict ids too."""

    destination: str = ""
    study: str = ""
    uids: tuple[str, ...] = ()
    states: tuple[EntryState, ...] = ()


class Change(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a change: `after` is the cursor of the step before, `to` a destination, `token` of the consent."""

    after: str = ""
    reason: str = ""
    to: str = ""
    token: str = ""


class Shown(Struct, frozen=True, kw_only=True):
    """One entry; a conflict has an id and no destination. `reason` is the destination's DICOM code in hexadecimal."""

    sop_instance_uid: str
    study_instance_uid: str
    sop_class_uid: str
    number: int
    conflict: str | None
    destination: str | None
    state: EntryState
    received: float
    since: float
    size_bytes: int
    urgent: bool
    reason: str | None
    text: str
    resends: int
    waits_for: str
    next_try_s: float | None


class Sum(Struct, frozen=True):
    """How many entries of one destination are in one state; conflicts are of none."""

    destination: str | None
    state: EntryState
    entries: int


class Summed(Struct, frozen=True):
    """All that was selected: how many entries, how many bytes would leave for them, and where they are."""

    entries: int
    size_bytes: int
    sums: tuple[Sum, ...]

    @classmethod
    def of(cls, found: Sums, names: Mapping[int, str]) -> "Summed":
        """Make it of what was counted."""
        rows = sorted((number, state, count) for (number, state), count in found.rows.items() if count)
        counted = tuple(Sum(names.get(number), state, count) for number, state, count in rows)
        return cls(found.rows.total(), found.bytes, counted)


class Listed(Struct, frozen=True):
    """A page: `after` is "" on the last one, `total` stands on the first. `unknown` are UIDs under which nothing is."""

    entries: tuple[Shown, ...]
    after: str
    unknown: tuple[str, ...]
    total: Summed | None


class Skipped(Struct, frozen=True):
    """An entry that was left as it is, and why."""

    sop_instance_uid: str
    number: int
    destination: str | None
    text: str


class Stepped(Struct, frozen=True):
    """A step that was done; `after` is where the next begins, "" when there is none."""

    done: int
    skipped: tuple[Skipped, ...]
    unknown: tuple[str, ...]
    after: str


class ToConfirm(Struct, frozen=True):
    """What would be discarded, and the token that agrees to it, for so many seconds after each use."""

    token: str
    valid_s: float
    total: Summed


class Account(Struct, frozen=True):
    """What was decided about one entry, in words."""

    sop_instance_uid: str
    text: str


def account(done: Done, decision: Decision, names: Mapping[int, str]) -> Account:
    """Tell what was done about an entry, and why; or why nothing was."""
    place, action = done.place, decision.action.value
    at = conflict_id(place.number) if place.destination == NOWHERE else f"at {names.get(place.destination, '')}"
    to = f" to {names.get(decision.target, '')}" if decision.target else ""
    why = f": {decision.why}" if decision.why else ""
    text = f"{action} {at}{to}{why}" if done.done else f"not {action} {at}: {done.text}"
    return Account(done.sop_instance_uid, text)


def listed(entry: Entry, names: Mapping[int, str], plan: Plan) -> Shown:
    """Return an entry as it is shown."""
    place, instance, delivery = entry.place, entry.instance, entry.delivery
    known = delivery or Delivery(state=DeliveryState.ON_HOLD, since=instance.received)
    return Shown(
        sop_instance_uid=instance.sop_instance_uid,
        study_instance_uid=instance.study_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        number=place.number,
        conflict=conflict_id(place.number) if place.destination == NOWHERE else None,
        destination=names.get(place.destination),
        state=place.state,
        received=instance.received,
        since=known.since,
        size_bytes=instance.exit_length,
        urgent=known.urgency == 0,
        reason=None if known.reason is None else f"{known.reason:04X}H",
        text=known.text or known.answer,
        resends=known.resends,
        waits_for=plan.waits_for,
        next_try_s=plan.next_try_s,
    )


def skipped(done: Done, names: Mapping[int, str]) -> Skipped:
    """Return an entry about which nothing was done as it is shown."""
    return Skipped(done.sop_instance_uid, done.place.number, names.get(done.place.destination), done.text)
