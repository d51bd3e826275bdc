"""What a power cut keeps of what is pending, and the disk laid out so, as a folder that a store can be opened in.

`choose` decides by a random generator alone, so a seed and the number of a state name it again. `laid_out` changes the
durable contents in place and takes everything back afterwards: a state costs what is pending, not what is stored. Small
files are copied, because opening a store writes to them; of a large one it is checked that nobody did.
"""

import hashlib
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from tests.powercut.disk import ROOT, SECTOR, Data, Disk, Names, Pending, Size, renamed, runs

SMALL_BYTES = 1 << 20
MOST_TEARS = 12
LOCK = "lock.mdb"
_UNTOUCHED_NS = 0
"""When a large file was last written to, as it is made to say: the clock of a file system is coarser than a state."""


class Style(StrEnum):
    """How much of what is pending the cut keeps."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    FIRST = "first"
    LAST = "last"
    ANY = "any"
    MOST = "most"
    TORN = "torn"


class ChangedError(Exception):
    """Opening a store and checking it wrote to it: the state would not be the same for whoever comes next."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One pending change that the cut keeps; of a write, the runs of sectors."""

    pending: Pending
    sectors: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Cut:
    """What is kept, in order; `junk` is what the memory map left in the lock file, None for what was written."""

    style: Style
    kept: tuple[Kept, ...]
    junk: int | None

    def signature(self, disk: Disk) -> bytes:
        """Two cuts of one recording with one signature leave the same disk, whatever is in the lock file."""
        places = {id(each): place for place, each in enumerate(disk.pending)}
        told = [(places[id(each.pending)], each.sectors) for each in self.kept]
        return hashlib.blake2b(repr((disk.epoch, told)).encode(), digest_size=12).digest()


def all_kept(disk: Disk) -> Cut:
    """The cut that loses nothing: what the machine itself saw."""
    kept = (Kept(each, tuple(_sectors(each, random.Random(0), torn=False))) for each in disk.pending)
    return Cut(Style.EVERYTHING, tuple(kept), None)


def choose(disk: Disk, rng: random.Random) -> Cut:
    """Choose what the cut keeps of what is pending now."""
    style = rng.choice(list(Style))
    pending = disk.pending
    place = rng.randrange(len(pending) + 1)
    chances = {Style.NOTHING: 0.0, Style.EVERYTHING: 1.0, Style.ANY: 0.5, Style.MOST: 0.9, Style.TORN: 0.8}
    kept: list[Kept] = []
    for number, each in enumerate(pending):
        first_or_last = number <= place if style is Style.FIRST else number >= place
        keeps = rng.random() < chances[style] if style in chances else first_or_last
        torn = style is Style.TORN or (number == place and style is not Style.EVERYTHING)
        if keeps:
            kept.append(Kept(each, tuple(_sectors(each, rng, torn=torn))))
    return Cut(style, tuple(kept), rng.getrandbits(32) if rng.random() < 0.5 else None)


def _sectors(pending: Pending, rng: random.Random, *, torn: bool) -> Iterator[tuple[int, int]]:
    """The runs of sectors of a write that are kept: all, or those between some random tears."""
    if not isinstance(pending, Data):
        return
    begin, end = pending.sectors.start, pending.sectors.stop
    if not torn:
        yield from runs(pending, begin, end)
        return
    tears = sorted({begin, end, *(rng.randrange(begin, end) for _ in range(rng.randrange(1, MOST_TEARS)))})
    keeps = rng.random() < 0.5
    for low, high in pairwise(tears):
        if keeps:
            yield from runs(pending, low, high)
        keeps = not keeps


@dataclass(frozen=True, slots=True)
class Layer:
    """A large file of a state: its size, and the runs of bytes that are not what is durable of its node."""

    node: int
    size: int
    runs: list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Laid:
    """A disk as a folder, with the large files in it."""

    root: Path
    layers: dict[Path, Layer] = field(default_factory=dict)


