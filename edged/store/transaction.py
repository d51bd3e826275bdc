"""Typed access to the tables inside one LMDB transaction.

Counters are read once a transaction, changed in memory and written back by `flush`, which the writer calls before it
commits: an operation that is replayed starts from the stored values again. Buffers returned by reads are valid only
inside the transaction.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import lmdb

from edged.store.records import Record, pack, unpack
from edged.store.schema import COUNTERS, Table

R = TypeVar("R", bound=Record)
Value = bytes | memoryview
Row = tuple[Value, Value]


class Transaction:
    """One read or write transaction over the environment's tables."""

    __slots__ = ("_counters", "_databases", "_dirty", "_txn")

    def __init__(self, txn: lmdb.Transaction, databases: Mapping[str, Any]) -> None:
        self._txn = txn
        self._databases = databases
        self._counters: dict[bytes, int] = {}
        self._dirty: set[bytes] = set()

    def get(self, table: Table, key: bytes) -> Value | None:
        """Return the value, or None."""
        value: Value | None = self._txn.get(key, db=self._databases[table.name])
        return value

    def record(self, table: Table, key: bytes, kind: type[R]) -> R | None:
        """Return the decoded record, or None."""
        value = self.get(table, key)
        return None if value is None else unpack(kind, value)

    def put(self, table: Table, key: bytes, value: bytes | memoryview = b"") -> None:
        """Write one row, replacing what was there."""
        self._txn.put(key, value, db=self._databases[table.name])

    def put_record(self, table: Table, key: bytes, record: Record) -> None:
        """Write one record."""
        self.put(table, key, pack(record))

    def delete(self, table: Table, key: bytes) -> bool:
        """Delete one row; return whether it was there."""
        return bool(self._txn.delete(key, db=self._databases[table.name]))

    def rows(self, table: Table, prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[Row]:
        """Yield the rows whose keys begin with `prefix`, in key order, from `start` on."""
        with self._txn.cursor(db=self._databases[table.name]) as cursor:
            found = cursor.set_range(start if start is not None else prefix) if (start or prefix) else cursor.first()
            while found:
                key, value = cursor.item()
                if prefix and key[: len(prefix)] != prefix:
                    return
                yield key, value
                found = cursor.next()

    def first(self, table: Table, prefix: bytes = b"") -> Row | None:
        """Return the first row under `prefix`, or None."""
        return next(self.rows(table, prefix), None)

    def count(self, table: Table) -> int:
        """Return the number of rows in a table."""
        return int(self._txn.stat(self._databases[table.name])["entries"])

    def pages(self) -> int:
        """Return the pages that all tables use (branch, leaf and overflow)."""
        total = 0
        for database in self._databases.values():
            stat = self._txn.stat(database)
            total += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        return int(total)

    def counter(self, name: bytes) -> int:
        """Return a counter; 0 when it was never set."""
        known = self._counters.get(name)
        if known is None:
            value = self.get(COUNTERS, name)
            known = 0 if value is None else int.from_bytes(value, "big", signed=True)
            self._counters[name] = known
        return known

    def add(self, name: bytes, amount: int) -> int:
        """Add to a counter and return its new value."""
        value = self._counters[name] = self.counter(name) + amount
        self._dirty.add(name)
        return value

    def flush(self) -> None:
        """Write the changed counters."""
        for name in self._dirty:
            self.put(COUNTERS, name, self._counters[name].to_bytes(8, "big", signed=True))
        self._dirty.clear()
