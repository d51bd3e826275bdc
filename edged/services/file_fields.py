"""What the record of an instance tells of its stored file, as against its data set: for an admission and for a repair.

One place, so that a repaired record can never tell of a file that is no longer there.
"""

from typing import TypedDict

from edged.dicom.scanner import Scan


class FileFields(TypedDict):
    """The fields of `store.records.Instance` that belong to the file."""

    transfer_syntax_uid: str
    size: int
    dataset_offset: int
    body_offset: int
    exit_length: int
    file_digest: bytes
    leaves_as_is: bool


def file_fields(scan: Scan) -> FileFields:
    """Return what a scan tells of the file."""
    return FileFields(
        transfer_syntax_uid=scan.transfer_syntax_uid,
        size=scan.length,
        dataset_offset=scan.dataset_offset,
        body_offset=scan.body_offset,
        exit_length=scan.exit_length,
        file_digest=scan.file_digest,
        leaves_as_is=scan.leaves_as_is,
    )
