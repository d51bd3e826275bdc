"""Standing problems: what is wrong now, since when, and what to do about it.

A condition is raised by whoever sees the problem and cleared by whoever sees it gone; in between it
stands, however often it is raised again. Its name is a fixed word, with a subject after a colon where
there may be several (`no-proof:archive`); subjects come from the settings, so that the number of
conditions is bounded by them. A hint is for the person responsible: it says what to do, and never
holds patient data. All calls are made on the event loop's thread.
"""

import re
from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from edged.telemetry.clock import Clock

_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?::[\x21-\x7e]{1,128})?")


class Severity(StrEnum):
    """How much a condition matters, least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Condition(Struct, frozen=True, kw_only=True):
    """One standing problem; `since` in seconds since 1970-01-01 UTC."""

    name: str
    since: float
    severity: Severity
    hint: str


class Turn(StrEnum):
    """What happened to a condition."""

    RAISED = "raised"
    CLEARED = "cleared"


Listener = Callable[[Turn, Condition], None]


class Conditions:
    """The conditions of one box."""

    def __init__(self, clock: Clock) -> None:
        """Begin with none; `clock` tells since when one stands."""
        self._clock = clock
        self._standing: dict[str, Condition] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Call `listener` for each condition that is raised, changes its severity or is cleared."""
        self._listeners.append(listener)

    def raise_(self, name: str, severity: Severity, hint: str) -> bool:
        """Raise a condition; return whether it is new or matters more or less than before.

        Raised again it keeps its `since` and takes the new hint, of which nobody is told. Raises
        ValueError for a name of another form.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a condition, such as no-proof:archive")
        standing = self._standing.get(name)
        since = self._clock.wall() if standing is None else standing.since
        condition = Condition(name=name, since=since, severity=severity, hint=hint)
        self._standing[name] = condition
        changed = standing is None or standing.severity is not severity
        if changed:
            self._tell(Turn.RAISED, condition)
        return changed

    def clear(self, name: str) -> bool:
        """Clear a condition; return whether it stood."""
        condition = self._standing.pop(name, None)
        if condition is None:
            return False
        self._tell(Turn.CLEARED, condition)
        return True

    def stands(self, name: str) -> bool:
        """Return whether a condition stands."""
        return name in self._standing

    def snapshot(self) -> tuple[Condition, ...]:
        """Return what stands now: what matters most first, then the oldest."""
        order = list(Severity)
        return tuple(sorted(self._standing.values(), key=lambda c: (-order.index(c.severity), c.since, c.name)))

    def _tell(self, turn: Turn, condition: Condition) -> None:
        for listener in self._listeners:
            listener(turn, condition)
