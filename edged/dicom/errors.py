"""The one error that leaves the parsers of this folder.

It says why in the terms of the Store response, and which instance it was as far as the bytes told, because the
answer to a sender names the instance that failed (PS3.18 I.2.2).
"""

from edged.dicom.reasons import FailureReason


class DicomError(ValueError):
    """These bytes are not an instance that edged can take; `reason` is the Failure Reason for the sender."""

    def __init__(self, reason: FailureReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason
        self.sop_class_uid: str | None = None
        self.sop_instance_uid: str | None = None
        self.study_instance_uid: str | None = None
