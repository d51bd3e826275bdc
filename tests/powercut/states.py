"""Many states of one recording: which records the power is cut at, what is kept, what is wrong with it.

A state is a seed and a number. The number chooses the place in the log: anywhere, or close to what decides (a commit's
last write, an acknowledgement, the creation of the store). Places are walked in the order of the log, so the durable
contents are built up once. A disk that is byte for byte one that was looked at, after the same promises, is not looked
at again.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path

from edged.store.creation import DATA as DATA_FILE
from edged.store.creation import STORE
from tests.powercut.boxes import DATA
from tests.powercut.cut import Cut, Laid, choose, laid_out
from tests.powercut.disk import Disk
from tests.powercut.known import Known
from tests.powercut.load import instances
from tests.powercut.promises import Promises
from tests.powercut.record import Recording, Scenario
from tests.powercut.recording import Op, Record, read_records, told
from tests.powercut.sparse import copied
from tests.powercut.tally import Failure, State, Tally
from tests.powercut.verify import Verifier

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30
NEAR = 3
FIRST_SHARE = 0.04
"""Of the states that fall into the making of the store: each of them makes one."""

SUSPECT = "suspect"
RESTARTED = 1 << 40
"""Numbers from here on are for whole daemons, which are not started on a disk without a store."""


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


def states_of(recording: Recording, seed: int, numbers: Iterable[int]) -> list[State]:
    """Return the states with these numbers in the order of the log."""
    places = Places(_records(recording))
    return sorted((places.state(seed, number) for number in numbers), key=lambda state: (state.place, state.number))


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


def look(recording: Recording, seed: int, states: Iterable[State], *, within: Path) -> Tally:
    """Look at some states in the order of the log, using the folder `within`.

    A file there names the state that is being looked at: a damaged store may end the process that opens it.
    """
    folder = within / f"{os.getpid()}"
    folder.mkdir()
    with closing(Disk(recording.root, folder)) as disk:
        onlooker = _Onlooker(recording, disk, folder)
        for state in states:
            (folder / SUSPECT).write_text(str(state.number))
            onlooker.look(seed, state)
    shutil.rmtree(folder)
    return onlooker.tally()


class _Onlooker:
    """Looks at one state after the other on one walk."""

    def __init__(self, recording: Recording, disk: Disk, folder: Path) -> None:
        self._walk = Walk(_records(recording), disk)
        self._verifier = _verifier(recording)
        self._known = Known(disk)
        self._seen: set[tuple[bytes, int | None, int]] = set()
        self._folder = folder
        self._tally = Tally()

    def look(self, seed: int, state: State) -> None:
        """Go to a state, look at it unless the same was seen, and count it."""
        self._walk.go(state.place)
        cut = self._walk.cut(seed, state)
        signature = cut.signature(self._walk.disk)
        self._tally.states += 1
        self._tally.styles[cut.style] += 1
        self._tally.signatures.add(signature)
        same = signature, cut.junk, self._walk.promises.count
        if same in self._seen:
            return
        self._seen.add(same)
        with laid_out(self._walk.disk, cut, self._folder / "disk") as laid:
            problems = self._problems(laid)
        if problems:
            self._tally.failures.append(Failure(state, cut.style, tuple(problems)))

    def tally(self) -> Tally:
        """Return what was looked at."""
        self._tally.snapshots = self._known.looked
        return self._tally

    def _problems(self, laid: Laid) -> list[str]:
        store = laid.root / DATA / STORE
        layer = laid.layers.get(store / DATA_FILE)
        if layer is not None:
            recall = partial(self._known.found, layer)
            return self._verifier.problems(laid.root / DATA, self._walk.promises, recall)
        if store.exists():
            return self._verifier.problems(laid.root / DATA, self._walk.promises)
        with copied(laid.root) as root:  # to reserve a new store's file takes memory 100 ms, a disk 1 ms
            return self._verifier.problems(root / DATA, self._walk.promises)


@lru_cache(maxsize=1)
def _records(recording: Recording) -> list[Record]:
    return read_records(recording.log)


@lru_cache(maxsize=1)
def _verifier(recording: Recording) -> Verifier:
    return Verifier(instances(recording.seed), int(recording.scenario is Scenario.FORWARDING))


def suspects(within: Path) -> list[int]:
    """The states that were being looked at when a process died."""
    return [int(path.read_text()) for path in within.glob(f"*/{SUSPECT}")]


@contextmanager
def stopped_at(recording: Recording, seed: int, number: int) -> Iterator[tuple[State, Promises, Path]]:
    """Lay out one state alone: the state, what had been promised, and the root of its disk while the block runs."""
    (state,) = states_of(recording, seed, [number])
    with scratch() as folder, closing(Disk(recording.root, folder)) as disk:
        walk = Walk(_records(recording), disk)
        walk.go(state.place)
        with laid_out(disk, walk.cut(seed, state), folder / "disk") as laid:
            yield state, walk.promises, laid.root
