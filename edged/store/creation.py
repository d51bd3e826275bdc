"""Making a store so that a power cut leaves either none or a whole one.

LMDB syncs neither its first pages nor the folder, and a file that was preallocated before LMDB first opened it is
refused as foreign. So: open in a temporary folder, write the schema, preallocate the data and the lock file, fsync
both and the folder, rename, fsync the parent (DESIGN §3).
"""

import contextlib
import errno
import os
import shutil
import time
from pathlib import Path

import lmdb
import msgspec

from edged.store.errors import DiskFull, StoreUnavailable
from edged.store.schema import META, TABLES, VERSION

MIB = 1 << 20
LEAST_CAPACITY = 256 * MIB
HATCH = 64 * MIB
"""Preallocated beyond the map, so that deleting is possible even when the map's last page is taken."""

STORE = "store"
_UNFINISHED = "store.new"
DATA = "data.mdb"
BLOCK = 512
"""What st_blocks counts in, whatever the file system's own blocks are."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def open_environment(folder: Path, capacity: int, *, read_only: bool = False, lock: bool = True) -> lmdb.Environment:
    """Open the LMDB environment in `folder` with the flags that keep its promises (DESIGN §3).

    Without `lock` the lock file is left alone, which writes to the disk: for a reader when nobody writes.
    """
    return lmdb.open(
        str(folder),
        map_size=capacity,
        max_dbs=len(TABLES) + 8,
        max_readers=128,
        readahead=False,
        create=not read_only,
        readonly=read_only,
        lock=lock,
        lib_version=0,
        mode=0o600,
    )


def preallocate(path: Path, size: int) -> bool:
    """Reserve `size` bytes for the file at `path`; return False where the file system cannot.

    Raises DiskFull when the disk has no such room, and StoreUnavailable; the file is then as long as it was.
    """
    with path.open("r+b") as file:
        before = os.fstat(file.fileno())
        try:
            _require_room(file.fileno(), size - before.st_blocks * BLOCK)
            os.posix_fallocate(file.fileno(), 0, size)
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno in _NO_PREALLOCATION:
                return False
            if before.st_size < size:
                with contextlib.suppress(OSError):
                    os.ftruncate(file.fileno(), before.st_size)
            kind = DiskFull if error.errno in _NO_ROOM else StoreUnavailable
            raise kind(
                f"cannot reserve {size // MIB} MiB for {path}: {error.strerror}. "
                "Free some space, or set a smaller [store] capacity."
            ) from error
    return True


def _require_room(descriptor: int, missing: int) -> None:
    """Raise OSError (ENOSPC) before a disk is filled to its last byte in vain."""
    disk = os.fstatvfs(descriptor)
    if missing > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make a folder, and those above it that are missing; their entries are durable when this returns.

    Raises OSError.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=mode, exist_ok=True)
    sync_folder(folder.parent)


def create(data_dir: Path, capacity: int) -> None:
    """Make an empty store of `capacity` bytes in `data_dir`; raises StoreUnavailable."""
    if capacity < LEAST_CAPACITY:
        raise StoreUnavailable(f"[store] capacity is {capacity // MIB} MiB; the least is {LEAST_CAPACITY // MIB} MiB.")
    unfinished = data_dir / _UNFINISHED
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    try:
        _fill(unfinished, capacity)
    except lmdb.Error as error:
        raise StoreUnavailable(f"cannot make a store of {capacity // MIB} MiB in {data_dir}: {error}") from error
    for name in (DATA, "lock.mdb"):
        descriptor = os.open(unfinished / name, os.O_RDWR)
        os.fsync(descriptor)
        os.close(descriptor)
    sync_folder(unfinished)
    unfinished.rename(data_dir / STORE)
    sync_folder(data_dir)
    with contextlib.suppress(PermissionError):  # who may not read the parent did not make the data directory in it
        sync_folder(data_dir.parent)


def _fill(folder: Path, capacity: int) -> None:
    environment = open_environment(folder, capacity)
    try:
        with environment.begin(write=True) as txn:
            databases = {table.name: environment.open_db(table.name.encode(), txn=txn) for table in TABLES}
            for name, value in (("schema", VERSION), ("created", time.time()), ("capacity", capacity)):
                txn.put(name.encode(), msgspec.msgpack.encode(value), db=databases[META.name])
        lock = folder / "lock.mdb"
        preallocate(lock, lock.stat().st_size)
        preallocate(folder / DATA, capacity + HATCH)
    finally:
        environment.close()
