"""Storage commitment as user agent: requests over what was sent, and checks for their results (PS3.18 13).

The Transaction UID is durable before the POST, so that after a crash or a lost answer the same one is asked about.
What an answer means is decided by `commitment_verdicts.next_step`; this file carries it out. A bounded number of
requests is open at a time; what they did not commit is handed back to the prover.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from uuid import uuid4

import trio

from edged.config.choices import Proof
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.commitment_report import CommitmentResult, Reference, read_commitment_result
from edged.http.retry_after import parse_retry_after
from edged.store.commitments import asks, delete_ask, put_ask
from edged.store.queue import read_instance
from edged.store.records import Ask
from edged.store.transaction import Transaction
from edged.upstream.asking import Asking
from edged.upstream.batch_size import Limit
from edged.upstream.commitment_values import (
    Asked,
    Commitment,
    CommitmentAnswer,
    CommitmentReport,
    CommitmentVerdict,
    Lost,
    Next,
    Step,
    TransactionState,
)
from edged.upstream.commitment_values import Transaction as CommitmentTransaction
from edged.upstream.commitment_verdicts import next_step
from edged.upstream.destination import Destination
from edged.upstream.message import BytesBody, NoAnswer, Request
from edged.upstream.proofs import NO_PROOF, commit
from edged.upstream.reforms import Form, Reforms
from edged.upstream.retry import Backoff, Pace, retry_floor_s
from edged.upstream.service_probe import ServiceProbe
from edged.upstream.verdict_values import ConditionName, Headers

MOST_OPEN = 64
CHECK_PACE = Pace(base_s=1.0, factor=2.0, cap_s=60.0, least=0.5)
NEW_UID_PACE = Pace(base_s=60.0, factor=2.0, cap_s=3600.0)
"""By how often in a row a request had to be made anew."""

TEXT_BYTES = 400

Leftover = tuple[int, CommitmentVerdict]


@dataclass(slots=True)
class Opened:
    """One request of ours; `instances` are by instance number.

    `refused` are the forms in which the step that is next was not understood, `refusals` counts result checks that were
    refused in a row. `taken`: somebody is doing its next step.
    """

    transaction_uid: str
    instances: Mapping[int, Reference]
    next: Asked
    due_s: float
    form: Form
    state: TransactionState = TransactionState.POSTING
    requests: int = 1
    new_uids: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(CHECK_PACE))
    taken: bool = False
    refused: frozenset[Form] = frozenset()
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step led to: `silent` when it was not answered, `leftovers` what a result did not commit."""

    silent: bool
    leftovers: Sequence[Leftover] = ()


