"""Examining one recording with several processes: states in shares, then whole daemons, then the archive itself.

A damaged store may end the process that opens it (a page beyond the file is SIGBUS). Then the states that were being
looked at are looked at once more, each alone, and the one that ends its process again is a failure like any other.
"""

import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.powercut.boxes import running
from tests.powercut.record import Recording, Scenario
from tests.powercut.restart import missing_in_archive, restart
from tests.powercut.states import RESTARTED, Failure, State, Tally, look, scratch, suspects

WORKERS = 2
SHARE = 250
"""States that a worker looks at in one go: it walks the whole recording for them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at in one recording."""

    seed: int
    states: int
    daemons: int


class Examiner:
    """Has the processes; a context manager."""

    def __init__(self) -> None:
        self._pool = _pool(WORKERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def examine(self, recording: Recording, wanted: Wanted) -> Tally:
        """Look at many states; where all are good start daemons on some more, and look into the archive."""
        what = f"{recording.scenario} {wanted.seed}"
        total = self._look(recording, wanted, what)
        if not total.failures and wanted.daemons:
            total.add(self._restart(recording, wanted, what))
        return total

    def look_alone(self, recording: Recording, seed: int, number: int) -> Tally:
        """Look at one state in a process of its own."""
        with scratch() as folder, _pool(1) as alone:
            try:
                return alone.submit(look, recording, seed, [number], within=folder).result()
            except BrokenProcessPool:
                return Tally(states=1, failures=[Failure(State(-1, number), "died", ("opening it ends the process",))])

    def _look(self, recording: Recording, wanted: Wanted, what: str) -> Tally:
        shares = [range(at, min(at + SHARE, wanted.states)) for at in range(0, wanted.states, SHARE)]
        with scratch() as folder:
            jobs = [self._pool.submit(look, recording, wanted.seed, share, within=folder) for share in shares]
            try:
                return _gathered(jobs, what)
            except BrokenProcessPool:
                self._pool = _pool(WORKERS)
                dying = suspects(folder)
        total = Tally()
        for number in dying:
            total.add(self.look_alone(recording, wanted.seed, number))
        return total

    def _restart(self, recording: Recording, wanted: Wanted, what: str) -> Tally:
        numbers = range(RESTARTED, RESTARTED + wanted.daemons)
        with ExitStack() as stack:
            forwarding = recording.scenario is Scenario.FORWARDING
            archive = stack.enter_context(running(recording.archive())) if forwarding else None
            jobs = [self._pool.submit(restart, recording, wanted.seed, number, archive=archive) for number in numbers]
            total = _gathered(jobs, f"{what}, daemons")
        missing = missing_in_archive(recording) if forwarding else []
        if missing:
            total.failures.append(Failure(State(-1, -1), "the archive", tuple(missing)))
        return total


def _pool(workers: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))


def _gathered(jobs: Sequence[Future[Tally]], what: str) -> Tally:
    """Add up what the jobs return, with a line of progress."""
    total = Tally()
    for job in as_completed(jobs):
        total.add(job.result())
        end = "\r" if sys.stderr.isatty() else "\n"
        looked = total.states + total.restarted
        print(f"{what}: {looked} looked at, {len(total.failures)} bad", end=end, file=sys.stderr, flush=True)
    return total
