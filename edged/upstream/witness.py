"""What a destination says of an instance that the box no longer has: for its own answers to commitment requests.

Only a commitment of the destination proves anything here, since there is nothing left to compare what it shows with. A
search can merely tell that it has no such instance: that it shows one leaves open whether it is whole. Both are asked
only where the settings list that kind of proof. Nothing is written: an answer that comes later is asked for under the
same Transaction UID, and after a restart everything is asked anew.
"""

from collections import OrderedDict
from http import HTTPStatus
from uuid import uuid4

from edged.config import CredentialError, Proof
from edged.dicom.reasons import FailureReason
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.commitment_report import CommitmentResult, commitment_request, read_commitment_result
from edged.dicomweb.data_set import DataSetError
from edged.dicomweb.representation import read_data_sets, write_data_set
from edged.services.commitment_evidence import Unproven, Witness
from edged.store.records import Reference
from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.message import BytesBody, NoAnswer, Request, Response

MOST_OPEN = 1000
"""Transaction UIDs that are kept; beyond them the oldest question is asked anew."""

_FOR_GOOD = frozenset({FailureReason.CLASS_INSTANCE_CONFLICT, FailureReason.SOP_CLASS_NOT_SUPPORTED})
_JSON = (("accept", "application/dicom+json"),)
_NOT_NOW = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


class Asked:
    """Asks one destination by the kinds of proof that its settings list."""

    def __init__(self, asking: Asking, kinds: tuple[Proof, ...]) -> None:
        self._asking = asking
        self._kinds = kinds
        self._open: OrderedDict[Reference, str] = OrderedDict()

    async def ask(self, reference: Reference) -> Proof | Unproven:
        """As Witness; no answer to the first question ends it."""
        for kind, question in ((Proof.DICOMWEB, self._request), (Proof.SEARCH, self._search)):
            if kind not in self._kinds:
                continue
            answer = await question(reference)
            if answer is not Unproven.UNTOLD:
                return answer
        return Unproven.UNTOLD

    async def _request(self, reference: Reference) -> Proof | Unproven:
        known = self._open.pop(reference, None)
        transaction_uid = known or uid_from_uuid(uuid4())
        target = self._asking.target(f"/commitment-requests/{transaction_uid}")
        if known:
            request = Request("GET", target, _JSON)
        else:
            pair = reference.sop_class_uid, reference.sop_instance_uid
            written = write_data_set(commitment_request([pair]))
            headers = (("content-type", written.content_type), *_JSON)
            request = Request("POST", target, headers, BytesBody(written.body), once=True)
        response = await self._answer(request)
        if response is None:
            return Unproven.UNANSWERED
        if response.status == HTTPStatus.ACCEPTED:
            self._keep(reference, transaction_uid)
            return Unproven.LATER
        if response.status == HTTPStatus.OK and not response.truncated:
            result = read_commitment_result(response.body, dict(response.headers).get("content-type"))
            return _of_result(result, reference) if result is not None else Unproven.UNTOLD
        return Unproven.LATER if known or response.status == HTTPStatus.CONFLICT else Unproven.UNTOLD

    async def _search(self, reference: Reference) -> Proof | Unproven:
        study, series = reference.study_instance_uid, reference.series_instance_uid
        within = f"/studies/{study}/series/{series}" if study and series else ""
        target = f"{within}/instances?SOPInstanceUID={reference.sop_instance_uid}"
        response = await self._answer(Request("GET", self._asking.target(target), _JSON))
        if response is None:
            return Unproven.UNANSWERED
        return Unproven.ABSENT if _finds_nothing(response) else Unproven.UNTOLD

    async def _answer(self, request: Request) -> Response | None:
        """Return an answer that means something; None if there was none, or one that passes."""
        try:
            response = await self._asking.request(request)
        except (NoAnswer, CredentialError):
            return None
        passes = response.status in _NOT_NOW or (
            response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and response.status != HTTPStatus.NOT_IMPLEMENTED
        )
        return None if passes else response

    def _keep(self, reference: Reference, transaction_uid: str) -> None:
        self._open[reference] = transaction_uid
        if len(self._open) > MOST_OPEN:
            self._open.popitem(last=False)


def _of_result(result: CommitmentResult, reference: Reference) -> Proof | Unproven:
    """What a result says of the one instance; in another SOP Class it says nothing of it."""
    pair = reference.sop_class_uid, reference.sop_instance_uid
    failed = [reason for (_, uid), reason in result.failed.items() if uid == reference.sop_instance_uid]
    if not failed:
        return Proof.DICOMWEB if pair in result.committed else Unproven.LATER
    if FailureReason.NO_SUCH_OBJECT_INSTANCE in failed:
        return Unproven.ABSENT
    return Unproven.LATER if _FOR_GOOD.isdisjoint(failed) else Unproven.UNTOLD


def _finds_nothing(response: Response) -> bool:
    if response.status == HTTPStatus.NO_CONTENT:
        return True
    if response.status != HTTPStatus.OK or response.truncated:
        return False
    try:
        return not read_data_sets(response.body, dict(response.headers).get("content-type"))
    except DataSetError:
        return False


def witness_for(destination: Destination, asking: Asking) -> Witness:
    """Return who asks a destination for evidence."""
    return Asked(asking, destination.settings.commitment)
