"""Owning and opening the environment: the exclusive lock, the checks before the first write, space figures.

A store of a newer schema is refused, one of an older schema brought up to date (`migration`); a damaged one is never
written to: what can be checked cheaply (magic, schema, counts of the tables against each other) is checked read-only
before the environment is opened for writing. After a
failed write it is reopened read-only: once its meta page could not be written LMDB refuses even to read, and what
cannot write need not be trusted not to.
"""

import fcntl
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import lmdb
import msgspec

from edged.store.allocation import Allocation, create_what_fits, default_capacity, fill_holes, grow
from edged.store.counters import standing
from edged.store.creation import DATA, HATCH, MIB, STORE, create, make_folder, open_environment
from edged.store.errors import StoreDamaged, StoreFailed, StoreLocked, StoreTooNew, StoreUnavailable
from edged.store.finder import Finder
from edged.store.gate import Gate
from edged.store.migration import migrate
from edged.store.records import Standing
from edged.store.schema import BY_SOP_INSTANCE, BY_STUDY, CHUNKS, INSTANCES, META, TABLES, VERSION, Table
from edged.store.transaction import Transaction

OWNER = "owner"
_PID_BYTES = 32

_DAMAGE = (lmdb.Error, msgspec.DecodeError, struct.error, UnicodeDecodeError)
"""What reading raises when a page does not hold what it should."""


