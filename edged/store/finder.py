"""Finding the values of one large table in LMDB's file, and reading them by `pread` instead of through the map.

A page of the map that the disk cannot give is a signal, SIGBUS, that ends the process, and systemd would restart it
into the same page; `pread` says EIO. What is not in memory it reads a value at once, the map page by page: measured,
600 to 1,000 MB/s against 50. From memory it costs 0.1 to 0.2 s of CPU a GB more. LMDB itself looks into the first page
of every value that a cursor comes by, and its binding into all of those that it gives out: so neither can be asked for
a value, nor for the keys of such a table.

What is known of LMDB's file here is its format 1 (engine 0.9, `lib_version=0`): the roots in the meta pages, branch and
leaf pages, overflow pages. Only what was committed is found. A finder belongs to a transaction, which keeps the pages
of its snapshot from being reused, and of later ones too: LMDB reuses what was freed before the oldest reader only. So
it is safe that the meta page may be that of a later snapshot by the time it is read.
"""

import os
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import lmdb

MOST_BYTES = 1 << 20
"""Of one value: chunks are far smaller, and nothing is allocated for what a damaged page says."""

_U16, _U64 = struct.Struct("=H"), struct.Struct("=Q")
_NODE = struct.Struct("=HHHH")
_META = struct.Struct("=II")
_MAGIC = (0xBEEFC0DE, 1)
_HEADER_BYTES = 16
_MAIN_ROOT, _TABLE_ROOT = 128, 40
"""Where the root's page number stands: of the main tree in a meta page, of a table in its record."""

_NO_PAGE = (1 << 64) - 1
_LARGEST_FILE = 1 << 62
_BRANCH, _LEAF = 0x01, 0x02
_IN_OVERFLOW_PAGES, _TABLE = 0x01, 0x02
_DEEPEST = 32


class Unreadable(Exception):
    """The disk cannot give bytes of the file back."""


class NotInMemory(Exception):
    """Bytes of the file are not in memory, or it is not known whether they are; the disk was not asked for them."""


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a value is in the file: bytes from its beginning, and how many."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The place of the first byte after it."""
        return self.offset + self.size


def _neighbours(extents: Iterable[Extent]) -> Iterator[list[Extent]]:
    """Part values where one does not follow the other, as those do that fill their pages but for a header between."""
    run: list[Extent] = []
    for extent in extents:
        if run and extent.offset != run[-1].end + _HEADER_BYTES:
            yield run
            run = []
        run.append(extent)
    if run:
        yield run


