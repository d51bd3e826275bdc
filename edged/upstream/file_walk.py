"""Finding the files to send: what was named, and what lies in the folders that were named.

Lazy, in a stable order, so that a folder of any size costs no memory. Only regular files are given; links to files are
followed, links to folders are not. A DICOMDIR in a folder is passed over, since it describes files and is no instance
(PS3.10 8.6). What cannot be looked at is given with its fault, never dropped in silence.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

DICOMDIR = "DICOMDIR"


@dataclass(frozen=True, slots=True)
class Found:
    """A file of `size` bytes; `named` says that it was named itself, `fault` why it cannot be looked at."""

    path: Path
    size: int = 0
    named: bool = False
    fault: str = ""


def walk(paths: Iterable[Path]) -> Iterator[Found]:
    """Give the files of `paths` and of the folders among them, recursively."""
    for path in paths:
        if path.is_dir():
            yield from _folder(path)
        else:
            yield from _file(path, named=True)


def _folder(folder: Path) -> Iterator[Found]:
    faults: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=faults.append):
        folders.sort()
        for name in sorted(names):
            if name.upper() != DICOMDIR:
                yield from _file(Path(parent, name), named=False)
        yield from _told(faults)
    yield from _told(faults)


def _told(faults: list[OSError]) -> Iterator[Found]:
    while faults:
        error = faults.pop()
        yield Found(Path(os.fsdecode(error.filename)), fault=error.strerror or "it cannot be read")


def _file(path: Path, *, named: bool) -> Iterator[Found]:
    try:
        status = path.stat()
    except OSError as error:
        yield Found(path, named=named, fault=error.strerror or "it cannot be read")
        return
    if stat.S_ISREG(status.st_mode):
        yield Found(path, status.st_size, named)
    elif named:
        yield Found(path, named=True, fault="it is neither a file nor a folder")
