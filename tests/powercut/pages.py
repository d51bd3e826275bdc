"""Which pages of LMDB's file one snapshot consists of: all that a transaction on it can read, and nothing else.

Every tree is walked from the newest meta page: the main one, that of the free pages, the tables, and the values that
have pages of their own. That none was overlooked is proven by LMDB's own counts of the pages of each tree; where they
differ, or a page is not what it should be, there is no snapshot. The two meta pages do not belong to it.

Format 1 (engine 0.9) without duplicate keys, which is what edged has. Written apart from `edged.store.finder`, so that
neither is judged by itself.
"""

import os
import struct
from dataclasses import dataclass

_HEADER, _NODE_BYTES = 16, 8
_MAGIC = (0xBEEFC0DE, 1)
_META = struct.Struct("=16xII16x48s48sQQ")
_TREE = struct.Struct("=IHHQQQQQ")
_PAGE = struct.Struct("=QHHHH")
_OVERFLOW = struct.Struct("=QHHI")
_NODE = struct.Struct("=HHHH")
_NUMBER = struct.Struct("=Q")
_BRANCH, _LEAF, _IN_PAGES = 0x01, 0x02, 0x04
_IN_OVERFLOW_PAGES, _TABLE = 0x01, 0x02
_NO_PAGE = (1 << 64) - 1
_MOST_PAGES = 1 << 24
_USED = b"\1"


@dataclass(frozen=True, slots=True)
class Meta:
    """The newest meta page of a file: which snapshot a transaction that begins now sees."""

    content: bytes
    page_bytes: int
    free: bytes
    main: bytes
    last_page: int
    snapshot: int


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one snapshot: `used` has a byte for each page of the file, not zero where it is one of them."""

    page_bytes: int
    used: bytes

    @property
    def end(self) -> int:
        """Where the last of them ends, in bytes from the beginning of the file."""
        return (self.used.rfind(_USED) + 1) * self.page_bytes

    def touched(self, begin: int, end: int) -> bool:
        """Whether one of them has a byte from `begin` to before `end`."""
        return self.used.find(_USED, begin // self.page_bytes, -(-end // self.page_bytes)) >= 0


def newest_meta(file: int) -> Meta | None:
    """Return what LMDB takes for the newest meta page, or None when one of the two is not whole."""
    try:
        first = _meta(os.pread(file, _META.size, 0))
        second = _meta(os.pread(file, _META.size, first.page_bytes))
    except (struct.error, ValueError):
        return None
    return second if second.snapshot > first.snapshot else first


def _meta(page: bytes) -> Meta:
    *magic, free, main, last_page, snapshot = _META.unpack(page)
    if tuple(magic) != _MAGIC:
        raise ValueError("no meta page")
    return Meta(page[_HEADER:], _TREE.unpack(free)[0], free, main, last_page, snapshot)


def pages_of(file: int, meta: Meta) -> Pages | None:
    """Return the pages of the snapshot, or None when it cannot be proven that these are all."""
    if meta.last_page >= _MOST_PAGES:
        return None
    walk = _Walk(file, meta)
    try:
        walk.trees()
    except (struct.error, ValueError):
        return None
    return Pages(meta.page_bytes, bytes(walk.used))


@dataclass(slots=True)
class _Counts:
    """How many pages of each kind a tree has."""

    branch: int = 0
    leaf: int = 0
    overflow: int = 0


class _Walk:
    """Marks the pages of all trees, those too that a tree names; raises ValueError and struct.error."""

    def __init__(self, file: int, meta: Meta) -> None:
        self._file = file
        self._page_bytes = meta.page_bytes
        self._records = [meta.free, meta.main]
        self.used = bytearray(meta.last_page + 1)

    def trees(self) -> None:
        """Mark all pages of all trees."""
        while self._records:
            self._tree(self._records.pop())

    def _tree(self, record: bytes) -> None:
        *_, branch, leaf, overflow, _, root = _TREE.unpack(record)
        counts = _Counts()
        ahead = [] if root == _NO_PAGE else [root]
        while ahead:
            page = self._page(ahead.pop())
            if _PAGE.unpack_from(page)[2] == _BRANCH:
                counts.branch += 1
                ahead += _children(page)
            else:
                counts.leaf += 1
                counts.overflow += self._values(page)
        if counts != _Counts(branch, leaf, overflow):
            raise ValueError(f"{counts} pages were found of {branch}, {leaf} and {overflow}")

    def _page(self, number: int) -> bytes:
        self._mark(number, 1)
        page = os.pread(self._file, self._page_bytes, number * self._page_bytes)
        own, _, kind, *_ = _PAGE.unpack_from(page)
        if own != number or kind not in {_BRANCH, _LEAF}:
            raise ValueError(f"page {number} is not of a tree")
        return page

    def _values(self, leaf: bytes) -> int:
        """Mark what the values of a leaf have beyond it; return how many overflow pages."""
        overflow = 0
        for at in _nodes(leaf):
            low, high, flags, key_bytes = _NODE.unpack_from(leaf, at)
            begin, size = at + _NODE_BYTES + key_bytes, low | high << 16
            if flags == _IN_OVERFLOW_PAGES:
                overflow += self._value(_NUMBER.unpack_from(leaf, begin)[0], size)
            elif flags == _TABLE:
                self._records.append(leaf[begin : begin + size])
            elif flags:
                raise ValueError(f"a value of an unknown kind, {flags}")
        return overflow

    def _value(self, number: int, size: int) -> int:
        """Mark the pages of one value; return how many: they may be more than it needs, if it replaced another."""
        self._require(number, 1)
        own, _, kind, count = _OVERFLOW.unpack(os.pread(self._file, _HEADER, number * self._page_bytes))
        if own != number or kind != _IN_PAGES or _HEADER + size > count * self._page_bytes:
            raise ValueError(f"page {number} does not begin a value")
        self._mark(number, count)
        return int(count)

    def _mark(self, number: int, count: int) -> None:
        self._require(number, count)
        self.used[number : number + count] = _USED * count

    def _require(self, number: int, count: int) -> None:
        if count < 1 or number < 2 or number + count > len(self.used) or any(self.used[number : number + count]):
            raise ValueError(f"page {number} is beyond the last, or belongs to something else")


def _nodes(page: bytes) -> tuple[int, ...]:
    count = (_PAGE.unpack_from(page)[3] - _HEADER) // 2
    return struct.unpack_from(f"={count}H", page, _HEADER)


def _children(branch: bytes) -> list[int]:
    nodes = (_NODE.unpack_from(branch, at) for at in _nodes(branch))
    return [low | high << 16 | top << 32 for low, high, top, _ in nodes]
