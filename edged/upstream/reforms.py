"""The forms that a storage commitment request may have, for a destination that cannot read the usual one.

A request that is answered 400, 406 or 415 is made again in each other form once (PS3.2 N.7.3.3.6.2): the SOP and the
Study form of Annex J, in JSON, XML and multipart. A result check that is answered 406 is made again accepting each
other media type once. What a destination accepted once is what the next ones begin with; in memory, since finding out
anew costs a few small requests.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edged.dicomweb.commitment_report import CommitmentForm, Reference, commitment_request, commitment_request_by_study
from edged.dicomweb.representation import (
    DICOM_JSON,
    DICOM_XML,
    MULTIPART_JSON,
    MULTIPART_XML,
    Representation,
    write_data_set,
)
from edged.http.media_type import MediaType


@dataclass(frozen=True, slots=True)
class Form:
    """How a request lists its instances, and the media type of the request and of what is accepted."""

    lists: CommitmentForm
    media_type: MediaType

    @property
    def accept(self) -> str:
        """The value of the header field."""
        return str(self.media_type)

    def write(self, references: Iterable[Reference]) -> Representation:
        """Return the request over some instances in this form."""
        if self.lists is CommitmentForm.STUDY:
            return write_data_set(commitment_request_by_study(references), self.media_type)
        pairs = ((each.sop_class_uid, each.sop_instance_uid) for each in references)
        return write_data_set(commitment_request(pairs), self.media_type)


FORMS = (
    Form(CommitmentForm.SOP, DICOM_JSON),
    Form(CommitmentForm.STUDY, DICOM_JSON),
    Form(CommitmentForm.SOP, DICOM_XML),
    Form(CommitmentForm.STUDY, DICOM_XML),
    Form(CommitmentForm.SOP, MULTIPART_JSON),
    Form(CommitmentForm.SOP, MULTIPART_XML),
)
"""In the order in which they are tried."""


class Reforms:
    """What is known of the forms that one destination reads."""

    def __init__(self) -> None:
        self.usual = FORMS[0]
        self._checked: Form | None = None

    def others(self, tried: Iterable[Form]) -> list[Form]:
        """Return the forms that a request was not made in yet."""
        known = set(tried)
        return [form for form in FORMS if form not in known]

    @property
    def usual_check(self) -> Form:
        """The form whose media type a result check accepts first."""
        return self._checked or self.usual

    def other_checks(self, tried: Iterable[Form]) -> list[Form]:
        """Return forms with the media types that a result check did not accept yet."""
        known = {form.accept for form in tried}
        return [form for form in FORMS if form.lists is CommitmentForm.SOP and form.accept not in known]

    def accepted(self, form: Form) -> None:
        """Note that a request in this form was accepted."""
        self.usual = form

    def checked(self, form: Form) -> None:
        """Note that a result came in this form."""
        self._checked = form
