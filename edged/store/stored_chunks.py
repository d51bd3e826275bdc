"""The chunks that a transaction finds in the file: read by a `Finder`, not through LMDB's map."""

from collections.abc import Iterator, Sequence

from edged.store.errors import InstanceUnreadable
from edged.store.finder import Finder, Unreadable
from edged.store.schema import read_chunk_key


class StoredChunks:
    """The chunks of one snapshot; `changed` are the keys of those for which the transaction has others, or none."""

    __slots__ = ("_finder", "changed")

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.changed: set[bytes] = set()

    def get(self, key: bytes) -> bytes | None:
        """Return a copy of a chunk, or None; raises InstanceUnreadable when the disk cannot give it back."""
        try:
            extent = self._finder.find(key)
            return None if extent is None else self._finder.read(extent)
        except Unreadable as error:
            raise _unreadable(key, error) from error

    def run(self, keys: Sequence[bytes]) -> memoryview | None:
        """Return copies of chunks as one; None where that cannot be: asked for one by one they say why."""
        if not self.changed.isdisjoint(keys):
            return None
        try:
            extents = [extent for key in keys if (extent := self._finder.find(key)) is not None]
            return self._finder.read_run(extents) if len(extents) == len(keys) else None
        except Unreadable:
            return None

    def size(self, key: bytes) -> int | None:
        """Return the bytes of a chunk, or None; it is not looked at. Raises InstanceUnreadable."""
        try:
            extent = self._finder.find(key)
        except Unreadable as error:
            raise _unreadable(key, error) from error
        return None if extent is None else extent.size

    def begins_readable(self, key: bytes) -> bool:
        """Whether the first page of a chunk can be read, if there is one."""
        try:
            extent = self._finder.find(key)
            if extent is not None:
                self._finder.require_header(extent)
        except Unreadable:
            return False
        return True

    def keys(self, prefix: bytes, start: bytes) -> Iterator[bytes]:
        """Yield the keys that begin with `prefix`, in order, from `start` on, without `changed`. Raises Unreadable."""
        for key in self._finder.keys(start):
            if not key.startswith(prefix):
                return
            if key not in self.changed:
                yield key


def _unreadable(key: bytes, error: Unreadable) -> InstanceUnreadable:
    """Say of which chunk it is that the disk cannot give something back."""
    number, index = read_chunk_key(key)
    return InstanceUnreadable(f"the disk cannot give back chunk {index} of instance number {number}: {error}")
