"""What was found in snapshots that were looked at before, and the proof that a state holds one of them unchanged.

Two states are most often the same snapshot with other rubbish on the pages that are not part of it. What is found in a
store depends on the bytes that are read, and a transaction reads the pages of its snapshot (`pages`). So what was found
holds again where the newest meta page is the same, and none of those pages was written since: neither by what became
durable (the journal of the disk) nor by what the cut kept on top of that (the layer). Anything else is looked at anew.

The proof is put to the test: every AUDIT-th time the snapshot is looked at all the same, and must be what it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.powercut.cut import Layer
from tests.powercut.disk import Disk
from tests.powercut.pages import Meta, Pages, newest_meta, pages_of
from tests.powercut.verify import Found

AUDIT = 100


class ForgottenError(Exception):
    """A snapshot that was proven to be unchanged is another one: this harness is wrong."""


@dataclass(slots=True)
class _Snapshot:
    """What was found on some pages; the journal was compared with them up to `place`."""

    pages: Pages
    found: Found
    place: int


class Known:
    """Remembers what was found, along one walk through a recording."""

    def __init__(self, disk: Disk) -> None:
        self.looked = 0
        """How many snapshots were looked at."""
        self._disk = disk
        self._snapshots: dict[tuple[int, Meta], _Snapshot] = {}
        self._recalled = 0

    def found(self, layer: Layer, examine: Callable[[], Found]) -> Found:
        """Return what is in the store whose data file is durable but for a layer: known, or by looking."""
        meta = newest_meta(self._disk.file(layer.node))
        snapshot = None if meta is None else self._snapshots.get((layer.node, meta))
        if snapshot is not None and self._unchanged(snapshot, layer):
            self._recalled += 1
            if self._recalled % AUDIT == 0 and examine() != snapshot.found:
                raise ForgottenError(f"snapshot {meta} is not what it was")
            return snapshot.found
        self.looked += 1
        found = examine()
        if meta is not None:
            self._remember(layer, meta, found)
        return found

    def _unchanged(self, snapshot: _Snapshot, layer: Layer) -> bool:
        journal = self._disk.journal[layer.node]
        if _touched(snapshot.pages, journal[snapshot.place :]):
            return False
        snapshot.place = len(journal)
        return _lies_below(snapshot.pages, layer)

    def _remember(self, layer: Layer, meta: Meta, found: Found) -> None:
        pages = pages_of(self._disk.file(layer.node), meta)
        if pages is not None and _lies_below(pages, layer):
            place = len(self._disk.journal[layer.node])
            self._snapshots[layer.node, meta] = _Snapshot(pages, found, place)


def _touched(pages: Pages, runs: list[tuple[int, int]]) -> bool:
    return any(pages.touched(begin, end) for begin, end in runs)


def _lies_below(pages: Pages, layer: Layer) -> bool:
    """Whether all the pages are within the file, and none of their bytes is of the layer."""
    return pages.end <= layer.size and not _touched(pages, layer.runs)
