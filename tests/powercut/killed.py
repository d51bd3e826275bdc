"""A daemon that kills itself at a named point: `python -m tests.powercut.killed POINT run …`.

The points are places in the program between two steps of its work, each named by a function and a side of it. They are
put in from outside, so that the program itself knows nothing of them. A call that returns something empty did nothing
and is not counted.
"""

import functools
import importlib
import inspect
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any

from edged.cli import main


class Side(Enum):
    """Before the function runs, or after it has returned."""

    BEFORE = "before"
    AFTER = "after"


class Point(StrEnum):
    """Where the daemon dies."""

    STORE_FILLED = "store-filled"
    STORE_MADE = "store-made"
    SPOOL_WRITTEN = "spool-written"
    SPOOL_COMMITTED = "spool-committed"
    ADMISSION_WRITTEN = "admission-written"
    ADMISSION_COMMITTED = "admission-committed"
    UPLOAD_LEASED = "upload-leased"
    UPLOAD_ANSWERED = "upload-answered"
    UPLOAD_RECORDED = "upload-recorded"
    ASK_DURABLE = "ask-durable"
    ASK_ANSWERED = "ask-answered"
    PROOF_RECORDED = "proof-recorded"
    REQUEST_TAKEN = "request-taken"
    DECISION_WRITTEN = "decision-written"
    RESULT_WRITTEN = "result-written"
    EVICTION_WRITTEN = "eviction-written"
    EVICTION_COMMITTED = "eviction-committed"
    SWEEP_WRITTEN = "sweep-written"
    MEMORY_TRIMMED = "memory-trimmed"


@dataclass(frozen=True, slots=True)
class Place:
    """The function as the module that calls it names it, the side, and which call it is."""

    module: str
    function: str
    side: Side
    call: int = 1


PLACES = {
    Point.STORE_FILLED: Place("edged.store.creation", "_fill", Side.AFTER),
    Point.STORE_MADE: Place("edged.store.allocation", "create", Side.AFTER),
    Point.SPOOL_WRITTEN: Place("edged.store.upload", "spool", Side.AFTER),
    Point.SPOOL_COMMITTED: Place("edged.store.upload", "Upload._spooled", Side.BEFORE),
    Point.ADMISSION_WRITTEN: Place("edged.store.upload", "admit", Side.AFTER, 4),
    Point.ADMISSION_COMMITTED: Place("edged.store.upload", "Upload._admitted", Side.BEFORE, 4),
    Point.UPLOAD_LEASED: Place("edged.upstream.sender", "Sender._send", Side.BEFORE),
    Point.UPLOAD_ANSWERED: Place("edged.upstream.outcomes", "Outcomes.apply", Side.BEFORE),
    Point.UPLOAD_RECORDED: Place("edged.upstream.outcomes", "Outcomes.apply", Side.AFTER),
    Point.ASK_DURABLE: Place("edged.upstream.asker", "Asker._begin", Side.AFTER),
    Point.ASK_ANSWERED: Place("edged.upstream.asker", "Asker._settle", Side.BEFORE),
    Point.PROOF_RECORDED: Place("edged.upstream.asker", "commit", Side.AFTER),
    Point.REQUEST_TAKEN: Place("edged.services.commitment", "CommitmentService.request", Side.AFTER),
    Point.DECISION_WRITTEN: Place("edged.services.commitment", "decide", Side.AFTER, 2),
    Point.RESULT_WRITTEN: Place("edged.services.commitment", "CommitmentService._decide", Side.AFTER),
    Point.EVICTION_WRITTEN: Place("edged.services.retention", "evict", Side.AFTER),
    Point.EVICTION_COMMITTED: Place("edged.services.retention", "Retention.step", Side.AFTER),
    Point.MEMORY_TRIMMED: Place("edged.services.trimming", "trim_memory", Side.AFTER),
    Point.SWEEP_WRITTEN: Place("edged.store.sweeper", "delete_chunks", Side.AFTER),
}


def program(point: Point) -> tuple[str, ...]:
    """The command that runs a daemon that dies there."""
    return sys.executable, "-m", "tests.powercut.killed", point


class _Counter:
    """Counts the calls that did something, and kills the process at the one."""

    def __init__(self, call: int) -> None:
        self._left = call

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def returned(self, result: Any) -> None:
        if result or result is None:
            self.count()


def _deadly(function: Callable[..., Any], place: Place) -> Callable[..., Any]:
    counter = _Counter(place.call)

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        if place.side is Side.BEFORE:
            counter.count()
        result = function(*arguments, **named)
        if place.side is Side.AFTER and not inspect.iscoroutine(result):
            counter.returned(result)
        return _waited(result, counter) if place.side is Side.AFTER and inspect.iscoroutine(result) else result

    return call


async def _waited(running: Any, counter: _Counter) -> Any:
    result = await running
    counter.returned(result)
    return result


def arm(point: Point) -> None:
    """Put a point in."""
    place = PLACES[point]
    holder: Any = importlib.import_module(place.module)
    *classes, name = place.function.split(".")
    for each in classes:
        holder = getattr(holder, each)
    setattr(holder, name, _deadly(getattr(holder, name), place))


if __name__ == "__main__":
    arm(Point(sys.argv.pop(1)))
    main()
