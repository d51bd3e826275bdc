"""The recordings of one run: what each is for, and making the next ones while one is examined.

A box that forwards mostly waits, so several are recorded at once and ahead of what is examined. Every recording has a
folder of its own, which is deleted afterwards; only that of a bad state is kept.
"""

import shutil
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.powercut.examine import Wanted
from tests.powercut.record import Recording, Scenario, record
from tests.powercut.recording import build_shim

A_RECORDING = 4_000
"""After so many states the load is recorded anew, with the next seed."""

AHEAD = 2


@dataclass(frozen=True, slots=True)
class Round:
    """One recording, and what is wanted of it."""

    scenario: Scenario
    wanted: Wanted


def rounds(whole: Wanted, scenarios: list[Scenario]) -> list[Round]:
    """Divide what is wanted of a run: the scenarios take turns, and the seed is the next when each had its turn."""
    size = min(A_RECORDING, -(-whole.states // len(scenarios)))
    count = -(-whole.states // size)
    return [
        Round(
            scenarios[number % len(scenarios)],
            Wanted(
                whole.seed + number // len(scenarios),
                min(size, whole.states - number * size),
                whole.daemons * (number + 1) // count - whole.daemons * number // count,
            ),
        )
        for number in range(count)
    ]


class Recorder:
    """Makes recordings, AHEAD of what is examined; a context manager that deletes those that were not kept."""

    def __init__(self, work: Path | None, program: tuple[str, ...]) -> None:
        self._work = work
        self._program = program
        self._threads = ThreadPoolExecutor(AHEAD)
        self._folders: set[Path] = set()
        build_shim()  # before several want it at once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._threads.shutdown(cancel_futures=True)
        for folder in self._folders:
            shutil.rmtree(folder)

    def recordings(self, rounds: Sequence[Round]) -> Iterator[tuple[Recording, Wanted]]:
        """Yield one after the other, with what is wanted of it; it is deleted when the next is asked for."""
        ahead = deque(self._begun(each) for each in rounds[:AHEAD])
        later = iter(rounds[AHEAD:])
        while ahead:
            wanted, making = ahead.popleft()
            recording = making.result()
            ahead.extend(self._begun(each) for each in islice(later, 1))
            yield recording, wanted
            self._folders.remove(recording.folder)
            shutil.rmtree(recording.folder)

    def keep(self, recording: Recording) -> None:
        """Leave a recording where it is."""
        self._folders.remove(recording.folder)

    def _begun(self, each: Round) -> tuple[Wanted, Future[Recording]]:
        return each.wanted, self._threads.submit(self._make, each)

    def _make(self, each: Round) -> Recording:
        folder = Path(tempfile.mkdtemp(prefix="edged-powercut-recording-", dir=self._work)).resolve()
        self._folders.add(folder)
        return record(folder, each.scenario, each.wanted.seed, program=self._program)
