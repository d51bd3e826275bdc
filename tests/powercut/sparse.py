"""Copying folders whose files are mostly holes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a folder; what is a hole stays one."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in source.iterdir():
        if entry.is_dir():
            copy_sparse(entry, target / entry.name)
        else:
            _copy_file(entry, target / entry.name)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reading, target.open("wb") as writing:
        size, at = os.fstat(reading.fileno()).st_size, 0
        writing.truncate(size)
        while at < size:
            try:
                begin = os.lseek(reading.fileno(), at, os.SEEK_DATA)
            except OSError:  # ENXIO: the rest is a hole
                return
            at = os.lseek(reading.fileno(), begin, os.SEEK_HOLE)
            os.pwrite(writing.fileno(), os.pread(reading.fileno(), at - begin, begin), begin)


@contextmanager
def copied(source: Path) -> Iterator[Path]:
    """A copy of a folder among the temporary files; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="edged-powercut-copy-") as folder:
        copy_sparse(source, Path(folder))
        yield Path(folder)
