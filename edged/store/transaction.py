"""Typed access to the tables inside one LMDB transaction.

Counters are changed in memory and written back by `flush`, which the writer calls before it commits: an operation that
is replayed starts from the committed values again. Rows are written likewise, those of a table together, before it is
next searched and at the end: every call of LMDB's binding lets other threads run, and getting the interpreter back from
a busy event loop took longer than the writing. Buffers that reads return are valid inside the transaction, until the
next search. Chunks are not read through the map (`stored_chunks`); those that this transaction has itself changed are
in memory, and only there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from types import MappingProxyType
from typing import Any, TypeVar

import lmdb

from edged.store.errors import StoreDamaged
from edged.store.finder import Finder, Unreadable
from edged.store.records import Record, pack, unpack
from edged.store.schema import CHUNKS, COUNTERS, Table
from edged.store.stored_chunks import StoredChunks

R = TypeVar("R", bound=Record)
Value = bytes | memoryview
Row = tuple[Value, Value]


class Transaction:
    """One read or write transaction over the environment's tables."""

    __slots__ = (
        "_databases",
        "_dirty",
        "_txn",
        "_unwritten",
        "chunks",
        "counters",
        "names",
        "tables",
    )

    def __init__(
        self,
        txn: lmdb.Transaction,
        databases: Mapping[str, Any],
        finder: Finder,
        *,
        counters: Mapping[bytes, int] = MappingProxyType({}),
    ) -> None:
        """Begin over LMDB's `txn`; `counters` are those that are known already."""
        self._txn = txn
        self._databases = databases
        self.tables = databases.keys()
        """The names of those that are there: a store of an older schema that is only looked at lacks the newer ones."""
        self.chunks = StoredChunks(finder)
        self.counters = dict(counters)
        self._dirty: set[bytes] = set()
        self._unwritten: defaultdict[str, dict[bytes, Value]] = defaultdict(dict)
        self.names: dict[int, str] | None = None
        """Of destinations, by id, once somebody has read them; whoever adds one forgets them."""

    def get(self, table: Table, key: bytes) -> Value | None:
        """Return the value, or None; raises InstanceUnreadable for a chunk that the disk cannot give back."""
        if table is CHUNKS and key not in self.chunks.changed:
            return self.chunks.get(key)
        unwritten = self._unwritten.get(table.name)
        value = unwritten.get(key) if unwritten else None
        return self._txn.get(key, db=self._databases[table.name]) if value is None else value

    def record(self, table: Table, key: bytes, kind: type[R]) -> R | None:
        """Return the decoded record, or None."""
        value = self.get(table, key)
        return None if value is None else unpack(kind, value)

    def put(self, table: Table, key: bytes, value: bytes | memoryview = b"") -> None:
        """Write one row, replacing what was there; neither key nor value is what a read has returned."""
        if table is CHUNKS:
            self.chunks.changed.add(key)
        self._unwritten[table.name][key] = value

    def put_record(self, table: Table, key: bytes, record: Record) -> None:
        """Write one record."""
        self.put(table, key, pack(record))

    def delete(self, table: Table, key: bytes) -> bool:
        """Delete one row; return whether it was there."""
        if table is CHUNKS:
            self.chunks.changed.add(key)
        was_unwritten = self._unwritten[table.name].pop(key, None) is not None
        return self._txn.delete(key, db=self._databases[table.name]) or was_unwritten

    def rows(self, table: Table, prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[Row]:
        """Yield the rows whose keys begin with `prefix`, in key order, from `start` on; of CHUNKS as `get` does."""
        if table is CHUNKS:
            for chunk in self.chunk_keys(prefix, start=start):
                yield chunk, self.get(table, chunk) or b""
            return
        self._write_out(table.name)
        with self._txn.cursor(db=self._databases[table.name]) as cursor:
            found = cursor.set_range(start if start is not None else prefix) if (start or prefix) else cursor.first()
            while found:
                key, value = cursor.item()
                if prefix and key[: len(prefix)] != prefix:
                    return
                yield key, value
                found = cursor.next()

    def chunk_keys(self, prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[bytes]:
        """Yield the keys of chunks that begin with `prefix`, in order, from `start` on; no chunk is looked at.

        Raises StoreDamaged when the disk cannot give the index of the chunks back.
        """
        start = start or prefix
        mine = sorted(key for key in self.chunks.changed if key >= start and key.startswith(prefix) and self._has(key))
        try:
            yield from merge(mine, self.chunks.keys(prefix, start))
        except Unreadable as error:
            raise StoreDamaged(f"the disk cannot give back the index of the chunks: {error}") from error

    def _has(self, key: bytes) -> bool:
        return self.get(CHUNKS, key) is not None

    def chunk_bytes(self, key: bytes) -> int | None:
        """Return the size of a chunk in bytes, or None; it is not looked at. Raises InstanceUnreadable."""
        if key in self.chunks.changed:
            value = self.get(CHUNKS, key)
            return None if value is None else len(value)
        return self.chunks.size(key)

    def may_free(self, key: bytes) -> bool:
        """Whether LMDB may be told to free a chunk: it looks into its first page, which must be readable for that."""
        return key in self.chunks.changed or self.chunks.begins_readable(key)

    def first(self, table: Table, prefix: bytes = b"") -> Row | None:
        """Return the first row under `prefix`, or None."""
        return next(self.rows(table, prefix), None)

    def count(self, table: Table) -> int:
        """Return the number of rows in a table."""
        self._write_out(table.name)
        return int(self._txn.stat(self._databases[table.name])["entries"])

    def pages(self, names: Iterable[str] | None = None) -> dict[str, int]:
        """Return the pages that tables use (branch, leaf and overflow), by name: of these, or of those written to."""
        self._write_all()
        names = self._unwritten if names is None else names
        stats = {name: self._txn.stat(self._databases[name]) for name in names}
        return {
            name: each["branch_pages"] + each["leaf_pages"] + each["overflow_pages"] for name, each in stats.items()
        }

    def counter(self, name: bytes) -> int:
        """Return a counter; 0 when it was never set."""
        known = self.counters.get(name)
        if known is None:
            value = self.get(COUNTERS, name)
            known = 0 if value is None else int.from_bytes(value, "big", signed=True)
            self.counters[name] = known
        return known

    def add(self, name: bytes, amount: int) -> int:
        """Add to a counter and return its new value."""
        value = self.counters[name] = self.counter(name) + amount
        self._dirty.add(name)
        return value

    def flush(self) -> None:
        """Write the changed counters, and all rows."""
        for name in self._dirty:
            self.put(COUNTERS, name, self.counters[name].to_bytes(8, "big", signed=True))
        self._dirty.clear()
        self._write_all()

    def _write_all(self) -> None:
        for name in self._unwritten:
            self._write_out(name)

    def _write_out(self, name: str) -> None:
        rows = self._unwritten.get(name)
        if rows:
            with self._txn.cursor(db=self._databases[name]) as cursor:
                cursor.putmulti(rows.items())
            rows.clear()