class Environment:
    """The opened LMDB environment with its tables; made by `opened` and `inspected`."""

    def __init__(
        self, env: lmdb.Environment, capacity: int, tables: Sequence[Table] = TABLES, *, descriptor: int
    ) -> None:
        self._env = env
        self._descriptor = descriptor
        self._tables = tables
        self._databases = _databases(env, tables)
        self._page = int(env.stat()["psize"])
        self.capacity = capacity
        self.soft_cap = capacity - max(64 * MIB, capacity // 20)
        self.allocation = Allocation(Path(env.path()) / DATA, wanted=capacity, capacity=capacity)
        self._counters: dict[bytes, int] = {}
        self._gate = Gate()
        self._being_written = threading.Lock()
        self._hatch_open = False
        self._reopened = False
        self._closed = False
        with self.reading() as txn:
            self._pages = txn.pages([table.name for table in tables])
        self.used_bytes = self._page * sum(self._pages.values())
        """Of all pages that the tables use, as of the last commit."""

    @contextmanager
    def reading(self, *, only_memory: bool = False) -> Iterator[Transaction]:
        """A short read transaction; never held across an await. Raises StoreFailed while nothing can be read.

        With `only_memory` looking for chunks raises NotInMemory where the disk would have to be waited for.
        """
        with self._gate.shared():
            try:
                begun = self._env.begin(buffers=True)
            except lmdb.Error as error:
                raise StoreFailed(f"the store cannot be read: {error}. Check the disk, then restart edged.") from error
            with begun as txn:
                yield Transaction(txn, self._databases, self._finder(txn.id(), only_memory=only_memory))

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A write transaction, committed at the end of the block, aborted by an exception."""
        with self._being_written, self._env.begin(write=True, buffers=True) as txn:
            transaction = Transaction(txn, self._databases, self._finder(txn.id() - 1), counters=self._counters)
            yield transaction
            transaction.flush()
            pages = transaction.pages()
        self._pages |= pages
        self._counters = transaction.counters
        self.used_bytes = self._page * sum(self._pages.values())

    def _finder(self, snapshot: int, *, only_memory: bool = False) -> Finder:
        table = CHUNKS.name.encode()
        return Finder(self._descriptor, self._page, snapshot=snapshot, table=table, only_memory=only_memory)

    def open_hatch(self) -> bool:
        """Add the preallocated reserve to a full map, so that deleting is possible; False if that was done before.

        Called between transactions by whoever writes; waits for the readers.
        """
        if self._hatch_open:
            return False
        self._hatch_open = True
        with self._gate.alone():
            self._env.set_mapsize(self.capacity + HATCH)
        return True

    def reopen_to_read(self) -> None:
        """Give up writing, so that no page is written and nothing flushed any more, and go on reading what was there.

        Called between transactions by whoever writes; waits for the readers. When it cannot be opened, nothing is read.
        """
        if self._reopened:
            return
        self._reopened = True
        with self._gate.alone(), suppress(lmdb.Error):
            folder = Path(self._env.path())
            self._env.close()
            self._env = open_environment(folder, self.capacity + HATCH, read_only=True, lock=False)
            self._databases = _databases(self._env, self._tables)

    def reader_check(self) -> int:
        """Clear the reader slots of dead processes; return how many."""
        with self._gate.shared(), suppress(lmdb.Error):
            return int(self._env.reader_check())
        return 0

    def close(self) -> None:
        """Close the environment once those who read it have ended; whoever begins afterwards gets StoreFailed.

        While it is being written it stays open: the disk does not answer, and LMDB would free what that thread uses.
        """
        if self._closed or not self._being_written.acquire(blocking=False):
            return
        self._closed = True
        try:
            with self._gate.alone():
                self._env.close()
                os.close(self._descriptor)
        finally:
            self._being_written.release()


def _databases(env: lmdb.Environment, tables: Sequence[Table]) -> Mapping[str, Any]:
    return {table.name: env.open_db(table.name.encode()) for table in tables}


def _data_file(folder: Path) -> int:
    """Return a descriptor of the data file, to read it without the map. Raises OSError."""
    return os.open(folder / DATA, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Hold the exclusive lock of a data directory; raises StoreLocked when another process has it."""
    try:
        make_folder(data_dir, 0o700)
        descriptor = os.open(data_dir / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot use the data directory {data_dir}: {error.strerror}. Set [box] data_dir to a writable folder."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, _PID_BYTES, 0).decode("ascii", "replace").strip() or "unknown"
            raise StoreLocked(
                f"{data_dir} is in use by another edged (process {holder}). Stop it, or set another [box] data_dir."
            ) from error
        with suppress(OSError):  # who it is, is only for people: a full disk must not keep a box from starting
            os.pwrite(descriptor, str(os.getpid()).encode().ljust(_PID_BYTES), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def opened(data_dir: Path, capacity: int | None, *, make_do: bool = False) -> Iterator[Environment]:
    """Open the store in an owned data directory, made if there is none, and close it at the end.

    `capacity` in bytes may grow an existing store, never shrink it; None keeps it, or takes 80 % of the free space
    for a new one. Raises StoreError: also where the disk has no room for the capacity, unless it is to `make_do` with
    what there is, and then what the file still lacks of the disk is reserved first.
    """
    folder = data_dir / STORE
    if not folder.exists():
        (create_what_fits if make_do else create)(data_dir, capacity or default_capacity(data_dir))
    known, schema = _inspect(data_dir)
    wanted = max(capacity or known, known)
    granted = grow(folder / DATA, wanted, known=known, make_do=make_do)
    if make_do:
        fill_holes(folder / DATA, granted)
    try:
        env = open_environment(folder, granted)
    except lmdb.Error as error:
        raise StoreUnavailable(f"cannot open the store in {folder} for writing: {error}. Check the disk.") from error
    environment = Environment(env, granted, descriptor=_data_file(folder))
    try:
        environment.allocation = Allocation(folder / DATA, wanted=wanted, capacity=granted)
        _bring_up_to_date(environment, schema=schema, known=known)
        environment.reader_check()
        yield environment
    finally:
        environment.close()


def _bring_up_to_date(environment: Environment, *, schema: int, known: int) -> None:
    """Migrate a store of an older schema, and note a capacity that has grown; raises StoreUnavailable."""
    try:
        migrate(environment.writing, schema)
        if environment.capacity > known:
            with environment.writing() as txn:
                txn.put(META, b"capacity", msgspec.msgpack.encode(environment.capacity))
    except lmdb.Error as error:
        raise StoreUnavailable(f"the store cannot write: {error}. Check the disk.") from error


@contextmanager
def inspected(
    data_dir: Path, tables: Sequence[Table] = TABLES, *, useful: Sequence[Table] = ()
) -> Iterator[Environment]:
    """Open the store in an owned data directory read-only, whatever its tables say, and close it at the end.

    Raises StoreError, for damage that shows inside the block too. Only `tables` are opened, but those that the store's
    schema does not have yet, and what can be opened of those that are merely `useful`: a damaged one does not keep the
    others from being read.
    """
    folder = data_dir / STORE
    with ExitStack() as open_files:
        try:
            descriptor = _data_file(folder)
            open_files.callback(os.close, descriptor)
            size = os.fstat(descriptor).st_size
            env = open_environment(folder, size, read_only=True)
        except (lmdb.Error, OSError) as error:
            raise StoreDamaged(f"{folder} is not a store that can be opened: {error}. Nothing was changed.") from error
        open_files.callback(env.close)
        try:
            schema = VERSION
            if META in tables and _opens(env, META):
                schema = _known_schema(Environment(env, size, [META], descriptor=descriptor), folder)
            expected = [table for table in tables if table.since <= schema]
            missing = [table.name for table in expected if not _opens(env, table)]
            if missing:
                raise StoreDamaged(f"the store in {folder} lacks the tables {', '.join(missing)}. Nothing was changed.")
            found = [*expected, *(table for table in useful if _opens(env, table))]
            yield Environment(env, size, found, descriptor=descriptor)
        except _DAMAGE as error:
            raise StoreDamaged(f"the store in {folder} is damaged: {error}. Nothing was changed.") from error


def _opens(env: lmdb.Environment, table: Table) -> bool:
    try:
        env.open_db(table.name.encode())
    except lmdb.Error:
        return False
    return True


def _known_schema(environment: Environment, folder: Path) -> int:
    """Return the schema of a store; raises StoreTooNew."""
    with environment.reading() as txn:
        schema = msgspec.msgpack.decode(txn.get(META, b"schema") or b"\xc0", type=int)
    if schema > VERSION:
        raise StoreTooNew(
            f"the store in {folder} has schema {schema}; this edged knows up to {VERSION}. Install the newer edged."
        )
    return schema


def _inspect(data_dir: Path) -> tuple[int, int]:
    """Check what is on the disk without writing; return the store's capacity in bytes, and its schema."""
    with inspected(data_dir) as environment, environment.reading() as txn:
        instances = txn.count(INSTANCES)
        counted = sum(txn.counter(standing(value)) for value in Standing)
        in_studies = txn.count(BY_STUDY) + txn.counter(standing(Standing.CONFLICT))
        if not instances == txn.count(BY_SOP_INSTANCE) == in_studies == counted:
            raise StoreDamaged(
                f"the tables of the store in {data_dir / STORE} disagree. Nothing was changed; see edged check-store."
            )
        capacity, schema = (txn.get(META, name) or b"\xc0" for name in (b"capacity", b"schema"))
        return msgspec.msgpack.decode(capacity, type=int), msgspec.msgpack.decode(schema, type=int)
