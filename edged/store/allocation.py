"""Fitting the data file to the disk: how large it may be, and whether the disk has promised it its pages.

A file that is preallocated cannot be hurt by another program that fills the disk. Where that cannot be had the daemon
goes on with what there is: a smaller store, the store as it was, or one that asks the disk before it takes work, so
that a full disk is met by a refusal and not by a write that fails.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edged.store.creation import BLOCK, HATCH, LEAST_CAPACITY, MIB, create, preallocate
from edged.store.errors import DiskFull

ASK_AGAIN_S = 1.0
KEPT_FREE = 64 * MIB
"""Of the disk, for what a delete, the lists of free pages and other programs need between two questions."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """The data file of a store: `wanted` and `capacity` in bytes."""

    data: Path
    wanted: int
    capacity: int

    @property
    def short(self) -> bool:
        """Whether the disk had no room for what was wanted."""
        return self.capacity < self.wanted

    @property
    def preallocated(self) -> bool:
        """Whether the disk has promised the file all its pages."""
        return allocated_bytes(self.data) >= self.capacity + HATCH


class DiskRoom:
    """What the disk can give to a file, all in all: what the file has of it and what is free. Asked once a second."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._asked_s = float("-inf")
        self._bytes = 0

    def __call__(self) -> int:
        """Return bytes; that the file itself grows changes nothing in it."""
        now = time.monotonic()
        if now - self._asked_s >= ASK_AGAIN_S:
            self._asked_s = now
            with suppress(OSError):  # a disk that does not even say that is about to fail a write
                self._bytes = max(0, allocated_bytes(self._data) + free_bytes(self._data) - KEPT_FREE)
        return self._bytes


def allocated_bytes(data: Path) -> int:
    """Return how many bytes of the disk a file has. Raises OSError."""
    return data.stat().st_blocks * BLOCK


def free_bytes(place: Path) -> int:
    """Return how many bytes are free on the disk below `place`. Raises OSError."""
    disk = os.statvfs(place)
    return disk.f_bavail * disk.f_frsize


def default_capacity(data_dir: Path) -> int:
    """Return 80 % of the free space, in whole MiB, as bytes."""
    return free_bytes(data_dir) * 8 // 10 // MIB * MIB


def create_what_fits(data_dir: Path, wanted: int) -> None:
    """Make a store of the wanted capacity, or of the default one where the disk has no room for that.

    Raises StoreUnavailable when not even the least fits.
    """
    try:
        create(data_dir, wanted)
    except DiskFull:
        fits = min(default_capacity(data_dir), wanted)
        if fits < LEAST_CAPACITY:
            raise
        create(data_dir, fits)


def grow(data: Path, wanted: int, *, known: int, make_do: bool) -> int:
    """Reserve what a store grows by; return the capacity that it has then, the known one if it is to make do with it.

    Raises StoreUnavailable.
    """
    if wanted > known:
        try:
            preallocate(data, wanted + HATCH)
        except DiskFull:
            if not make_do:
                raise
            return known
    return wanted


def fill_holes(data: Path, capacity: int) -> None:
    """Reserve what a file lacks of the disk, if that is possible: a copy may be full of holes.

    Raises StoreUnavailable for an error of the disk.
    """
    if allocated_bytes(data) < capacity + HATCH:
        with suppress(DiskFull):
            preallocate(data, capacity + HATCH)
