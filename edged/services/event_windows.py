"""Cutting the event log into windows, so that a study of 2,000 instances is a few reports and not 2,000; pure.

A window is a run of neighbouring events of the kinds that come in bulk; any other event is a window of its own. Where
one ends is seen from two neighbours alone, so that all followers who read the same log cut it alike, and a report is
made once for all of them. The newest window is closed by the clock: followers may then differ by events that were
written late, and each goes on from where its own window ended.

Within a window a report tells of the events of one kind, one study, one destination and one text, in the order of their
first ones. Its numbers are those of its first and last event, and between them may be events that other reports of the
window tell. Therefore a report also says after which number to resume by whoever took all reports up to it: for the
last one of a window its end, for the others the number before its beginning.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from edged.dicomweb.event_report import EventKind
from edged.store.records import Event

QUIET_S: Final = 1.0
"""Between two events: what came before is told."""

MOST_DELAY_S: Final = 5.0
"""Until an event is told, however busy the box is."""

MOST_EVENTS: Final = 250
"""Of a window: some 180 kB as JSON, which each follower that stands still may hold; reads are as long."""

BULK: Final = frozenset({EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED, EventKind.PARKED, EventKind.EVICTED})

Numbered = tuple[int, Event]


@dataclass(frozen=True, slots=True)
class Told:
    """What one report tells: its events, in their order, and the number to resume after."""

    events: tuple[Numbered, ...]
    resume: int

    @property
    def first(self) -> int:
        """The number of its first event."""
        return self.events[0][0]

    @property
    def last(self) -> int:
        """The number of its last event."""
        return self.events[-1][0]


def window_of(events: Iterable[Numbered]) -> tuple[list[Numbered], bool]:
    """Return the first window of some events, which follow one another, and whether it ends before the last of them.

    If it does not, what is not read yet may belong to it. No more than the event after it is taken from `events`.
    """
    window: list[Numbered] = []
    for number, event in events:
        if window and _ends(*window[-1], event):
            return window, True
        window.append((number, event))
        if _is_full(number, event):
            return window, True
    return window, False


def singles_of(events: Iterable[Numbered], *, bulk: bool) -> list[Numbered]:
    """Return the first events up to one of a kind that comes in bulk, unless those are told one by one too (`bulk`).

    A commitment result is alone: it may be as long as thousands of others. No more than the event after is taken.
    """
    found: list[Numbered] = []
    for number, event in events:
        alone = event.kind is EventKind.COMMITMENT_RESULT
        if (found and alone) or (event.kind in BULK and not bulk):
            break
        found.append((number, event))
        if alone:
            break
    return found


def closed_of(events: Sequence[Numbered]) -> tuple[int, Numbered | None]:
    """Return where the last window ends of some events, 0 if none does, and the newest event of one that is open."""
    closed = 0
    for (number, event), (_, following) in pairwise(events):
        if _ends(number, event, following):
            closed = number
    if events and _is_full(*events[-1]):
        return events[-1][0], None
    return closed, events[-1] if events else None


def open_for_s(newest: Event, now: float) -> float:
    """Return for how long the window of the newest event may still grow, in seconds; `now` in those of the epoch.

    A clock that was set back makes it wait no longer than a quiet moment.
    """
    until = min(newest.time + QUIET_S, (newest.time // MOST_DELAY_S + 1) * MOST_DELAY_S)
    return min(max(0.0, until - now), QUIET_S)


def by_study(window: Sequence[Numbered], *, after: int, end: int) -> list[Told]:
    """Return what the reports of a window tell; `window` is what a filter left of the events after `after` to `end`."""
    groups: dict[tuple[object, ...], list[Numbered]] = {}
    for number, event in window:
        key = (event.kind, event.study_instance_uid, event.destination, event.text, event.transaction_uid)
        groups.setdefault(key, []).append((number, event))
    told = [Told(tuple(group), after) for group in groups.values()]
    return [*told[:-1], Told(told[-1].events, end)] if told else []


def one_by_one(window: Sequence[Numbered]) -> list[Told]:
    """Return what the reports tell where each event has its own."""
    return [Told(((number, event),), number) for number, event in window]


def _ends(number: int, event: Event, following: Event) -> bool:
    if _is_full(number, event) or following.kind not in BULK:
        return True
    quiet = not 0.0 <= following.time - event.time < QUIET_S
    return quiet or event.time // MOST_DELAY_S != following.time // MOST_DELAY_S


def _is_full(number: int, event: Event) -> bool:
    return event.kind not in BULK or number % MOST_EVENTS == 0
