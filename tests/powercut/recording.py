"""The recording of what a box did to its disk: building the shim, adding acknowledgements, reading the log.

One append-only file holds everything in the order in which it happened: a record before and a record after each call
that the shim saw (shim.c has the layout), and between them the acknowledgements that senders got. Reading maps the
file; the data of a write is a view into it.
"""

import hashlib
import json
import mmap
import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

_HEAD = struct.Struct("<I4BQQqQII")
_MAGIC = 0x50435554
_SHIM = Path(__file__).with_name("shim.c")


class Op(IntEnum):
    """What a record tells of; the first eight are the shim's."""

    OPEN = 1
    WRITE = 2
    SYNC = 3
    TRUNCATE = 4
    ALLOCATE = 5
    RENAME = 6
    UNLINK = 7
    MKDIR = 8
    ACKNOWLEDGED = 9


class RecordingError(Exception):
    """The log is not what the shim writes, or holds a call that the model of the disk does not know."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `ended` tells the one after a call, whose `offset` is the result, from the one before it."""

    op: Op
    ended: bool
    durable: bool
    folder: bool
    id: int
    inode: int
    offset: int
    length: int
    payload: memoryview

    @property
    def text(self) -> str:
        """The payload as a path."""
        return bytes(self.payload).decode()


def build_shim() -> Path:
    """Compile the shim with the system's compiler, once for each version of its source; return the library."""
    digest = hashlib.sha256(_SHIM.read_bytes()).hexdigest()[:16]
    library = Path(tempfile.gettempdir()) / f"edged-powercut-{os.getuid()}-{digest}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        command = ["cc", "-Wall", "-O2", "-shared", "-fPIC", "-o", str(unfinished), str(_SHIM), "-ldl"]
        subprocess.run(command, check=True)
        unfinished.rename(library)
    return library


class Acknowledgements:
    """Adds to a recording what senders were told; safe from several threads."""

    def __init__(self, log: Path) -> None:
        self._descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def add(self, told: dict[str, Any]) -> None:
        """Write one acknowledgement at the present end of the log."""
        payload = json.dumps(told).encode()
        head = _HEAD.pack(_MAGIC, Op.ACKNOWLEDGED, 1, 0, 0, 0, 0, 0, 0, len(payload), 0)
        os.write(self._descriptor, head + payload)

    def close(self) -> None:
        """Let go of the log."""
        os.close(self._descriptor)


def read_records(log: Path) -> list[Record]:
    """Read a whole log; the payloads stay in the file. Raises RecordingError."""
    if not log.stat().st_size:
        return []
    with log.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    return list(_parsed(data))


def _parsed(data: memoryview) -> Iterator[Record]:
    at = 0
    while at < len(data):
        magic, op, ended, durable, folder, identifier, inode, offset, length, size, _ = _HEAD.unpack_from(data, at)
        if magic != _MAGIC:
            raise RecordingError(f"no record at byte {at} of the log")
        at += _HEAD.size
        payload = data[at : at + size]
        yield Record(Op(op), bool(ended), bool(durable), bool(folder), identifier, inode, offset, length, payload)
        at += size


def told(record: Record) -> dict[str, Any]:
    """Return what an acknowledgement says."""
    said: dict[str, Any] = json.loads(bytes(record.payload))
    return said
