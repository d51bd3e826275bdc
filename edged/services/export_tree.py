"""The tree of folders that instances are exported into: files whole, durable and named by their UIDs.

A file is written under one name for what is unfinished, fsync'd, and then renamed to its place: at any instant what
stands under an instance's name is all of it. Nothing that is there is overwritten. Files and folders are private.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from edged.dicom.digests import FileDigest
from edged.dicom.uids import is_uid

UNFINISHED = ".edged-export.part"
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where an instance goes, below the root; `aside` is the number of one that does not have its UID to itself."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    aside: int | None = None

    @property
    def safe(self) -> bool:
        """Whether its UIDs can be names: a record may say anything, `..` too."""
        return all(map(is_uid, (self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)))

    @property
    def path(self) -> Path:
        """The relative path."""
        suffix = "" if self.aside is None else f".conflict-{self.aside}"
        return Path(self.study_instance_uid, self.series_instance_uid, f"{self.sop_instance_uid}{suffix}.dcm")


class Found(Enum):
    """What is at a place already."""

    NOTHING = "nothing"
    SAME = "same"
    OTHER = "other"


class FileTree:
    """The folders below `root`; made by `file_tree`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._unsynced: Path | None = None

    def path(self, place: Place) -> Path:
        """Return the path of a place."""
        return self._root / place.path

    def look(self, place: Place, digest: bytes, *, body_offset: int) -> Found:
        """Return what is at a place, compared with the digest of a file with this body. Raises OSError."""
        found = FileDigest(body_offset)
        try:
            with self.path(place).open("rb") as file:
                while piece := file.read(READ_BYTES):
                    found.update(piece)
        except FileNotFoundError:
            return Found.NOTHING
        return Found.SAME if found.digest() == digest else Found.OTHER

    @contextmanager
    def writing(self) -> Iterator["Part"]:
        """Begin a file; what was not kept at the end of the block is gone. Raises OSError."""
        unfinished = self._root / UNFINISHED
        with suppress(FileNotFoundError):
            unfinished.unlink()
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                yield Part(self, file)
        finally:
            with suppress(FileNotFoundError):
                unfinished.unlink()

    def take(self, place: Place) -> None:
        """Give the unfinished file its place."""
        path = self.path(place)
        if path.parent != self._unsynced:
            self.sync()
            for folder in (path.parent.parent, path.parent):
                folder.mkdir(mode=0o700, exist_ok=True)
        (self._root / UNFINISHED).rename(path)
        self._unsynced = path.parent

    def sync(self) -> None:
        """Make the names of the files in the last folder durable, and the folder itself."""
        if self._unsynced is not None:
            for folder in (self._unsynced, self._unsynced.parent, self._root):
                _sync_folder(folder)
            self._unsynced = None


class Part:
    """A file that is being written."""

    def __init__(self, tree: FileTree, file: BinaryIO) -> None:
        self._tree = tree
        self._file = file

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        self._file.write(data)

    def keep(self, place: Place) -> None:
        """Make it durable and give it its place, where nothing may be."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._tree.take(place)


@contextmanager
def file_tree(root: Path) -> Iterator[FileTree]:
    """A tree below an existing folder; all that was kept is durable at the end. Raises OSError."""
    tree = FileTree(root)
    try:
        yield tree
    finally:
        tree.sync()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system of another kind, as on a stick or a share, has no such call
            raise
    finally:
        os.close(descriptor)
