"""Work that is counted instead of timed: which builtin functions were called, and how often between two turns."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FrameType
from typing import Any

from trio.abc import Instrument


@contextmanager
def each_builtin_call(note: Callable[[BuiltinFunctionType], None]) -> Iterator[None]:
    """Tell `note` of each builtin function that returned to this thread meanwhile."""

    def profile(_frame: FrameType, event: str, called: Any) -> None:
        if event == "c_return":
            note(called)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextmanager
def counted_calls() -> Iterator[Counter[str]]:
    """Count the calls of builtin functions by name."""
    calls: Counter[str] = Counter()

    def note(called: BuiltinFunctionType) -> None:
        calls[called.__name__] += 1

    with each_builtin_call(note):
        yield calls


class TurnWatch(Instrument):
    """The most calls of one builtin function that any task made in one turn."""

    def __init__(self, calls: Counter[str], name: str) -> None:
        self._calls = calls
        self._name = name
        self._before = 0
        self.most = 0

    def before_task_step(self, _task: object) -> None:
        """A task has its turn."""
        self._before = self._calls[self._name]

    def after_task_step(self, _task: object) -> None:
        """The task's turn has ended."""
        self.most = max(self.most, self._calls[self._name] - self._before)
