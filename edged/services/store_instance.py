"""The front door of every intake: bytes of one PS3.10 file in, a durable instance or a reason out.

Each piece is scanned and gathered as it comes; nothing of an instance is believed that the scan has not seen. A yes is
given only after the admission has committed (DESIGN §1.1). What is wrong with one instance is its answer, never an
exception: the next one is received as if nothing had been.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

import outcome
from msgspec import Struct

from edged.config.choices import Duplicate
from edged.dicom.errors import DicomError
from edged.dicom.reasons import FailureReason
from edged.dicom.scanner import InstanceScanner, Scan
from edged.services.bell import Bells
from edged.services.conflicts import tell_conflicts
from edged.services.file_fields import file_fields
from edged.services.routing import Arrived, Routed, Routing, Source
from edged.store.admission import Admitted, Outcome
from edged.store.errors import StoreError, StoreFull
from edged.store.instances import instances_under
from edged.store.queue import Start
from edged.store.records import Instance
from edged.store.space import Reservation
from edged.store.store import Store
from edged.store.upload import Upload
from edged.store.writer import Answer
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity

_NEW = frozenset({Outcome.STORED, Outcome.REPLACED, Outcome.CONFLICT})


class Accepted(Struct, frozen=True):
    """The instance is durable here; `again` says that it was before, `addressed` that its UID leads to it.

    `patient_id` is the value as it is encoded, by `character_set`.
    """

    number: int
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    again: bool
    addressed: bool = True
    patient_id: bytes = b""
    character_set: bytes = b""


@dataclass(frozen=True, slots=True)
class Refused:
    """The instance was not stored; UIDs as far as they were seen. `passing` says that later it may be."""

    reason: FailureReason
    text: str
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    passing: bool = False


Done = Callable[[outcome.Outcome[Accepted | Refused]], None]


class Mender(Protocol):
    """Knows which stored instances are damaged or may be, and puts right what is sent again."""

    @property
    def doubted(self) -> Collection[int]:
        """The numbers of these instances."""

    async def mend(self, number: int, instance: Instance, *, scan: Scan, begun: Upload) -> bool:
        """Put the same data set in the place of a damaged one; return whether it is good then. Raises StoreError."""


class FrontDoor:
    """Receives instances; one a box. What is or may be damaged is not taken for stored when it is sent again."""

    def __init__(self, store: Store, routing: Routing, clock: Clock, *, conditions: Conditions, bells: Bells) -> None:
        self.store = store
        self._routing = routing
        self._clock = clock
        self._conditions = conditions
        self._bells = bells
        self.max_instance_bytes: int | None = None
        self.duplicate = Duplicate.REFUSE
        self.mender: Mender | None = None

    def receive(self, source: Source, reservation: Reservation) -> "Receiving":
        """Begin an instance; `close` must follow."""
        return Receiving(self, source, Upload(self.store, reservation))

    def admit_soon(self, scan: Scan, source: Source, upload: Upload, *, done: Done) -> None:
        """Make a scanned instance durable: `done` gets what became of it, in the event loop."""

        def admitted(result: outcome.Outcome[Admitted]) -> None:
            done(outcome.capture(self._outcome, scan, result))

        routed = self._routing.route(Arrived(scan.sop_class_uid, scan.attributes, source))
        start = Start(urgency=0 if routed.urgent else 1, on_hold=routed.hold)
        upload.admit_soon(self._record(scan, source, routed), admitted, start=start, duplicate=self.duplicate)

    def doubtful(self, scan: Scan) -> tuple[int, Instance] | None:
        """Return what is stored of the same data set if it is damaged or may be."""
        doubted = self._doubted
        if not doubted:
            return None
        under = self.store.read_now(lambda txn: list(instances_under(txn, scan.sop_instance_uid)))
        same = (each for each in under if each[1].dataset_digest == scan.dataset_digest)
        return next((each for each in same if each[0] in doubted), None)

    async def mend(self, doubtful: tuple[int, Instance], scan: Scan, upload: Upload) -> Accepted | Refused:
        """Put a scanned instance in the place of a damaged one, or say why not; `upload` is closed."""
        assert self.mender is not None
        number, instance = doubtful
        try:
            mended = await self.mender.mend(number, instance, scan=scan, begun=upload)
        except StoreError as error:
            return _no_room(error, scan)
        finally:
            await upload.close()
        if not mended:
            return _damaged(scan)
        return _answer(scan, Admitted(Outcome.SAME, number, addressed=not instance.conflict))

    @property
    def _doubted(self) -> Collection[int]:
        return self.mender.doubted if self.mender is not None else ()

    def _outcome(self, scan: Scan, result: outcome.Outcome[Admitted]) -> Accepted | Refused:
        try:
            admitted = result.unwrap()
        except StoreError as error:
            return _no_room(error, scan)
        if admitted.outcome is Outcome.SAME and admitted.number in self._doubted:
            return _damaged(scan)  # it became so since it was asked about
        if admitted.outcome in _NEW:
            self._bells.arrived.ring()
            self._bells.logged.ring()
            self._tell_inconsistent(scan, admitted)
        if admitted.outcome is Outcome.CONFLICT:
            tell_conflicts(self.store, self._conditions)
        return _answer(scan, admitted)

    def _record(self, scan: Scan, source: Source, routed: Routed) -> Instance:
        return Instance(
            **file_fields(scan),
            sop_instance_uid=scan.sop_instance_uid,
            sop_class_uid=scan.sop_class_uid,
            study_instance_uid=scan.study_instance_uid,
            series_instance_uid=scan.series_instance_uid,
            dataset_digest=scan.dataset_digest,
            received=self._clock.wall(),
            intake=source.intake,
            destinations=routed.destinations,
            required=routed.required,
            attributes=dict(scan.attributes),
            rule=routed.rule,
            sender=source.sender,
            address=source.address,
        )

    def _tell_inconsistent(self, scan: Scan, admitted: Admitted) -> None:
        if admitted.inconsistent:
            self._conditions.raise_(
                "study-inconsistent",
                Severity.WARNING,
                f"Study {scan.study_instance_uid} holds instances of more than one patient, or a series of another "
                "study. Nothing was refused; check the worklist entry at the modality.",
            )


class Receiving:
    """One instance while it arrives: `feed` its bytes, then `admit` it; `close` in any case."""

    def __init__(self, door: FrontDoor, source: Source, upload: Upload) -> None:
        self.refused: Refused | None = None
        self._door = door
        self._source = source
        self._upload = upload
        self._scanner: InstanceScanner | None = InstanceScanner()
        self._full: StoreError | None = None
        self._length = 0

    async def feed(self, data: bytes | memoryview) -> None:
        """Take some bytes; after a refusal they are dropped."""
        if self._scanner is None:
            return
        self._length += len(data)
        limit = self._door.max_instance_bytes
        if limit is not None and self._length > limit:
            text = f"larger than max_instance ({limit} bytes)"
            self.refuse(_of_what_came(self._scanner, FailureReason.PROCESSING_FAILURE, text))
            return
        try:
            self._scanner.feed(data)
        except DicomError as error:
            self.refuse(_unreadable(error))
            return
        if self._full is None:
            await self._gather(data)

    async def admit(self) -> Accepted | Refused:
        """Say that the instance is complete; return what became of it, durable when it is accepted."""
        answer = Answer[Accepted | Refused]()
        await self.hand_over(answer.done)
        return await answer.wait()

    async def hand_over(self, done: Done) -> None:
        """As admit, without waiting for the commit: `done` gets what became of it, when nothing of it is held here."""
        found = self._complete()
        doubtful = self._door.doubtful(found) if isinstance(found, Scan) else None
        if isinstance(found, Scan) and doubtful is not None:
            done(outcome.Value(await self._door.mend(doubtful, found, self._upload)))
        elif isinstance(found, Scan):
            self._door.admit_soon(found, self._source, self._upload, done=done)
        else:
            await self.close()
            done(outcome.Value(found))

    def _complete(self) -> Scan | Refused:
        if self._scanner is None:
            assert self.refused is not None
            return self.refused
        try:
            scan = self._scanner.finish()
        except DicomError as error:
            return _unreadable(error)
        wanted = self._source.study_instance_uid
        if wanted is not None and wanted != scan.study_instance_uid:
            text = f"its Study Instance UID is {scan.study_instance_uid}, the request names {wanted}"
            return _refused(scan, FailureReason.STUDY_INSTANCE_UID_MISMATCH, text)
        if self._full is not None:
            return _no_room(self._full, scan)
        return scan

    def cut(self) -> Refused:
        """Say that the instance broke off before its end; return the refusal."""
        if self._scanner is None:
            assert self.refused is not None
            return self.refused
        return _of_what_came(self._scanner, FailureReason.TRUNCATED, "the instance broke off before its end")

    async def close(self) -> None:
        """Let go of everything that the instance holds in memory."""
        await self._upload.close()

    async def _gather(self, data: bytes | memoryview) -> None:
        try:
            await self._upload.add(data)
        except StoreError as error:
            self._full = error

    def refuse(self, refused: Refused) -> None:
        """Drop the instance and what is still to come of it."""
        self.refused = refused
        self._scanner = None


def _answer(scan: Scan, admitted: Admitted) -> Accepted | Refused:
    if admitted.outcome is Outcome.DIFFERENT:
        text = "another data set is stored under this SOP Instance UID"
        return _refused(scan, FailureReason.DUPLICATE_SOP_INSTANCE, text)
    return Accepted(
        number=admitted.number,
        sop_class_uid=scan.sop_class_uid,
        sop_instance_uid=scan.sop_instance_uid,
        study_instance_uid=scan.study_instance_uid,
        series_instance_uid=scan.series_instance_uid,
        again=admitted.outcome is Outcome.SAME,
        addressed=admitted.addressed,
        patient_id=scan.attributes.get("PatientID", b""),
        character_set=scan.attributes.get("SpecificCharacterSet", b""),
    )


def _of_what_came(scanner: InstanceScanner, reason: FailureReason, text: str) -> Refused:
    """Refuse an instance that is not all here, with the UIDs that were seen."""
    try:
        return _refused(scanner.finish(), reason, text)
    except DicomError as error:
        return replace(_unreadable(error), reason=reason, text=text)


def _refused(scan: Scan, reason: FailureReason, text: str, *, passing: bool = False) -> Refused:
    return Refused(reason, text, scan.sop_class_uid, scan.sop_instance_uid, passing)


def _damaged(scan: Scan) -> Refused:
    text = "what is stored of it is damaged and cannot be put right now"
    return _refused(scan, FailureReason.OUT_OF_RESOURCES, text, passing=True)


def _no_room(error: StoreError, scan: Scan) -> Refused:
    text = "there is no room for it now" if isinstance(error, StoreFull) else "the store cannot write now"
    return _refused(scan, FailureReason.OUT_OF_RESOURCES, text, passing=True)


def _unreadable(error: DicomError) -> Refused:
    return Refused(error.reason, str(error), error.sop_class_uid, error.sop_instance_uid)
