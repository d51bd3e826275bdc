"""What a destination says of an instance that the box no longer has: for its own answers to commitment requests.

Only a commitment of the destination proves anything here, since there is nothing left to compare what it shows with. A
search can merely tell that it has no such instance: that it shows one leaves open whether it is whole. Both are asked
only where the settings list that kind of proof. Many instances are asked for in one commitment request; what is refused
as a whole is asked for one by one. Nothing is written: an answer that comes later is asked for under the same
Transaction UID, and after a restart everything is asked anew. A destination that does not answer is not asked on.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from uuid import uuid4

import trio

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

MOST_OPEN = 20_000
"""Instances of which the Transaction UID is kept; beyond them the oldest is asked for anew."""
MOST_AT_ONCE = 500
"""Instances in one commitment request, if the settings do not say fewer."""
SEARCHES = 4
"""Out at a time."""

Answers = dict[Reference, Proof | Unproven]

_FOR_GOOD = frozenset({FailureReason.CLASS_INSTANCE_CONFLICT, FailureReason.SOP_CLASS_NOT_SUPPORTED})
_OF_ONE = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
"""What one instance, or the number of them, may be to blame for."""
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
    """Asks one destination by the kinds of proof that its settings list, for `most` instances at once."""

    def __init__(self, asking: Asking, kinds: tuple[Proof, ...], most: int = MOST_AT_ONCE) -> None:
        self._asking = asking
        self._kinds = kinds
        self._most = min(most, MOST_AT_ONCE)
        self._open: OrderedDict[Reference, str] = OrderedDict()

    async def ask(self, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
        """As Witness; what the first question does not tell is asked for by the next."""
        said: Answers = dict.fromkeys(references, Unproven.UNTOLD)
        for kind, question in ((Proof.DICOMWEB, self._request), (Proof.SEARCH, self._search)):
            left = [reference for reference, answer in said.items() if answer is Unproven.UNTOLD]
            if kind in self._kinds and left:
                said |= await question(left)
        return said

    async def _request(self, references: Sequence[Reference]) -> Answers:
        said: Answers = dict.fromkeys(references, Unproven.UNANSWERED)
        for transaction_uid, some in self._transactions(references):
            if transaction_uid is not None:
                told = await self._check(transaction_uid, some)
            else:
                told = await self._begin(some)
            said |= told
            if Unproven.UNANSWERED in told.values():
                break
        return said

    def _transactions(self, references: Sequence[Reference]) -> Iterator[tuple[str | None, list[Reference]]]:
        """Yield what is asked for under one Transaction UID, those known first, and none with a UID twice."""
        known: dict[str, list[Reference]] = {}
        new: list[dict[str, Reference]] = []
        for reference in references:
            if (transaction_uid := self._open.get(reference)) is not None:
                known.setdefault(transaction_uid, []).append(reference)
                continue
            uid = reference.sop_instance_uid
            room = next((each for each in new if uid not in each and len(each) < self._most), None)
            if room is None:
                new.append({uid: reference})
            else:
                room[uid] = reference
        yield from known.items()
        yield from ((None, list(each.values())) for each in new)

    async def _begin(self, references: list[Reference]) -> Answers:
        transaction_uid = uid_from_uuid(uuid4())
        pairs = [(each.sop_class_uid, each.sop_instance_uid) for each in references]
        written = write_data_set(commitment_request(pairs))
        headers = (("content-type", written.content_type), *_JSON)
        body = BytesBody(written.body)
        response = await self._answer(Request("POST", self._target(transaction_uid), headers, body, once=True))
        if response is not None and response.status in _OF_ONE and len(references) > 1:
            said: Answers = dict.fromkeys(references, Unproven.UNANSWERED)
            for each in references:
                said |= (told := await self._begin([each]))
                if told[each] is Unproven.UNANSWERED:
                    break
            return said
        otherwise = (
            Unproven.LATER if response is not None and response.status == HTTPStatus.CONFLICT else Unproven.UNTOLD
        )
        return self._told(response, transaction_uid, references, otherwise=otherwise)

    async def _check(self, transaction_uid: str, references: list[Reference]) -> Answers:
        response = await self._answer(Request("GET", self._target(transaction_uid), _JSON))
        if response is not None:
            for each in references:
                self._open.pop(each, None)
        return self._told(response, transaction_uid, references, otherwise=Unproven.LATER)

    def _told(
        self, response: Response | None, transaction_uid: str, references: list[Reference], *, otherwise: Unproven
    ) -> Answers:
        if response is None:
            return dict.fromkeys(references, Unproven.UNANSWERED)
        if response.status == HTTPStatus.ACCEPTED:
            self._keep(references, transaction_uid)
            return dict.fromkeys(references, Unproven.LATER)
        if response.status == HTTPStatus.OK and not response.truncated:
            result = read_commitment_result(response.body, dict(response.headers).get("content-type"))
            if result is not None:
                return {each: _of_result(result, each) for each in references}
            return dict.fromkeys(references, Unproven.UNTOLD)
        return dict.fromkeys(references, otherwise)

    def _target(self, transaction_uid: str) -> str:
        return self._asking.target(f"/commitment-requests/{transaction_uid}")

    async def _search(self, references: Sequence[Reference]) -> Answers:
        said: Answers = dict.fromkeys(references, Unproven.UNANSWERED)
        limiter = trio.CapacityLimiter(SEARCHES)

        async def one(reference: Reference) -> None:
            async with limiter:
                said[reference] = await self._find(reference)
            if said[reference] is Unproven.UNANSWERED:
                nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            for each in references:
                nursery.start_soon(one, each)
        return said

    async def _find(self, reference: Reference) -> Unproven:
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

    def _keep(self, references: Iterable[Reference], transaction_uid: str) -> None:
        self._open.update(dict.fromkeys(references, transaction_uid))
        while len(self._open) > MOST_OPEN:
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
    return Asked(asking, destination.settings.commitment, destination.settings.commitment_instances)
