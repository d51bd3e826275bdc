"""Storage commitment as user agent: requests over what was sent, and checks for their results (PS3.18 13).

The Transaction UID is durable before the POST, so that after a crash or a lost answer the same one is asked about.
What an answer means is decided by `commitment_verdicts.next_step`; this file carries it out. A bounded number of
requests is open at a time; what they did not commit is handed back to the prover.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from uuid import uuid4

from edged.config.choices import Proof
from edged.dicom.uids import uid_from_uuid
from edged.dicomweb.commitment_report import CommitmentResult, commitment_request, read_commitment_result
from edged.dicomweb.representation import write_data_set
from edged.http.retry_after import parse_retry_after
from edged.store.commitments import asks, delete_ask, put_ask
from edged.store.queue import read_instance
from edged.store.records import Ask
from edged.store.transaction import Transaction
from edged.upstream.asking import Asking
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
from edged.upstream.retry import Backoff, Pace, retry_floor_s
from edged.upstream.service_probe import ServiceProbe
from edged.upstream.verdict_values import ConditionName, Headers

MOST_OPEN = 64
CHECK_PACE = Pace(base_s=1.0, factor=2.0, cap_s=60.0, least=0.5)
TEXT_BYTES = 400

Leftover = tuple[int, CommitmentVerdict]


@dataclass(slots=True)
class Opened:
    """One request of ours; `instances` are pairs of SOP Class and SOP Instance UID by instance number.

    `taken`: somebody is doing its next step.
    """

    transaction_uid: str
    instances: Mapping[int, tuple[str, str]]
    next: Asked
    due_s: float
    state: TransactionState = TransactionState.POSTING
    requests: int = 1
    new_uids: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(CHECK_PACE))
    taken: bool = False


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step led to: `silent` when it was not answered, `leftovers` what a result did not commit."""

    silent: bool
    leftovers: Sequence[Leftover] = ()


class Asker:
    """Our open storage commitment requests to one destination; `service` is what is believed of the service."""

    def __init__(self, destination: Destination, asking: Asking) -> None:
        self._destination = destination
        self._asking = asking
        self.service = ServiceProbe(destination, asking)
        self._open: dict[str, Opened] = {}
        self._raised: set[ConditionName] = set()

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
            instances = await self._instances(ask.numbers)
            if not instances:  # they were let go, or moved to another destination
                await self._forget(transaction_uid)
                continue
            self._open[transaction_uid] = Opened(transaction_uid, instances, Asked.RESULT_CHECK, 0.0)

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
            return Stepped(isinstance(answer, Lost), await self._act(each, answer))
        finally:
            each.taken = False

    @property
    def next_due_s(self) -> float | None:
        """When the next step of a request is due that nobody does yet."""
        return min((each.due_s for each in self._open.values() if not each.taken), default=None)

    async def _begin(self, numbers: Sequence[int], new_uids: int) -> None:
        instances = await self._instances(numbers)
        if not instances:
            return
        destination = self._destination
        transaction_uid = uid_from_uuid(uuid4())
        ask = Ask(numbers=tuple(instances), created=destination.box.clock.wall())
        await destination.box.store.write(
            partial(put_ask, destination=destination.number, transaction_uid=transaction_uid, ask=ask)
        )
        opened = Opened(transaction_uid, instances, Asked.REQUEST, destination.now(), new_uids=new_uids)
        self._open[transaction_uid] = opened

    async def _instances(self, numbers: Sequence[int]) -> dict[int, tuple[str, str]]:
        def read(txn: Transaction) -> dict[int, tuple[str, str]]:
            found = {number: read_instance(txn, number) for number in numbers}
            return {
                number: (each.sop_class_uid, each.sop_instance_uid)
                for number, each in found.items()
                if each is not None
            }

        return await self._destination.box.store.read(read)

    async def _act(self, each: Opened, answer: CommitmentAnswer | Lost) -> list[Leftover]:
        uids = [uid for _, uid in each.instances.values()]
        known = CommitmentTransaction(uids, each.state, each.requests, each.new_uids)
        step = next_step(each.next, answer, known)
        if step.condition is not None:
            self._destination.raise_condition(step.condition.value, step.text, lasting=True)
            self._raised.add(step.condition)
        if step.next is Next.RESULT or (isinstance(answer, CommitmentAnswer) and answer.status == HTTPStatus.ACCEPTED):
            self.service.served()
        match step.next:
            case Next.RESULT:
                return await self._settle(each, step)
            case Next.REQUEST | Next.CHECK:
                self._wait(each, step)
            case Next.NEW_UID:
                await self._replace(each, [list(each.instances)], step)
            case Next.SMALLER:
                numbers = list(each.instances)
                middle = len(numbers) // 2
                await self._replace(each, [numbers[:middle], numbers[middle:]], step)
            case Next.NOT_OFFERED:
                self.service.refused()
                await self._close(each)
        return []

    def _wait(self, each: Opened, step: Step) -> None:
        now = self._destination.now()
        each.state = step.state
        each.next = Asked.REQUEST if step.next is Next.REQUEST else Asked.RESULT_CHECK
        each.requests += step.next is Next.REQUEST
        if step.paced:
            each.backoff = each.backoff.failed(now, retry_after_s=None, random01=random.random())  # noqa: S311
        paced = each.backoff.due_s if step.paced else now
        each.due_s = max(paced, now + retry_floor_s(step.after_s))

    async def _replace(self, each: Opened, groups: Sequence[Sequence[int]], step: Step) -> None:
        await self._close(each)
        for numbers in groups:
            await self._begin(numbers, each.new_uids + 1)
        if step.paced:
            for opened in list(self._open.values())[-len(groups) :]:
                opened.due_s = self._destination.now() + CHECK_PACE.cap_s

    async def _settle(self, each: Opened, step: Step) -> list[Leftover]:
        committed, leftovers = [], []
        for number, (_, uid) in each.instances.items():
            verdict = step.instances[uid]
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
        headers: Headers = (("accept", "application/dicom+json"),)
        if each.next is Asked.RESULT_CHECK:
            return Request("GET", target, headers)
        written = write_data_set(commitment_request(each.instances.values()))
        headers = (("content-type", written.content_type), *headers)
        return Request("POST", target, headers, BytesBody(written.body), once=True)  # the second one would be 409


def _by_instance(result: CommitmentResult, asked: Collection[tuple[str, str]]) -> CommitmentReport:
    """What a result says of the instances that were asked for, in the SOP Class that they were asked for in.

    An instance that is named in another class is in neither list; a class that is left out says nothing. What is failed
    in any class is not committed.
    """
    classes = {uid: sop_class for sop_class, uid in asked}

    def meant(pair: tuple[str, str]) -> bool:
        return pair[0] in {"", classes.get(pair[1])}

    doubtful = {uid for _, uid in result.failed}
    failed = {pair[1]: reason for pair, reason in result.failed.items() if meant(pair)}
    return CommitmentReport(frozenset(pair[1] for pair in result.committed if meant(pair)) - doubtful, failed)
