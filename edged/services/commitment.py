"""Storage commitment as origin server: requests are taken, decided as evidence comes in, and their results kept.

What an answer rests on is said by `commitment_judge`. Two tasks decide. One follows the event log and looks up who
waits for the instances that it names. The other walks over all open requests, in slices and slowly, for what no event
tells: the grace that ends, bytes that were mended, destinations that must be asked. Neither waits for the other, and
the walk alone would do, so that an event that was missed costs time and nothing else.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import trio
from msgspec import structs

from edged.config import Commitment
from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.commitment_asking import Inquiry
from edged.services.commitment_judge import Grounds, Undecided, judge
from edged.services.store_instance import Mender
from edged.store.commit_memory import recall
from edged.store.commitments import (
    add_request,
    decide,
    most_references,
    open_requests,
    purge_request,
    purgeable,
    read_request,
    reference_at,
    references,
    undecided,
    waiting_for,
)
from edged.store.events import last_event, read_events
from edged.store.records import CommitmentRequest, Reference
from edged.store.schema import WAITING_FOR
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

LOOK_AGAIN_S = 5.0
SOONEST_S, LATEST_S, SHARE_OF_AGE = 10, 300, 0.05
"""When somebody who waits may ask again: an uplink rarely proves anything faster; the longer it takes the more wait."""

SLICE = 500
"""References that are judged in one transaction."""

REQUEST_COSTS = 50
"""To look at one request at all, beside its references, in these."""

PAUSE_S = 0.05
"""Between two slices of a walk, however many requests are in one, so that any number of them is a small load."""

EVENTS = 1000
_TELLING = frozenset({EventKind.RECEIVED, EventKind.COMMITTED, EventKind.PARKED, EventKind.EVICTED})
"""The events after which there may be an answer about their instance."""


class DuplicateTransactionError(Exception):
    """The Transaction UID is in use."""


class CommitmentService:
    """Takes requests, decides them as proofs come in, keeps the results.

    `mender` knows which instances are damaged; it is set before anything runs.
    """

    def __init__(
        self,
        store: Store,
        settings: Commitment,
        clock: Clock,
        *,
        bells: Bells,
        inquiry: Inquiry | None = None,
    ) -> None:
        """`inquiry` asks the destinations; without it there is nobody to ask."""
        self.mender: Mender | None = None
        self._inquiry = inquiry or Inquiry({}, lambda _: frozenset(), clock, accepted=settings.accept_proof)
        self._store = store
        self._settings = settings
        self._clock = clock
        self._bells = bells
        self._most_references = most_references(store.space.capacity)

    async def request(
        self, transaction_uid: str, wanted: tuple[Reference, ...], *, study_form: bool, digest: bytes
    ) -> CommitmentRequest:
        """Take a request, decided if that can be; durable when this returns.

        Raises DuplicateTransactionError and StoreError.
        """
        now, grounds = self._clock.wall(), self._grounds()

        def add(txn: Transaction) -> CommitmentRequest | None:
            if read_request(txn, transaction_uid) is not None:
                return None
            fresh = CommitmentRequest(number=0, study_form=study_form, received=now, count=0, digest=digest)
            added = add_request(txn, transaction_uid, fresh, references=wanted, most=self._most_references)
            decided, _ = _judged(txn, added, list(enumerate(wanted)), grounds=grounds, now=now)
            return decide(txn, transaction_uid, decided, now=now)

        request = await self._store.write(add, 256 * len(wanted))
        if request is None:
            raise DuplicateTransactionError(transaction_uid)
        self._bells.logged.ring()
        return request

    async def find(self, transaction_uid: str) -> CommitmentRequest | None:
        """Return where a request stands; None when it is unknown."""
        return await self._store.read(partial(read_request, transaction_uid=transaction_uid))

    async def references(self, request: CommitmentRequest) -> list[Reference]:
        """Return the references of a request in its order; none once its result is no longer kept."""
        return await self._store.read(partial(references, number=request.number))

    def look_again_s(self, request: CommitmentRequest) -> int:
        """Return after how many seconds there may be a result of a request that has none."""
        age_s = self._clock.wall() - request.received
        return int(min(max(age_s * SHARE_OF_AGE, SOONEST_S), LATEST_S))

    async def keep_deciding(self) -> None:
        """Decide open requests as evidence comes in, purge old results; runs until cancelled."""
        after = await self._store.read(last_event)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_following, after)
            while True:
                await self.decide_open()
                await self.purge()
                await trio.sleep(LOOK_AGAIN_S)

    async def decide_open(self) -> None:
        """Walk once over all open requests and decide what can be decided. Raises StoreError."""
        looked_at = 0
        for transaction_uid in await self._store.read(open_requests):
            first: int | None = 0
            while first is not None:
                rows = await self._store.read(
                    partial(undecided, transaction_uid=transaction_uid, first=first, limit=SLICE)
                )
                if rows.found:
                    await self._decide(transaction_uid, rows.found)
                first = rows.next
                looked_at += REQUEST_COSTS + len(rows.found)
                if looked_at >= SLICE:
                    looked_at = 0
                    await trio.sleep(PAUSE_S)

    async def follow(self, after: int) -> int:
        """Decide what the events beyond `after` tell of; return the number of the last one. Raises StoreError."""
        while True:
            last, touched = await self._store.read(partial(_touched, after=after))
            for transaction_uid, rows in touched.items():
                await self._decide(transaction_uid, rows)
            if last - after < EVENTS:
                return last
            after = last

    async def purge(self) -> None:
        """Forget results that were kept long enough, never while the clock is not trusted. Raises StoreError."""
        if not self._clock.trusted():
            return
        before = self._clock.wall() - self._settings.keep_results_s
        for transaction_uid in await self._store.read(partial(purgeable, before=before)):
            await self._store.write(partial(purge_request, transaction_uid=transaction_uid))

    async def _keep_following(self, after: int) -> None:
        while True:
            proven = self._bells.proven.next
            after = await self.follow(after)
            with trio.move_on_after(LOOK_AGAIN_S):
                await proven.wait()

    def _grounds(self) -> Grounds:
        suspects = frozenset(self._store.suspects.numbers)
        damaged = suspects if self.mender is None else suspects.union(self.mender.doubted)
        return Grounds(self._settings, damaged, suspects)

    async def _decide(self, transaction_uid: str, rows: "Rows") -> None:
        """Decide some references of a request, asking for what is not known here; judged again where it is written."""
        grounds, now = self._grounds(), self._clock.wall()
        decided, to_ask = await self._store.read(
            partial(_look, transaction_uid=transaction_uid, rows=rows, grounds=grounds, now=now)
        )
        if to_ask:
            grounds = replace(self._grounds(), answers=await self._inquiry.ask(to_ask))
        if not decided and not grounds.answers:
            return

        def write(txn: Transaction) -> None:
            found, _ = _look(txn, transaction_uid, rows, grounds=grounds, now=now)
            decide(txn, transaction_uid, found, now=now)

        await self._store.write(write)
        self._bells.logged.ring()


Rows = Sequence[tuple[int, Reference]]
"""References that were not decided, with their indexes."""


def _look(
    txn: Transaction, transaction_uid: str, rows: Rows, *, grounds: Grounds, now: float
) -> tuple[Rows, Mapping[Reference, frozenset[int]]]:
    request = read_request(txn, transaction_uid)
    if request is None or request.answered:
        return (), {}
    return _judged(txn, request, rows, grounds=grounds, now=now)


def _judged(
    txn: Transaction, request: CommitmentRequest, rows: Rows, *, grounds: Grounds, now: float
) -> tuple[Rows, Mapping[Reference, frozenset[int]]]:
    """Return what can be decided now, with its reasons, and what must be asked for, with who had committed to it."""
    denied = now >= request.received + grounds.settings.grace_s
    decided, to_ask = [], {}
    for index, reference in rows:
        judged = judge(txn, reference, grounds, denied=denied)
        if judged is Undecided.TO_ASK:
            known = recall(txn, reference.sop_instance_uid)
            to_ask[reference] = frozenset(known.proofs if known is not None else ())
        elif judged is not Undecided.WAITING:
            decided.append((index, structs.replace(reference, reason=int(judged))))
    return decided, to_ask


def _touched(txn: Transaction, after: int) -> tuple[int, dict[str, list[tuple[int, Reference]]]]:
    """Return the last event that was looked at, and what open requests wait for of the instances that are told of."""
    if not txn.count(WAITING_FOR):
        return last_event(txn), {}
    events = read_events(txn, after, EVENTS)
    uids = dict.fromkeys(event.sop_instance_uid for _, event in events if event.kind in _TELLING)
    touched: dict[str, list[tuple[int, Reference]]] = defaultdict(list)
    for uid in uids:
        for transaction_uid, index in waiting_for(txn, uid):
            request = read_request(txn, transaction_uid)
            reference = reference_at(txn, request.number, index) if request is not None else None
            if reference is not None:
                touched[transaction_uid].append((index, reference))
    return (events[-1][0] if events else after), touched
