"""What the box learns of an instance while it streams into the store.

One pass: the four UIDs, the transfer syntax, both digests, the length of the web exit, and the attributes that the
index wants. Refused is what is cut, what cannot be understood, what lacks a UID, and an image without its pixels: a
file cut between two elements looks whole, so what must be there is asked for (PS3.3 C.7.6.3).
A file that is explicit and yet irregular inside is taken when its UIDs are certain: it leaves as it came, so nothing
needs to be understood. It is the same as another only when every stored byte is, so both its digests are one.
Invariants: memory does not depend on the instance; after an error every further call raises the same error.
"""

from typing import Final

from msgspec import Struct

from edged.dicom.attributes import SERIES_INSTANCE_UID, SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from edged.dicom.errors import DicomError
from edged.dicom.irregular import LARGEST_BEGINNING, identify
from edged.dicom.part10 import FileReader
from edged.dicom.reasons import FailureReason
from edged.dicom.twin_digest import TwinDigest
from edged.dicom.uids import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, is_uid, uid_text

_UIDS: Final = (SOP_CLASS_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID)
_OF_AN_IMAGE: Final = ("Rows", "Columns", "BitsAllocated")


class Scan(Struct, frozen=True):
    """One instance, as its bytes tell it.

    `transfer_syntax_uid` is what the data set is in, whatever the file says. `dataset_offset` counts the bytes before
    the data set, `body_offset` those before its first long value, `length` all of them, `exit_length` those of the web
    exit: `length` when `leaves_as_is`. Digests are as `digests.py` takes them. `attributes` holds canonical value bytes
    by keyword, cut to 1 KiB. `irregular` says what could not be read in an instance that was taken all the same.
    """

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int
    body_offset: int
    length: int
    file_digest: bytes
    dataset_digest: bytes
    exit_length: int
    leaves_as_is: bool
    attributes: dict[str, bytes]
    irregular: str | None = None


class InstanceScanner:
    """Takes one PS3.10 file in pieces of any size."""

    def __init__(self) -> None:
        self._reader = FileReader()
        self._digests = TwinDigest(self._reader)
        self._beginning = bytearray()
        self._keeps_beginning = True
        self._irregular: DicomError | None = None
        self._error: DicomError | None = None

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes. Raises DicomError with what is known of the instance."""
        self._raise_again()
        if self._irregular is not None:
            self._digests.skip(data)
        else:
            try:
                self._digests.read(data)
            except DicomError as error:
                self._bear(error)
        if self._keeps_beginning:
            self._keep_beginning(data)

    def finish(self) -> Scan:
        """The file ends here; returns what it is. Raises DicomError with what is known of the instance."""
        self._raise_again()
        try:
            if self._irregular is None:
                self._digests.finish()
            elif self._missing():
                self._attributes().update(identify(bytes(self._beginning), self._irregular))
                if self._missing():
                    raise self._irregular
            return self._scan()
        except DicomError as error:
            raise self._named(error) from error.__cause__

    def _attributes(self) -> dict[str, bytes]:
        return self._reader.data_set.attributes

    def _missing(self) -> bool:
        return not all(name in self._attributes() for name in _UIDS)

    def _keep_beginning(self, data: bytes | memoryview) -> None:
        """Until the UIDs are seen, the beginning is kept for a reader that can do more."""
        self._keeps_beginning = self._missing()
        if self._keeps_beginning:
            self._beginning += data[: LARGEST_BEGINNING - len(self._beginning)]
        else:
            self._beginning.clear()

    def _bear(self, error: DicomError) -> None:
        """Go on after `error` if the instance can be taken without being understood."""
        reader = self._reader
        is_deflated = reader.transfer_syntax_uid == DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
        if error.reason is not FailureReason.CANNOT_UNDERSTAND or is_deflated or not reader.leaves_as_is:
            raise self._named(error) from error.__cause__
        self._irregular = error

    def _named(self, error: DicomError) -> DicomError:
        """Tell with the error which instance it was; it will be raised from now on."""
        found = {name: uid_text(self._attributes().get(name, b"")) for name in _UIDS}
        known = {name: uid for name, uid in found.items() if is_uid(uid)}
        error.sop_class_uid = known.get(SOP_CLASS_UID)
        error.sop_instance_uid = known.get(SOP_INSTANCE_UID)
        error.study_instance_uid = known.get(STUDY_INSTANCE_UID)
        self._error = error
        return error

    def _raise_again(self) -> None:
        if self._error is not None:
            raise self._error

    def _uid(self, name: str) -> str:
        text = uid_text(self._attributes().get(name, b""))
        if not text:
            raise DicomError(FailureReason.REQUIRED_ATTRIBUTE_MISSING, f"{name} is missing.")
        if not is_uid(text):
            raise DicomError(FailureReason.INVALID_UID, f"{name} is not a UID.")
        return text

    def _scan(self) -> Scan:
        uids = [self._uid(name) for name in _UIDS]
        reader = self._reader
        head, found = reader.described()
        self._require_pixels()
        as_is = reader.leaves_as_is
        digests = self._digests
        exit_length = digests.length
        if not as_is:
            exit_head = reader.exit_head(sop_class_uid=uids[0], sop_instance_uid=uids[1])
            exit_length = len(exit_head) + digests.canonical_length
        file_digest = digests.file_digest()
        return Scan(
            sop_class_uid=uids[0],
            sop_instance_uid=uids[1],
            study_instance_uid=uids[2],
            series_instance_uid=uids[3],
            transfer_syntax_uid=found,
            dataset_offset=head.size,
            body_offset=digests.body_offset,
            length=digests.length,
            file_digest=file_digest,
            dataset_digest=file_digest if self._irregular else digests.data_set_digest(),
            exit_length=exit_length,
            leaves_as_is=as_is,
            attributes=self._attributes(),
            irregular=str(self._irregular) if self._irregular else None,
        )

    def _require_pixels(self) -> None:
        has_image = all(name in self._attributes() for name in _OF_AN_IMAGE)
        if has_image and not self._reader.data_set.has_pixel_data and self._irregular is None:
            raise DicomError(FailureReason.PIXEL_DATA_MISSING, "An image without its pixel data.")
