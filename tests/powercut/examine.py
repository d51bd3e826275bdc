"""Examining one recording with several processes: states in shares, then whole daemons, then the archive itself.

A share is a stretch of the log: states that leave the same disk, or hold the same snapshot, are in one. A damaged store
may end the process that opens it (a page beyond the file is SIGBUS). Then the states that were being looked at are
looked at once more, each alone, and the one that ends its process again is a failure like any other.
"""

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.powercut.boxes import running
from tests.powercut.record import Recording, Scenario
from tests.powercut.restart import missing_in_archive, restart
from tests.powercut.states import RESTARTED, look, scratch, states_of, suspects
from tests.powercut.tally import Failure, State, Tally

WORKERS = 2
SHARE = 1000
"""States that a worker looks at in one go: it walks the recording up to the last of them."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at in one recording."""

    seed: int
    states: int
    daemons: int


class Examiner:
    """Has the processes; a context manager. Adds what was looked at to `total`, and calls `progress` each time."""

    def __init__(self, total: Tally, progress: Callable[[str], None]) -> None:
        self._pool = _pool(WORKERS)
        self._total = total
        self._progress = progress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def examine(self, recording: Recording, wanted: Wanted) -> None:
        """Look at many states; where all are good start daemons on some more, and look into the archive."""
        what = f"{recording.scenario} {wanted.seed}"
        self._look(recording, wanted, what)
        self._total.finish_recording()
        if not self._total.failures and wanted.daemons:
            self._restart(recording, wanted, what)

    def look_alone(self, recording: Recording, seed: int, number: int) -> None:
        """Look at one state in a process of its own."""
        states = states_of(recording, seed, [number])
        with scratch() as folder, _pool(1) as alone:
            try:
                self._total.add(alone.submit(look, recording, seed, states, within=folder).result())
            except BrokenProcessPool:
                died = Failure(states[0], "died", ("opening it ends the process",))
                self._total.add(Tally(states=1, failures=[died]))

    def _look(self, recording: Recording, wanted: Wanted, what: str) -> None:
        states = states_of(recording, wanted.seed, range(wanted.states))
        count = max(WORKERS, -(-len(states) // SHARE))
        shares = [states[len(states) * at // count : len(states) * (at + 1) // count] for at in range(count)]
        with scratch() as folder:
            jobs = [self._pool.submit(look, recording, wanted.seed, share, within=folder) for share in shares]
            try:
                self._gather(jobs, what)
                return
            except BrokenProcessPool:
                self._pool = _pool(WORKERS)
                dying = suspects(folder)
        for number in dying:
            self.look_alone(recording, wanted.seed, number)

    def _restart(self, recording: Recording, wanted: Wanted, what: str) -> None:
        numbers = range(RESTARTED, RESTARTED + wanted.daemons)
        with ExitStack() as stack:
            forwarding = recording.scenario is Scenario.FORWARDING
            archive = stack.enter_context(running(recording.archive())) if forwarding else None
            jobs = [self._pool.submit(restart, recording, wanted.seed, number, archive=archive) for number in numbers]
            self._gather(jobs, f"{what}, daemons")
        missing = missing_in_archive(recording) if forwarding else []
        if missing:
            self._total.failures.append(Failure(State(-1, -1), "the archive", tuple(missing)))

    def _gather(self, jobs: Sequence[Future[Tally]], what: str) -> None:
        try:
            for job in as_completed(jobs):
                self._total.add(job.result())
                self._progress(what)
        finally:
            _end(jobs)


def _end(jobs: Sequence[Future[Tally]]) -> None:
    """Wait for what runs, which needs its folder, and let the rest be."""
    for job in jobs:
        job.cancel()
    wait(jobs)


def _pool(workers: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts_to_the_parent)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
