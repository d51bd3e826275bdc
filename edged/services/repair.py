"""Repair of an instance whose stored bytes turned: a destination that committed to it is asked to give it back.

Such destinations are asked in turn. What one gives streams into the store as an upload that is never admitted, scanned
on the way like any arriving instance, and bounded by the size of what was stored, not by what the peer announces. It
is put in place only if it is the same data set (DICOM.md §1); if that came in another file, the record is made to tell
of that file. Nothing here waits for a destination: one that cannot be asked now is asked at the next pass. What a
sender sends again meanwhile is put in place just so.
"""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import partial
from typing import Protocol

import trio
from msgspec import structs

from edged.dicom.errors import DicomError
from edged.dicom.scanner import InstanceScanner, Scan
from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.file_fields import file_fields
from edged.services.retrieve import leaving_transfer_syntax
from edged.store.chunks import chunk_count
from edged.store.errors import InstanceGone, StoreFull
from edged.store.queue import destination_names
from edged.store.records import DeliveryState, Event, Instance
from edged.store.repair import REPAIR_CHUNKS, Repair, differing, finish_repair, put_chunks
from edged.store.schema import CHUNK_BYTES
from edged.store.standings import read_deliveries
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.store.upload import Upload, upload
from edged.telemetry.clock import Clock

log = logging.getLogger(__name__)

FAILED = "scrub-failed"
"""The condition while there are bad ones; a repair is an event of it."""

MARGIN_BYTES = 1 << 20
"""By which a file of the same data set may differ: another meta header, other lengths of sequences, explicit VR."""

STEP_BYTES = REPAIR_CHUNKS * CHUNK_BYTES

LOOK_AGAIN_S = 1.0
PATIENCE = 10
"""Looks at a busy store before the bytes are put in place: whoever reads the instance may be done by then. Few, because
the end of the copy is in memory meanwhile."""


class Retrieved(StrEnum):
    """What a destination did when it was asked for an instance; `silent` is everything that may pass."""

    GIVEN = "given"
    ABSENT = "absent"
    SILENT = "silent"


class Holder(Protocol):
    """A destination that can be asked for what it has committed to."""

    async def retrieve(self, instance: Instance, copy: "Copy") -> Retrieved:
        """Ask for an instance and add what comes to the copy; raises what that raises."""


class Outcome(StrEnum):
    """What became of a bad instance. Where several destinations were asked in vain, the first of these is told.

    `gone`: it is no longer stored, or not as it was. `unreadable`: the disk cannot read what would be written over.
    `later`: a destination could not be asked, or there is no room. `differs`: what came is not the same data set.
    `absent`: it says that it has no such instance. `uncommitted`: no destination has committed to it.
    """

    REPAIRED = "repaired"
    GONE = "gone"
    UNREADABLE = "unreadable"
    LATER = "later"
    DIFFERS = "differs"
    ABSENT = "absent"
    UNCOMMITTED = "uncommitted"


_FINAL = frozenset({Outcome.REPAIRED, Outcome.GONE, Outcome.UNREADABLE})
_ORDER = tuple(Outcome)


class OtherInstanceError(Exception):
    """What comes cannot be the instance that was asked for."""