class Asker:
    """Our open storage commitment requests to one destination; `service` is what is believed of the service.

    `most` is how many instances one request may name, as the settings say and 413 has taught.
    """

    def __init__(self, destination: Destination, asking: Asking) -> None:
        self._destination = destination
        self._asking = asking
        self.service = ServiceProbe(destination, asking)
        self._open: dict[str, Opened] = {}
        self._raised: set[ConditionName] = set()
        self._reforms = Reforms()
        self._deciding = trio.Lock()
        most = destination.settings.commitment_instances
        self._size = Limit(most, most)

    @property
    def most(self) -> int:
        """How many instances a request may name now."""
        return self._size.value

    @property
    def asked(self) -> set[int]:
        """The numbers that an open request names."""
        return {number for each in self._open.values() for number in each.instances}

    @property
    def full(self) -> bool:
        """Whether as many requests are open as may be, or it was refused just now."""
        return len(self._open) >= MOST_OPEN or self.service.resting()

    async def resume(self) -> None:
        """Take up the requests of an earlier life; their outcome is unknown, so their results are asked for."""
        known = await self._destination.box.store.read(partial(asks, destination=self._destination.number))
        for transaction_uid, ask in known.items():
            instances = await self._destination.box.store.read(partial(_references, numbers=ask.numbers))
            if not instances:  # they were let go, or moved to another destination
                await self._forget(transaction_uid)
                continue
            self._open[transaction_uid] = Opened(
                transaction_uid, instances, Asked.RESULT_CHECK, 0.0, self._reforms.usual_check
            )

    async def ask(self, numbers: Sequence[int]) -> None:
        """Open a request over sent instances; durable before it leaves."""
        await self._begin(numbers, 0)

    def take(self, most: int) -> list[Opened]:
        """Return requests whose next step is due, to be advanced each; nobody else gets them meanwhile."""
        now = self._destination.now()
        due = [each for each in self._open.values() if not each.taken and each.due_s <= now][: max(0, most)]
        for each in due:
            each.taken = True
        return due

    async def advance(self, each: Opened) -> Stepped:
        """Do the next step of a request that was taken."""
        try:
            answer = await self._exchange(each)
            return Stepped(isinstance(answer, Lost), await self._decide(each, answer))
        finally:
            each.taken = False

    def opened(self, transaction_uid: str) -> Opened | None:
        """Return an open request."""
        return self._open.get(transaction_uid)

    async def hear(self, each: Opened, result: CommitmentResult) -> Stepped:
        """Settle a request by a result that came unasked, as an event (PS3.4 J.3.3)."""
        report = _by_instance(result, each.instances.values())
        return Stepped(False, await self._decide(each, CommitmentAnswer(HTTPStatus.OK, report)))

    @property
    def next_due_s(self) -> float | None:
        """When the next step of a request is due that nobody does yet."""
        return min((each.due_s for each in self._open.values() if not each.taken), default=None)

    async def _begin(self, numbers: Sequence[int], new_uids: int) -> None:
        destination = self._destination
        transaction_uid, created = uid_from_uuid(uuid4()), destination.box.clock.wall()

        def put(txn: Transaction) -> dict[int, Reference]:
            if found := _references(txn, numbers):
                put_ask(txn, destination.number, transaction_uid, ask=Ask(numbers=tuple(found), created=created))
            return found

        instances = await destination.box.store.write(put)
        if not instances:
            return
        usual = self._reforms.usual
        self._open[transaction_uid] = Opened(
            transaction_uid, instances, Asked.REQUEST, destination.now(), usual, new_uids=new_uids
        )

    async def _decide(self, each: Opened, answer: CommitmentAnswer | Lost) -> list[Leftover]:
        """Act on an answer, unless another one has settled the request meanwhile: the first one counts."""
        async with self._deciding:
            if self._open.get(each.transaction_uid) is not each:
                return []
            return await self._act(each, answer)

    async def _act(self, each: Opened, answer: CommitmentAnswer | Lost) -> list[Leftover]:
        uids = [reference.sop_instance_uid for reference in each.instances.values()]
        others = self._others(each)
        known = CommitmentTransaction(
            uids, each.state, each.requests, each.new_uids, forms=len(others), refusals=each.refusals
        )
        step = next_step(each.next, answer, known)
        each.refusals = each.refusals + 1 if step.condition is ConditionName.COMMITMENT_REFUSED else 0
        if step.condition is not None:
            self._destination.raise_condition(step.condition.value, step.text, lasting=True)
            self._raised.add(step.condition)
        if step.next is Next.RESULT or (isinstance(answer, CommitmentAnswer) and answer.status == HTTPStatus.ACCEPTED):
            self._served(each)
        match step.next:
            case Next.RESULT:
                return await self._settle(each, step)
            case Next.REQUEST | Next.CHECK:
                if not others:
                    each.refused |= {each.form}
                    each.form = self._usual(each.next)
                self._wait(each, step)
            case Next.NEW_UID:
                await self._replace(each, [list(each.instances)], step)
            case Next.REFORM:
                each.refused |= {each.form}
                each.form = others[0]
                self._wait(each, step)
            case Next.SMALLER:
                self._size = self._size.refused(len(each.instances))
                numbers = list(each.instances)
                middle = len(numbers) // 2
                await self._replace(each, [numbers[:middle], numbers[middle:]], step)
            case Next.NOT_OFFERED:
                self.service.refused()
                await self._close(each)
        return []

    def _served(self, each: Opened) -> None:
        """A request was accepted: so is its form, and a request of its length."""
        self.service.served()
        if each.next is Asked.RESULT_CHECK:
            self._reforms.checked(each.form)
            return
        self._reforms.accepted(each.form)
        self._size = self._size.measured(len(each.instances), 2.0)

    def _others(self, each: Opened) -> list[Form]:
        """The forms in which its next step was not made yet."""
        tried = each.refused | {each.form}
        return self._reforms.others(tried) if each.next is Asked.REQUEST else self._reforms.other_checks(tried)

    def _usual(self, asked: Asked) -> Form:
        return self._reforms.usual if asked is Asked.REQUEST else self._reforms.usual_check

    def _wait(self, each: Opened, step: Step) -> None:
        now = self._destination.now()
        each.state = step.state
        if step.next is not Next.REFORM:
            self._turn_to(each, Asked.REQUEST if step.next is Next.REQUEST else Asked.RESULT_CHECK)
        each.requests += each.next is Asked.REQUEST
        if step.paced:
            each.backoff = each.backoff.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311
        paced = each.backoff.due_s if step.paced else now
        each.due_s = max(paced, now + retry_floor_s(step.after_s))

    def _turn_to(self, each: Opened, asked: Asked) -> None:
        """What is done next; the forms of the one transaction say nothing of the other."""
        if asked is not each.next:
            each.next, each.form, each.refused = asked, self._usual(asked), frozenset()

    async def _replace(self, each: Opened, groups: Sequence[Sequence[int]], step: Step) -> None:
        await self._close(each)
        for numbers in groups:
            await self._begin(numbers, each.new_uids + 1)
        if step.paced:
            for opened in list(self._open.values())[-len(groups) :]:
                opened.due_s = self._destination.now() + NEW_UID_PACE.ceiling_s(opened.new_uids)

    async def _settle(self, each: Opened, step: Step) -> list[Leftover]:
        committed, leftovers = [], []
        for number, reference in each.instances.items():
            verdict = step.instances[reference.sop_instance_uid]
            if verdict.kind is Commitment.COMMITTED:
                committed.append(number)
            else:
                leftovers.append((number, verdict))
        await commit(self._destination, committed, Proof.DICOMWEB, transaction_uid=each.transaction_uid)
        del self._open[each.transaction_uid]
        self._clear()
        return leftovers

    def _clear(self) -> None:
        """A result came: the service works, and what was wrong with it is over."""
        destination = self._destination
        for name in (NO_PROOF, *(each.value for each in self._raised)):
            destination.box.conditions.clear(f"{name}:{destination.name}")
        self._raised.clear()

    async def _close(self, each: Opened) -> None:
        await self._forget(each.transaction_uid)
        del self._open[each.transaction_uid]

    async def _forget(self, transaction_uid: str) -> None:
        destination = self._destination
        await destination.box.store.write(
            partial(delete_ask, destination=destination.number, transaction_uid=transaction_uid)
        )

    async def _exchange(self, each: Opened) -> CommitmentAnswer | Lost:
        try:
            response = await self._asking.request(self._request(each))
        except NoAnswer as error:
            return Lost(error.not_processed, error.text)
        fields = dict(response.headers)
        read = None
        if response.status == HTTPStatus.OK and not response.truncated:
            read = read_commitment_result(response.body, fields.get("content-type"))
        return CommitmentAnswer(
            status=response.status,
            report=_by_instance(read, each.instances.values()) if read else None,
            retry_after_s=parse_retry_after(fields.get("retry-after", ""), self._destination.box.clock.wall()),
            text="" if read else self._asking.redactor.text(response.body[:TEXT_BYTES].decode("utf-8", "replace")),
        )

    def _request(self, each: Opened) -> Request:
        target = self._asking.target(f"/commitment-requests/{each.transaction_uid}")
        headers: Headers = (("accept", each.form.accept),)
        if each.next is Asked.RESULT_CHECK:
            return Request("GET", target, headers)
        written = each.form.write(each.instances.values())
        headers = (("content-type", written.content_type), *headers)
        return Request("POST", target, headers, BytesBody(written.body), once=True)  # the second one would be 409


def _references(txn: Transaction, numbers: Iterable[int]) -> dict[int, Reference]:
    """Return how a request names the instances that are still here, by their numbers."""
    found = {number: read_instance(txn, number) for number in numbers}
    return {
        number: Reference(each.study_instance_uid, each.series_instance_uid, each.sop_class_uid, each.sop_instance_uid)
        for number, each in found.items()
        if each is not None
    }


def _by_instance(result: CommitmentResult, asked: Collection[Reference]) -> CommitmentReport:
    """What a result says of the instances that were asked for, in the SOP Class that they were asked for in.

    An instance that is named in another class is in neither list; a class that is left out says nothing. What is failed
    in any class is not committed.
    """
    classes = {each.sop_instance_uid: each.sop_class_uid for each in asked}

    def meant(pair: tuple[str, str]) -> bool:
        return pair[0] in {"", classes.get(pair[1])}

    doubtful = {uid for _, uid in result.failed}
    failed = {pair[1]: reason for pair, reason in result.failed.items() if meant(pair)}
    return CommitmentReport(frozenset(pair[1] for pair in result.committed if meant(pair)) - doubtful, failed)
