"""Storage commitment as origin server: what the box answers, and what the answer rests on (PS3.18 13, DICOM.md §6).

Evidence `local`: the box is the archive, what it holds is committed. Evidence `upstream`: committed is what every
required destination has proven, by a kind of proof that the settings accept. What is not known here is not denied
before the grace is over: another intake may still be receiving it.
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import trio
from msgspec import structs

from edged.config import Commitment, Evidence
from edged.dicom.reasons import FailureReason, is_lack_of_room
from edged.services.bell import Bells
from edged.services.commitment_evidence import Witness
from edged.store.commitments import (
    COMMITTED,
    add_request,
    decide,
    open_requests,
    purge_request,
    purgeable,
    read_request,
    references,
)
from edged.store.instances import find_instance
from edged.store.queue import read_delivery
from edged.store.records import CommitmentRequest, Delivery, DeliveryState, Instance, Reference
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

LOOK_AGAIN_S = 5.0
UPSTREAM_REASONS = frozenset(
    {
        FailureReason.SOP_CLASS_NOT_SUPPORTED,
        FailureReason.CLASS_INSTANCE_CONFLICT,
    }
)


class DuplicateTransactionError(Exception):
    """The Transaction UID is in use."""


class CommitmentService:
    """Takes requests, decides them as proofs come in, keeps the results."""

    def __init__(
        self,
        store: Store,
        settings: Commitment,
        clock: Clock,
        *,
        bells: Bells,
        witnesses: Mapping[int, Witness] = MappingProxyType({}),
    ) -> None:
        """`witnesses` are the destinations that can be asked now, by their ids."""
        self._witnesses = witnesses
        self._store = store
        self._settings = settings
        self._clock = clock
        self._bells = bells

    async def request(
        self, transaction_uid: str, wanted: tuple[Reference, ...], *, study_form: bool, digest: bytes
    ) -> CommitmentRequest:
        """Take a request, decided if that can be; durable when this returns.

        Raises DuplicateTransactionError and StoreError.
        """
        now = self._clock.wall()

        def add(txn: Transaction) -> CommitmentRequest | None:
            if read_request(txn, transaction_uid) is not None:
                return None
            fresh = CommitmentRequest(number=0, study_form=study_form, received=now, count=0, digest=digest)
            add_request(txn, transaction_uid, fresh, references=wanted)
            return decide(txn, transaction_uid, self._decided(txn, transaction_uid, now), now=now)

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

    async def keep_deciding(self) -> None:
        """Decide open requests whenever something was proven, purge old results; runs until cancelled."""
        while True:
            proven = self._bells.proven.next
            await self.decide_open()
            await self.purge()
            with trio.move_on_after(LOOK_AGAIN_S):
                await proven.wait()

    async def decide_open(self) -> None:
        """Decide what can be decided now. Raises StoreError."""
        now = self._clock.wall()
        for transaction_uid in await self._store.read(open_requests):
            if await self._store.read(partial(self._decided, transaction_uid=transaction_uid, now=now)):
                await self._store.write(partial(self._decide, transaction_uid=transaction_uid, now=now))
                self._bells.logged.ring()

    async def purge(self) -> None:
        """Forget results that were kept long enough, never while the clock is not trusted. Raises StoreError."""
        if not self._clock.trusted():
            return
        before = self._clock.wall() - self._settings.keep_results_s
        for transaction_uid in await self._store.read(partial(purgeable, before=before)):
            await self._store.write(partial(purge_request, transaction_uid=transaction_uid))

    def _decide(self, txn: Transaction, transaction_uid: str, now: float) -> None:
        decide(txn, transaction_uid, self._decided(txn, transaction_uid, now), now=now)

    def _decided(self, txn: Transaction, transaction_uid: str, now: float) -> list[tuple[int, Reference]]:
        """Return the references that can be decided now and were not yet, by index."""
        request = read_request(txn, transaction_uid)
        if request is None or request.answered:
            return []
        denied = now >= request.received + self._settings.grace_s
        return [
            (index, structs.replace(reference, reason=reason))
            for index, reference in enumerate(references(txn, request.number))
            if reference.reason is None and (reason := self._reason(txn, reference, denied=denied)) is not None
        ]

    def _reason(self, txn: Transaction, reference: Reference, *, denied: bool) -> int | None:
        found = find_instance(txn, reference.sop_instance_uid)
        if found is None or not _in_place(found[1], reference):
            return FailureReason.NO_SUCH_OBJECT_INSTANCE if denied else None
        number, instance = found
        if instance.sop_class_uid != reference.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        if self._settings.evidence is Evidence.LOCAL:
            return COMMITTED
        return self._proven_upstream(txn, number, instance)

    def _proven_upstream(self, txn: Transaction, number: int, instance: Instance) -> int | None:
        if not instance.required:
            return FailureReason.PROCESSING_FAILURE
        deliveries = [read_delivery(txn, number, destination) for destination in instance.required]
        for delivery in deliveries:
            if delivery is not None and delivery.state is DeliveryState.PARKED:
                return _reason_of_parked(delivery)
        if any(delivery is None or delivery.state is not DeliveryState.COMMITTED for delivery in deliveries):
            return None
        accepted = all(
            delivery is not None and delivery.proof in self._settings.accept_proof for delivery in deliveries
        )
        return COMMITTED if accepted else FailureReason.PROCESSING_FAILURE


def _reason_of_parked(delivery: Delivery) -> FailureReason:
    """Return what a requester is told of an instance that a destination refused for good (DICOM.md §6)."""
    if delivery.reason is not None and is_lack_of_room(delivery.reason):
        return FailureReason.RESOURCE_LIMITATION
    return FailureReason(delivery.reason) if delivery.reason in UPSTREAM_REASONS else FailureReason.PROCESSING_FAILURE


def _in_place(instance: Instance, reference: Reference) -> bool:
    named = reference.study_instance_uid, reference.series_instance_uid
    return named in {("", ""), (instance.study_instance_uid, instance.series_instance_uid)}
