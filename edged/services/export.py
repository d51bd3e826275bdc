"""Stored instances as PS3.10 files, exactly as they came in (DICOM.md §1); for a store at rest.

`export` trusts the index and holds each file against its digest. `salvage` trusts nothing but the bytes, and takes what
scans as a whole instance; the first that came has the UID's name, another data set stands beside it as a conflict
does. Memory does not depend on what is exported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from edged.dicom.digests import FileDigest
from edged.dicom.errors import DicomError
from edged.dicom.scanner import InstanceScanner, Scan
from edged.services.export_tree import FileTree, Found, Part, Place
from edged.store.chunks import chunk_count, view_chunks
from edged.store.environment import Environment
from edged.store.errors import InstanceGone
from edged.store.instances import all_instances
from edged.store.records import Instance, Standing
from edged.store.salvage import leading_chunks, numbers_with_chunks
from edged.store.standings import read_deliveries, standing_of
from edged.store.transaction import Transaction

_UNSAFE = "its UIDs cannot be the names of files"


class Result(StrEnum):
    """What became of one instance; `present`: the same file was there already."""

    WRITTEN = "written"
    PRESENT = "present"
    FAILED = "failed"
    NOT_SELECTED = "not-selected"


@dataclass(frozen=True, slots=True)
class Exported:
    """One instance by its number, and its UID if that is known; `text` says why it failed."""

    result: Result
    number: int
    size: int
    sop_instance_uid: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which instances are meant: those of one study, those that are not committed, or all."""

    study_instance_uid: str | None = None
    uncommitted: bool = False

    def of(self, txn: Transaction) -> Iterator[tuple[int, Instance]]:
        """Yield what is meant in the order in which it came."""
        return (each for each in all_instances(txn) if self._takes(txn, *each))

    def _takes(self, txn: Transaction, number: int, instance: Instance) -> bool:
        if self.study_instance_uid not in {None, instance.study_instance_uid}:
            return False
        if not self.uncommitted:
            return True
        return standing_of(instance, read_deliveries(txn, number, instance)) is not Standing.COMMITTED


def export(txn: Transaction, tree: FileTree, selection: Selection) -> Iterator[Exported]:
    """Write what is selected; yield what became of each. Raises OSError when the tree cannot be written."""
    for number, instance in selection.of(txn):
        result, text = _export(txn, tree, number=number, instance=instance)
        yield Exported(result, number, instance.size, instance.sop_instance_uid, text)


def _export(txn: Transaction, tree: FileTree, *, number: int, instance: Instance) -> tuple[Result, str]:
    uids = instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid
    place = Place(*uids, aside=number if instance.conflict else None)
    if not place.safe:
        return Result.FAILED, _UNSAFE
    match tree.look(place, instance.file_digest, body_offset=instance.body_offset):
        case Found.SAME:
            return Result.PRESENT, ""
        case Found.OTHER:
            return Result.FAILED, f"another file stands at {tree.path(place)}"
    try:
        with tree.writing() as part:
            if _copied(txn, number, instance, part=part) != instance.file_digest:
                return Result.FAILED, "it holds other bytes than were stored; --salvage takes it if it is whole"
            part.keep(place)
    except InstanceGone as error:
        return Result.FAILED, str(error)
    return Result.WRITTEN, ""


def _copied(txn: Transaction, number: int, instance: Instance, *, part: Part) -> bytes:
    """Write an instance's bytes; return their digest."""
    digest = FileDigest(instance.body_offset)
    for chunk in view_chunks(txn, number, first=0, count=chunk_count(instance.size)):
        digest.update(chunk)
        part.write(chunk)
    return digest.digest()


def salvage(environment: Environment, tree: FileTree, study_instance_uid: str | None) -> Iterator[Exported]:
    """Write every instance, or those of a study, that the chunks alone give; yield what became of each number.

    Raises OSError when the tree cannot be written.
    """
    for number in numbers_with_chunks(environment):
        yield _salvage(environment, tree, number=number, study=study_instance_uid)


def _salvage(environment: Environment, tree: FileTree, *, number: int, study: str | None) -> Exported:
    scanner, size = InstanceScanner(), 0
    with tree.writing() as part:
        try:
            for chunk in leading_chunks(environment, number):
                size += len(chunk)
                scanner.feed(chunk)
                part.write(chunk)
            scan = scanner.finish()
        except (DicomError, InstanceGone) as error:
            return Exported(Result.FAILED, number, size, text=f"no whole instance: {error}")
        if study not in {None, scan.study_instance_uid}:
            return Exported(Result.NOT_SELECTED, number, size, scan.sop_instance_uid)
        result, text = _kept(tree, part, scan=scan, number=number)
    return Exported(result, number, size, scan.sop_instance_uid, text)


def _kept(tree: FileTree, part: Part, *, scan: Scan, number: int) -> tuple[Result, str]:
    """Give a salvaged file its place, or one beside the other file that has it."""
    for aside in (None, number):
        place = Place(scan.study_instance_uid, scan.series_instance_uid, scan.sop_instance_uid, aside=aside)
        if not place.safe:
            return Result.FAILED, _UNSAFE
        match tree.look(place, scan.file_digest, body_offset=scan.body_offset):
            case Found.NOTHING:
                part.keep(place)
                return Result.WRITTEN, ""
            case Found.SAME:
                return Result.PRESENT, ""
    return Result.FAILED, f"other files stand at {tree.path(place)} and beside it"
