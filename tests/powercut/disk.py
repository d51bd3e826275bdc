"""The disk behind a recording: what is surely on it, and what may or may not be there yet.

`Disk` takes the records one by one. Everything that is not synced is pending: the sectors of a write, a file's new
size, and each change of directory entries are pending on their own, and a power cut keeps any subset of them. A flush
makes durable what had ended before it began, and nothing else: entries only by a flush of their folder, contents and
size only by one of the file. A write through an O_DSYNC descriptor takes its own sectors and the file's size with it. A
rename is atomic.
The durable contents lie in one sparse file for each inode; a pending write is a view into the recording.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tests.powercut.recording import Op, Record, RecordingError

SECTOR = 512

Place = tuple[int, str]
"""A name in a folder: the folder's node and the name."""


@dataclass(slots=True, eq=False)
class Data:
    """Whole sectors that were written to a node; `gone` are those that a newer durable write has replaced."""

    node: int
    first: int
    content: memoryview
    ended: bool = False
    gone: set[int] = field(default_factory=set)

    @property
    def sectors(self) -> range:
        return range(self.first, self.first + len(self.content) // SECTOR)

    def sector(self, number: int) -> memoryview:
        at = (number - self.first) * SECTOR
        return self.content[at : at + SECTOR]


@dataclass(slots=True, eq=False)
class Size:
    """A node's new size."""

    node: int
    size: int
    ended: bool = False


@dataclass(slots=True, eq=False)
class Names:
    """A change of directory entries, atomic: what each name stands for afterwards."""

    changes: dict[Place, int | None]
    ended: bool = True


Pending = Data | Size | Names
ROOT = 0


class Disk:
    """Applies records; `pending` is in the order in which it happened."""

    def __init__(self, root: str, folder: Path) -> None:
        self.pending: list[Pending] = []
        self.names: dict[Place, int] = {}
        self.sizes: dict[int, int] = {}
        self.epoch = 0
        """Counts what `pending` does not tell: what became durable, and what failed."""
        self.journal: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        """Of each node the runs of bytes, first and behind the last, whose durable contents changed, in that order."""
        self._folder = folder
        self._root = root
        self._cached_names: dict[Place, int] = {}
        self._cached_sizes: dict[int, int] = {}
        self._by_inode: dict[int, int] = {}
        self._folders = {ROOT}
        self._files: dict[int, int] = {}
        self._running: dict[int, list[Pending]] = {}
        self._opened: dict[int, Record] = {}

    def close(self) -> None:
        """Let go of the files that hold the durable contents."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def is_folder(self, node: int) -> bool:
        """Whether a node is a folder."""
        return node in self._folders

    def path(self, node: int) -> Path:
        """The file that holds a node's durable contents."""
        return self._folder / f"node.{node}"

    def file(self, node: int) -> int:
        """A descriptor of that file."""
        return self._files[node]

    def apply(self, record: Record) -> None:
        """Go one record further; raises RecordingError when the model does not know what it holds."""
        if record.op is Op.ACKNOWLEDGED:
            return
        if not record.ended:
            self._opened[record.id] = record
            self._running[record.id] = self._begun(record)
            return
        begun, running = self._opened.pop(record.id), self._running.pop(record.id)
        succeeded = record.offset >= 0 and not (record.op is Op.ALLOCATE and record.offset)
        if begun.op is Op.SYNC:
            if succeeded:
                self._settle(running)
        elif not succeeded:
            self._withdraw(running)
        elif begun.op is Op.WRITE:
            self._written(begun, record, running)
        else:
            self._done(begun, record, running)

    def _begun(self, record: Record) -> list[Pending]:
        """What a call sets in flight, or for a flush what it will cover."""
        if record.op is Op.SYNC:
            node = self._node(record.inode)
            return [each for each in self.pending if each.ended and _covers(node, each)]
        added: list[Pending] = []
        if record.op is Op.WRITE:
            node = self._node(record.inode)
            added += self._grown(node, record.offset + len(record.payload))
            added.append(self._aligned(node, record.offset, record.payload))
        elif record.op is Op.TRUNCATE:
            added += self._resized(self._node(record.inode), record.length)
        elif record.op is Op.ALLOCATE:
            added += self._grown(self._node(record.inode), record.offset + record.length)
        self.pending += added
        return added

    def _withdraw(self, failed: list[Pending]) -> None:
        if failed:
            self.pending = [each for each in self.pending if each not in failed]
            self.epoch += 1

    def _written(self, begun: Record, record: Record, running: list[Pending]) -> None:
        if record.offset != len(begun.payload):
            raise RecordingError(f"a write of {len(begun.payload)} bytes wrote {record.offset}")
        for each in running:
            each.ended = True
        if begun.durable:
            node = self._node(begun.inode)
            sizes = [each for each in self.pending if isinstance(each, Size) and each.node == node]
            self._settle([*sizes, *running])

    def _done(self, begun: Record, record: Record, running: list[Pending]) -> None:
        for each in running:
            each.ended = True
        if begun.op is Op.OPEN:
            self._found(begun, record.inode)
        elif begun.op is Op.MKDIR:
            self._folders.add(node := self._new(record.inode))
            self._rename_names({self._place(begun.text): node})
        elif begun.op is Op.UNLINK:
            self._rename_names({self._place(begun.text): None})
        elif begun.op is Op.RENAME:
            old, new = (self._place(path) for path in begun.text.split("\0"))
            self._rename_names({old: None, new: self._cached_names[old]})

    def _found(self, begun: Record, inode: int) -> None:
        if begun.text == self._root:
            self._by_inode[inode] = ROOT
            return
        place = self._place(begun.text)
        node = self._cached_names.get(place)
        if node is None:
            node = self._new(inode)
            self._files[node] = os.open(self.path(node), os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC)
            self.sizes[node] = self._cached_sizes[node] = 0
            self._rename_names({place: node})
        elif begun.length & 2:
            self.pending += self._resized(node, 0, ended=True)

    def _rename_names(self, changes: dict[Place, int | None]) -> None:
        for place, node in changes.items():
            self._cached_names.pop(place, None)
            if node is not None:
                self._cached_names[place] = node
        self.pending.append(Names(changes))

    def _settle(self, covered: Iterable[Pending]) -> None:
        """Make pending changes durable."""
        wanted = {id(each) for each in covered}
        if not wanted:
            return
        self.epoch += 1
        older: list[Pending] = []
        for each in self.pending:
            if id(each) not in wanted:
                older.append(each)
            elif isinstance(each, Names):
                _rename(self.names, each)
                for one in older:
                    if isinstance(one, Names):
                        one.changes = {place: node for place, node in one.changes.items() if place not in each.changes}
            elif isinstance(each, Size):
                self._resize(each)
                older = [one for one in older if not (isinstance(one, Size) and one.node == each.node)]
            else:
                self._store(each, older)
        self.pending = [each for each in older if not isinstance(each, Names) or each.changes]

    def _resize(self, size: Size) -> None:
        if size.size < self.sizes[size.node]:
            self.journal[size.node].append((size.size, self.sizes[size.node]))
        self.sizes[size.node] = size.size
        os.ftruncate(self._files[size.node], size.size)

    def _store(self, data: Data, older: list[Pending]) -> None:
        for begin, end in runs(data, data.sectors.start, data.sectors.stop):
            at = (begin - data.first) * SECTOR
            content = data.content[at : at + (end - begin) * SECTOR]
            beyond = begin * SECTOR + len(content) - self.sizes[data.node]
            os.pwrite(self._files[data.node], content[: len(content) - max(0, beyond)], begin * SECTOR)
            self.journal[data.node].append((begin * SECTOR, end * SECTOR))
        for each in older:
            if isinstance(each, Data) and each.node == data.node:
                each.gone.update(set(each.sectors) & set(data.sectors))

    def _grown(self, node: int, size: int) -> list[Pending]:
        return self._resized(node, size) if size > self._cached_sizes[node] else []

    def _resized(self, node: int, size: int, *, ended: bool = False) -> list[Pending]:
        self._cached_sizes[node] = size
        return [Size(node, size, ended)]

    def _aligned(self, node: int, offset: int, payload: memoryview) -> Data:
        """A write widened to whole sectors by what the page cache holds around it."""
        first, last = offset // SECTOR, -(-(offset + len(payload)) // SECTOR)
        if offset % SECTOR == 0 and len(payload) % SECTOR == 0:
            return Data(node, first, payload)
        content = bytearray().join(self._cached(node, number) for number in range(first, last))
        content[offset - first * SECTOR : offset - first * SECTOR + len(payload)] = payload
        return Data(node, first, memoryview(content))

    def _cached(self, node: int, number: int) -> bytes:
        """What a read of one sector would give now; zeros beyond what the file was cut to."""
        limit = (number + 1) * SECTOR
        content = None
        for each in reversed(self.pending):
            if isinstance(each, Names) or each.node != node:
                continue
            if isinstance(each, Size):
                limit = min(limit, each.size)
            elif number in each.sectors and number not in each.gone:
                content = bytes(each.sector(number))
                break
        if content is None:
            content = os.pread(self._files[node], SECTOR, number * SECTOR)
        return content[: max(0, limit - number * SECTOR)].ljust(SECTOR, b"\0")

    def _new(self, inode: int) -> int:
        node = len(self._files) + len(self._folders)
        self._by_inode[inode] = node
        return node

    def _node(self, inode: int) -> int:
        try:
            return self._by_inode[inode]
        except KeyError:
            raise RecordingError(f"inode {inode} was never opened") from None

    def _place(self, path: str) -> Place:
        """The folder and name of a path below the root; the path's folders are there."""
        *folders, name = PurePosixPath(path).relative_to(self._root).parts
        node = ROOT
        for each in folders:
            node = self._cached_names[node, each]
        return node, name


def _covers(node: int, pending: Pending) -> bool:
    if isinstance(pending, Names):
        return any(folder == node for folder, _ in pending.changes)
    return pending.node == node


def _rename(names: dict[Place, int], change: Names) -> None:
    for place, node in change.changes.items():
        names.pop(place, None)
        if node is not None:
            names[place] = node


def renamed(names: dict[Place, int], changes: Iterable[Names]) -> dict[Place, int]:
    """The directory entries after some changes."""
    after = dict(names)
    for change in changes:
        _rename(after, change)
    return after


def runs(data: Data, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of sectors from `begin` to before `end` that no newer durable write has replaced."""
    if not data.gone:
        yield begin, end
        return
    for number in sorted(each for each in data.gone if begin <= each < end):
        if begin < number:
            yield begin, number
        begin = number + 1
    if begin < end:
        yield begin, end
