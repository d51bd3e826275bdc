"""Many states of one recording: which records the power is cut at, what is kept, what is wrong with it.

A state is a seed and a number. The number chooses the place in the log: anywhere, or close to what decides (a commit's
last write, an acknowledgement, the creation of the store). Places are walked in the order of the log, so the durable
contents are built up once.
"""

import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.powercut.boxes import DATA
from tests.powercut.cut import Cut, choose, laid_out
from tests.powercut.disk import Disk
from tests.powercut.load import instances
from tests.powercut.record import Recording, Scenario
from tests.powercut.recording import Op, Record, read_records, told
from tests.powercut.verify import Promises, Verifier

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
NEAR = 3
FIRST_SHARE = 0.04
"""Of the states that fall into the making of the store: each of them makes one."""

SUSPECT = "suspect"
RESTARTED = 1 << 40
"""Numbers from here on are for whole daemons, which are not started on a disk without a store."""


@dataclass(frozen=True, slots=True)
class State:
    """A place in the log, and the number that decides what the cut keeps."""

    place: int
    number: int


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong with one state."""

    state: State
    cut: str
    problems: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What was looked at."""

    states: int = 0
    restarted: int = 0
    signatures: set[bytes] = field(default_factory=set)
    styles: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Take another tally in."""
        self.states += other.states
        self.restarted += other.restarted
        self.signatures |= other.signatures
        self.styles += other.styles
        self.failures += other.failures


class Places:
    """Where the power may be cut: before record 1, after the last, or anywhere between."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._count = len(records)
        self._acknowledged = [at for at, each in enumerate(records, 1) if each.op is Op.ACKNOWLEDGED]
        self._decisive = [at for at, each in enumerate(records, 1) if each.durable]
        self._first = next((at for at, each in enumerate(records) if each.op is Op.RENAME), 0) + NEAR + 2

    def state(self, seed: int, number: int) -> State:
        """Return the state with this number."""
        rng = random.Random(f"place/{seed}/{number}")
        kind = rng.random() if number < RESTARTED else 1.0
        if kind < FIRST_SHARE or not self._acknowledged:
            return State(rng.randint(0, self._first), number)
        if kind < 0.4:
            return State(rng.randint(self._first, self._count), number)
        near = rng.choice(self._acknowledged if kind < 0.65 or not self._decisive else self._decisive) + rng.randint(
            -NEAR, NEAR
        )
        return State(min(max(near, self._first), self._count), number)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder in memory if there is room, else among the temporary files; it is gone afterwards."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    folder = Path(tempfile.mkdtemp(prefix="edged-powercut-", dir=MEMORY if roomy else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


class Walk:
    """Goes through a recording and stops at places in rising order."""

    def __init__(self, records: Sequence[Record], disk: Disk) -> None:
        self.disk = disk
        self.promises = Promises()
        self._records = records
        self._place = 0

    def go(self, place: int) -> None:
        """Apply the records before `place`."""
        for record in self._records[self._place : place]:
            self.disk.apply(record)
            if record.op is Op.ACKNOWLEDGED:
                self.promises.add(told(record))
        self._place = place

    def cut(self, seed: int, state: State) -> Cut:
        """Cut the power here."""
        return choose(self.disk, random.Random(f"cut/{seed}/{state.number}"))


def look(recording: Recording, seed: int, numbers: Sequence[int], *, within: Path) -> Tally:
    """Look at the states with these numbers, using the folder `within`.

    A file there names the state that is being looked at: a damaged store may end the process that opens it.
    """
    tally, records = Tally(), read_records(recording.log)
    verifier = Verifier(instances(recording.seed), int(recording.scenario is Scenario.FORWARDING))
    states = sorted((Places(records).state(seed, number) for number in numbers), key=lambda state: state.place)
    folder = within / f"{os.getpid()}"
    folder.mkdir()
    with closing(Disk(recording.root, folder)) as disk:
        walk = Walk(records, disk)
        for state in states:
            (folder / SUSPECT).write_text(str(state.number))
            walk.go(state.place)
            cut = walk.cut(seed, state)
            with laid_out(disk, cut, folder / "disk") as root:
                problems = verifier.problems(root / DATA, walk.promises)
            tally.states += 1
            tally.styles[cut.style] += 1
            tally.signatures.add(f"{recording.scenario}{recording.seed}".encode() + cut.signature(disk))
            if problems:
                tally.failures.append(Failure(state, cut.style, tuple(problems)))
    shutil.rmtree(folder)
    return tally


def suspects(within: Path) -> list[int]:
    """The states that were being looked at when a process died."""
    return [int(path.read_text()) for path in within.glob(f"*/{SUSPECT}")]


@contextmanager
def stopped_at(recording: Recording, seed: int, number: int) -> Iterator[tuple[State, Promises, Path]]:
    """Lay out one state alone: the state, what had been promised, and the root of its disk while the block runs."""
    records = read_records(recording.log)
    state = Places(records).state(seed, number)
    with scratch() as folder, closing(Disk(recording.root, folder)) as disk:
        walk = Walk(records, disk)
        walk.go(state.place)
        with laid_out(disk, walk.cut(seed, state), folder / "disk") as root:
            yield state, walk.promises, root