class Copy:
    """What a destination gives back while it arrives; at most `limit` bytes."""

    def __init__(self, begun: Upload, wanted: Instance) -> None:
        self.limit = max(wanted.size, wanted.exit_length) + MARGIN_BYTES
        self._upload = begun
        self._wanted = wanted
        self._scanner = InstanceScanner()
        self._length = 0

    async def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes. Raises OtherInstanceError, DicomError, StoreFull or StoreFailed."""
        self._length += len(data)
        if self._length > self.limit:
            raise OtherInstanceError
        self._scanner.feed(data)
        await self._upload.add(data)

    def scanned(self) -> Instance:
        """Return the record that tells of the copy; raises OtherInstanceError or DicomError."""
        scan, wanted = self._scanner.finish(), self._wanted
        found = structs.replace(wanted, **file_fields(scan))
        if scan.dataset_digest != wanted.dataset_digest or not _alike(found, wanted):
            raise OtherInstanceError
        return found


class Repairer:
    """Repairs instances of one store from the destinations in `holders`, by their ids."""

    def __init__(self, store: Store, clock: Clock, bells: Bells, *, holders: Mapping[int, Holder]) -> None:
        self._store = store
        self._clock = clock
        self._bells = bells
        self._holders = holders

    async def repair(self, number: int, instance: Instance) -> Outcome:
        """Try once to repair a bad instance; return what became of it. Raises StoreFailed."""
        told = Outcome.UNCOMMITTED
        committed = await self._store.read(partial(_committed_at, number=number, instance=instance))
        for destination, name in committed.items():
            outcome = await self._repair_from(destination, number, instance)
            if outcome is Outcome.REPAIRED:
                log.warning("instance number %d is repaired: %s gave it back", number, name)
                self._bells.logged.ring()
            if outcome in _FINAL:
                return outcome
            log.info("instance number %d is not repaired from %s: %s", number, name, outcome)
            told = min(told, outcome, key=_ORDER.index)
        return told

    async def mend(self, number: int, instance: Instance, *, scan: Scan, begun: Upload) -> Outcome:
        """Put the same data set, which was sent again, in the place of bad bytes. Raises StoreFull or StoreFailed."""
        after = structs.replace(instance, **file_fields(scan))
        if not _alike(after, instance):
            return Outcome.DIFFERS
        try:
            outcome = await self._put_in_place(Repair(number, instance, after, await begun.rest()))
        except InstanceGone:
            return Outcome.UNREADABLE
        if outcome is Outcome.REPAIRED:
            log.warning("instance number %d is repaired: it was sent again", number)
            self._bells.logged.ring()
        return outcome

    async def _repair_from(self, destination: int, number: int, instance: Instance) -> Outcome:
        holder = self._holders.get(destination)
        if holder is None:
            return Outcome.LATER
        try:
            async with self._upload(instance) as begun:
                copy = Copy(begun, instance)
                match await holder.retrieve(instance, copy):
                    case Retrieved.GIVEN:
                        repair = Repair(number, instance, copy.scanned(), await begun.rest())
                        return await self._put_in_place(repair)
                    case Retrieved.ABSENT:
                        return Outcome.ABSENT
                    case Retrieved.SILENT:
                        return Outcome.LATER
        except (OtherInstanceError, DicomError):
            return Outcome.DIFFERS
        except InstanceGone:
            return Outcome.UNREADABLE
        except StoreFull:
            return Outcome.LATER

    @asynccontextmanager
    async def _upload(self, instance: Instance) -> AsyncIterator[Upload]:
        reservation = self._store.space.open(instance.size)
        try:
            async with upload(self._store, reservation) as begun:
                yield begun
        finally:
            reservation.close()

    async def _put_in_place(self, repair: Repair) -> Outcome:
        await self._wait_unread()
        wrong: list[int] = []
        for first in range(0, chunk_count(repair.after.size), REPAIR_CHUNKS):
            wrong += await self._store.read(partial(differing, repair=repair, first=first))
        while len(wrong) > REPAIR_CHUNKS:
            indexes, wrong = wrong[:REPAIR_CHUNKS], wrong[REPAIR_CHUNKS:]
            if not await self._store.write(partial(put_chunks, repair=repair, indexes=indexes), STEP_BYTES):
                return Outcome.GONE
        last = partial(finish_repair, repair=repair, indexes=wrong, event=self._event(repair.before))
        return Outcome.REPAIRED if await self._store.write(last, STEP_BYTES) else Outcome.GONE

    async def _wait_unread(self) -> None:
        """Give whoever reads the bad bytes some time to end; they are bad either way."""
        for _ in range(PATIENCE):
            if not self._store.busy():
                return
            await trio.sleep(LOOK_AGAIN_S)

    def _event(self, instance: Instance) -> Event:
        text = f"Repaired in the store: {instance.sop_instance_uid}"
        return Event(kind=EventKind.CONDITION_CLEARED, time=self._clock.wall(), destination=FAILED, text=text)


def _committed_at(txn: Transaction, number: int, instance: Instance) -> dict[int, str]:
    """The destinations that committed to an instance: their ids, and the names for the log."""
    names = destination_names(txn)
    deliveries = read_deliveries(txn, number, instance)
    committed = [each for each, found in deliveries.items() if found.state is DeliveryState.COMMITTED]
    return {each: names.get(each, str(each)) for each in committed}


def _alike(found: Instance, wanted: Instance) -> bool:
    """Whether a file of the same data set is about as long, and leaves in the same transfer syntax."""
    same_syntax = leaving_transfer_syntax(found) == leaving_transfer_syntax(wanted)
    return same_syntax and abs(found.size - wanted.size) <= MARGIN_BYTES