class Finder:
    """Looks up keys of one table as of one snapshot; for one thread. Raises lmdb.CorruptedError and Unreadable.

    With `only_memory` it never waits for the disk; it raises NotInMemory instead.
    """

    __slots__ = (
        "_descriptor",
        "_keys",
        "_leaf",
        "_next",
        "_only_memory",
        "_page_bytes",
        "_path",
        "_patience",
        "_root",
        "_snapshot",
        "_table",
    )

    def __init__(
        self, descriptor: int, page_bytes: int, *, snapshot: int, table: bytes, only_memory: bool = False
    ) -> None:
        self._descriptor = descriptor
        self._only_memory = only_memory
        self._page_bytes = page_bytes
        self._snapshot = snapshot
        self._table = table
        self._root: int | None = None
        self._path: list[tuple[int, bytes]] = []
        self._leaf = b""
        self._keys = 0
        self._next = 0
        self._patience = 0

    def find(self, key: bytes) -> Extent | None:
        """Return where the value is, or None; the key after the one before is found at once."""
        try:
            if not self._is_next(key) and not self._descend(self._known_root(), key):
                return None
            index, self._next = self._next, self._next + 1
            return self._extent(index)
        except struct.error as error:
            raise lmdb.CorruptedError(f"a page of the store is damaged: {error}") from error

    def keys(self, start: bytes) -> Iterator[bytes]:
        """Yield the keys from `start` on, in order."""
        try:
            root = self._known_root()
            self._patience = os.fstat(self._descriptor).st_size // self._page_bytes
            if root != _NO_PAGE:
                yield from self._walk(root, start, depth=0)
        except struct.error as error:
            raise lmdb.CorruptedError(f"a page of the store is damaged: {error}") from error

    def read(self, extent: Extent) -> bytes:
        """Return the bytes."""
        return self._bytes(extent.offset, extent.size)

    def read_run(self, extents: Sequence[Extent]) -> memoryview:
        """Return the bytes of several values, one after the other; neighbours in the file are read at once."""
        view, at = memoryview(bytearray(sum(extent.size for extent in extents))), 0
        header = memoryview(bytearray(_HEADER_BYTES))
        for neighbours in _neighbours(extents):
            buffers: list[memoryview] = []
            for extent in neighbours:
                buffers += view[at : at + extent.size], header
                at += extent.size
            self._fill(buffers[:-1], neighbours[0].offset, neighbours[-1].end)
        return view.toreadonly()

    def require_header(self, extent: Extent) -> None:
        """Raise Unreadable when the page in which a value begins cannot be read: LMDB looks into it to free it."""
        self._bytes(extent.offset // self._page_bytes * self._page_bytes, _HEADER_BYTES)

    def _is_next(self, key: bytes) -> bool:
        leaf, index = self._leaf, self._next
        if index >= self._keys:
            return False
        at = _U16.unpack_from(leaf, _HEADER_BYTES + 2 * index)[0] + _NODE.size
        return leaf[at : at + len(key)] == key and _U16.unpack_from(leaf, at - 2)[0] == len(key)

    def _known_root(self) -> int:
        if self._root is None:
            self._root = self._table_root()
        return self._root

    def _table_root(self) -> int:
        meta = self._bytes((self._snapshot & 1) * self._page_bytes, self._page_bytes)
        if _META.unpack_from(meta, _HEADER_BYTES) != _MAGIC:
            raise lmdb.CorruptedError("the data file has no meta page of a known format")
        if not self._descend(int(_U64.unpack_from(meta, _MAIN_ROOT)[0]), self._table):
            raise lmdb.CorruptedError("the data file lacks a table")
        _, flags, at = _node(self._leaf, self._next)
        if not flags & _TABLE:
            raise lmdb.CorruptedError("what should be a table is none")
        root = int(_U64.unpack_from(self._leaf, at + _TABLE_ROOT)[0])
        self._path.clear()
        return root

    def _descend(self, root: int, key: bytes) -> bool:
        """Make the leaf in which the key belongs the present one; return whether the key is there, as the next."""
        self._leaf, self._keys, self._next = b"", 0, 0
        if root == _NO_PAGE:
            return False
        number = root
        for depth in range(_DEEPEST):
            page = self._page(number, depth)
            count = _count(page)
            if _flags(page) & _LEAF:
                self._leaf, self._keys, self._next = page, count, _place(page, key)
                return self._next < count and _key(page, self._next) == key
            number = _child(page, _way(page, key))
        raise lmdb.CorruptedError("the tree of a table is damaged")

    def _walk(self, number: int, start: bytes, *, depth: int) -> Iterator[bytes]:
        self._patience -= 1
        if self._patience < 0 or depth > _DEEPEST:
            raise lmdb.CorruptedError("the tree of a table has more pages than the file")
        page = self._tree_page(number)
        if _flags(page) & _LEAF:
            for index in range(_place(page, start), _count(page)):
                yield _key(page, index)
            return
        first = _way(page, start)
        for index in range(first, _count(page)):
            yield from self._walk(_child(page, index), start if index == first else b"", depth=depth + 1)

    def _page(self, number: int, depth: int) -> bytes:
        """Return a branch or leaf page; the path to the last one is kept."""
        if depth < len(self._path) and self._path[depth][0] == number:
            return self._path[depth][1]
        page = self._tree_page(number)
        self._path[depth:] = [(number, page)]
        return page

    def _tree_page(self, number: int) -> bytes:
        page = self._bytes(number * self._page_bytes, self._page_bytes)
        known = _flags(page) & (_BRANCH | _LEAF)
        if _U64.unpack_from(page)[0] != number or not known or (known == _BRANCH and not _count(page)):
            raise lmdb.CorruptedError(f"page {number} of the store is not what it should be")
        return page

    def _extent(self, index: int) -> Extent:
        leaf = self._leaf
        size, flags, at = _node(leaf, index)
        if size > MOST_BYTES:
            raise lmdb.CorruptedError(f"a value of {size} bytes, where none has more than {MOST_BYTES}")
        if flags & _IN_OVERFLOW_PAGES:
            return Extent(int(_U64.unpack_from(leaf, at)[0]) * self._page_bytes + _HEADER_BYTES, size)
        return Extent(int(_U64.unpack_from(leaf)[0]) * self._page_bytes + at, size)

    def _bytes(self, offset: int, size: int) -> bytes:
        if self._only_memory:
            buffer = bytearray(size)
            self._fill([buffer], offset, offset + size)
            return bytes(buffer)
        _require_place(offset)
        try:
            data = os.pread(self._descriptor, size, offset)
        except OSError as error:
            raise Unreadable(f"{error.strerror} at byte {offset}") from error
        if len(data) < size:
            raise Unreadable(f"the data file ends before byte {offset + size}")
        return data

    def _fill(self, buffers: Sequence[bytearray | memoryview], begin: int, end: int) -> None:
        """Fill buffers with the bytes of the file from `begin` to `end`."""
        _require_place(begin)
        try:
            count = os.preadv(self._descriptor, buffers, begin, os.RWF_NOWAIT if self._only_memory else 0)
        except OSError as error:  # with RWF_NOWAIT also where the file system cannot say
            raise NotInMemory if self._only_memory else Unreadable(f"{error.strerror} at byte {begin}") from error
        if count < end - begin:
            raise NotInMemory if self._only_memory else Unreadable(f"the data file ends before byte {end}")


def _require_place(offset: int) -> None:
    if offset > _LARGEST_FILE:
        raise lmdb.CorruptedError(f"the store names a page at {offset}, beyond any file")


def _flags(page: bytes) -> int:
    return int(_U16.unpack_from(page, 10)[0])


def _count(page: bytes) -> int:
    return (int(_U16.unpack_from(page, 12)[0]) - _HEADER_BYTES) >> 1 if page else 0


def _at(page: bytes, index: int) -> int:
    return int(_U16.unpack_from(page, _HEADER_BYTES + 2 * index)[0])


def _key(page: bytes, index: int) -> bytes:
    at = _at(page, index) + _NODE.size
    return page[at : at + _U16.unpack_from(page, at - 2)[0]]


def _place(leaf: bytes, key: bytes) -> int:
    """Return the index of the first key in a leaf that is not below `key`."""
    return bisect_left(range(_count(leaf)), key, key=lambda index: _key(leaf, index))


def _way(branch: bytes, key: bytes) -> int:
    """Return the index of the child of a branch page in which a key belongs; the first node's key says nothing."""
    return bisect_right(range(1, _count(branch)), key, key=lambda index: _key(branch, index))


def _node(page: bytes, index: int) -> tuple[int, int, int]:
    """Return the size of a leaf node's data, its flags, and where the data begins."""
    at = _at(page, index)
    low, high, flags, key_bytes = _NODE.unpack_from(page, at)
    return low | high << 16, flags, at + _NODE.size + key_bytes


def _child(page: bytes, index: int) -> int:
    low, high, top, _ = _NODE.unpack_from(page, _at(page, index))
    return int(low | high << 16 | top << 32)
