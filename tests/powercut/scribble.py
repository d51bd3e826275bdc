"""A process that does things to files: `python -m tests.powercut.scribble FOLDER SEED`, or one of the named pieces.

The test of the shim and of the model of the disk runs it under the shim and compares the folder with what the model
makes of the recording.
"""

import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

STEPS = 120
_MOST = 9000


class Scribbler:
    """Does one thing after the other to the files of a folder."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._rng = random.Random(seed)
        self._open: list[int] = []
        self._made = 0

    def scribble(self) -> None:
        """Do STEPS things."""
        steps: list[Callable[[], None]] = [
            *(self._create, self._create, self._mkdir, self._rename, self._unlink, self._sync_folder),
            *(self._pwrite, self._pwrite, self._write, self._writev, self._truncate, self._allocate, self._sync),
        ]
        self._create()
        for _ in range(STEPS):
            self._rng.choice(steps)()

    def _names(self, *, folders: bool) -> list[Path]:
        return sorted(each for each in self._folder.rglob("*") if each.is_dir() is folders)

    def _somewhere(self) -> Path:
        self._made += 1
        return self._rng.choice([self._folder, *self._names(folders=True)]) / f"{self._made}"

    def _create(self) -> None:
        flags = self._rng.choice([0, 0, os.O_DSYNC, os.O_APPEND])
        self._open.append(os.open(self._somewhere(), os.O_RDWR | os.O_CREAT | flags, 0o600))
        if self._rng.random() < 0.3:
            self._open.append(os.dup(self._open[-1]))

    def _mkdir(self) -> None:
        self._somewhere().mkdir()

    def _rename(self) -> None:
        if files := self._names(folders=False):
            target = self._rng.choice(files) if self._rng.random() < 0.5 else self._somewhere()
            self._rng.choice(files).rename(target)

    def _unlink(self) -> None:
        if files := self._names(folders=False):
            self._rng.choice(files).unlink()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._rng.choice([self._folder, *self._names(folders=True)]), os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def _bytes(self) -> bytes:
        return self._rng.randbytes(self._rng.choice([1, 120, 512, 4096, self._rng.randrange(_MOST)]))

    def _file(self) -> int:
        return self._rng.choice(self._open)

    def _pwrite(self) -> None:
        os.pwrite(self._file(), self._bytes(), self._rng.choice([0, 512, self._rng.randrange(_MOST)]))

    def _write(self) -> None:
        file = self._file()
        os.lseek(file, self._rng.randrange(_MOST), os.SEEK_SET)
        os.write(file, self._bytes())

    def _writev(self) -> None:
        file = self._file()
        os.lseek(file, self._rng.randrange(_MOST), os.SEEK_SET)
        os.writev(file, [self._bytes(), self._bytes()])

    def _truncate(self) -> None:
        os.ftruncate(self._file(), self._rng.randrange(_MOST))

    def _allocate(self) -> None:
        os.posix_fallocate(self._file(), self._rng.randrange(_MOST), 1 + self._rng.randrange(_MOST))

    def _sync(self) -> None:
        self._rng.choice([os.fsync, os.fdatasync])(self._file())


if __name__ == "__main__":
    Scribbler(Path(sys.argv[1]), int(sys.argv[2])).scribble()