class _Layout:
    """One state while it is laid out below a folder."""

    def __init__(self, disk: Disk, cut: Cut, folder: Path) -> None:
        self._disk = disk
        self._cut = cut
        self.laid = Laid(folder)
        self._undo: list[tuple[int, int, bytes]] = []
        self._sizes: dict[int, int] = {}
        changes = [each.pending for each in cut.kept if isinstance(each.pending, Names)]
        self._names = renamed(disk.names, changes)

    def make(self) -> None:
        """Lay everything out that can be reached from the root."""
        self.laid.root.mkdir()
        self._fill(ROOT, self.laid.root)

    def take_back(self) -> None:
        """Make the durable contents what they were; raises ChangedError."""
        shutil.rmtree(self.laid.root)
        files = [self._disk.file(layer.node) for layer in self.laid.layers.values()]
        if any(os.fstat(file).st_mtime_ns != _UNTOUCHED_NS for file in files):
            raise ChangedError("the data file was written to")
        for file, at, content in reversed(self._undo):
            os.pwrite(file, content, at)
        for node, size in self._sizes.items():
            os.ftruncate(self._disk.file(node), size)

    def _fill(self, folder: int, path: Path) -> None:
        for (parent, name), node in self._names.items():
            if parent != folder:
                continue
            if self._disk.is_folder(node):
                (path / name).mkdir()
                self._fill(node, path / name)
            else:
                self._file(node, path / name)

    def _file(self, node: int, path: Path) -> None:
        sizes = [self._disk.sizes[node]]
        sizes += [each.pending.size for each in self._cut.kept if isinstance(each.pending, Size) and _is(each, node)]
        if max(sizes) <= SMALL_BYTES:
            path.write_bytes(self._small(node, path.name, sizes))
            return
        if sizes != sorted(sizes):
            raise NotImplementedError("a large file that shrinks")
        layer = Layer(node, sizes[-1], self._large(node, sizes[-1]))
        path.hardlink_to(self._disk.path(node))
        os.utime(self._disk.file(node), ns=(_UNTOUCHED_NS, _UNTOUCHED_NS))
        self.laid.layers[path] = layer

    def _small(self, node: int, name: str, sizes: Sequence[int]) -> bytes:
        if name == LOCK and self._cut.junk is not None:
            return random.Random(self._cut.junk).randbytes(sizes[-1])
        content = bytearray(os.pread(self._disk.file(node), sizes[0], 0))
        for each in self._cut.kept:
            if not _is(each, node):
                continue
            if isinstance(each.pending, Size):
                del content[each.pending.size :]
                content += bytes(each.pending.size - len(content))
            elif isinstance(each.pending, Data):
                for begin, end in each.sectors:
                    kept = _content(each.pending, begin, end)[: max(0, len(content) - begin * SECTOR)]
                    content[begin * SECTOR : begin * SECTOR + len(kept)] = kept
        return bytes(content)

    def _large(self, node: int, size: int) -> list[tuple[int, int]]:
        """Write what is kept into the durable contents; return the runs of bytes."""
        written: list[tuple[int, int]] = []
        file, durable = self._disk.file(node), self._disk.sizes[node]
        if size > durable:
            self._sizes[node] = durable
            os.ftruncate(file, size)
        for each in self._cut.kept:
            if not isinstance(each.pending, Data) or each.pending.node != node:
                continue
            for begin, end in each.sectors:
                content = _content(each.pending, begin, end)[: max(0, size - begin * SECTOR)]
                if content:
                    self._undo.append((file, begin * SECTOR, os.pread(file, len(content), begin * SECTOR)))
                    os.pwrite(file, content, begin * SECTOR)
                    written.append((begin * SECTOR, begin * SECTOR + len(content)))
        return written


def _is(kept: Kept, node: int) -> bool:
    return not isinstance(kept.pending, Names) and kept.pending.node == node


def _content(data: Data, begin: int, end: int) -> memoryview:
    return data.content[(begin - data.first) * SECTOR : (end - data.first) * SECTOR]


@contextmanager
def laid_out(disk: Disk, cut: Cut, folder: Path) -> Iterator[Laid]:
    """Lay the disk out as the cut left it, in a folder that must not be there; it is gone afterwards."""
    layout = _Layout(disk, cut, folder)
    try:
        layout.make()
        yield layout.laid
    finally:
        layout.take_back()
