"""Judging one reference of a storage commitment request: what may be answered of an instance, and on what evidence.

One table of questions, asked inside a transaction, so that an answer is true of one moment. While a UID has a conflict
nobody is told anything: the sender of either data set would take the answer for its own (DICOM.md §2, §6). What is here
is judged by its deliveries, with evidence `local` by the soundness of its bytes. What was evicted is judged by what is
remembered of its commitments, at what these proofs are worth by the settings of today. What is known in neither way is
asked of the required destinations, and not before the grace is over: another intake may still be receiving it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from edged.config import Commitment, Evidence
from edged.dicom.reasons import FailureReason, is_lack_of_room
from edged.store.commit_memory import recall
from edged.store.commitments import COMMITTED
from edged.store.instances import instances_under
from edged.store.records import CommitRecord, Delivery, DeliveryState, Instance, Reference
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction

UPSTREAM_REASONS = frozenset(
    {
        FailureReason.SOP_CLASS_NOT_SUPPORTED,
        FailureReason.CLASS_INSTANCE_CONFLICT,
    }
)


class Undecided(Enum):
    """Why there is no answer yet: it is waited for, or the destinations must be asked first."""

    WAITING = auto()
    TO_ASK = auto()


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a judgement goes by beside the store, as it was when the judging began.

    `damaged` are the numbers of instances that are bad or may be, `suspects` those of them that nobody has looked at.
    `answers` are what the destinations' words come to, a reason or COMMITTED, by the references they were asked for.
    """

    settings: Commitment
    damaged: frozenset[int] = frozenset()
    suspects: frozenset[int] = frozenset()
    answers: Mapping[Reference, int] | None = None


def judge(txn: Transaction, reference: Reference, grounds: Grounds, *, denied: bool) -> int | Undecided:
    """Return COMMITTED, the reason why not, or why there is neither yet; `denied`: the grace is over."""
    under = list(instances_under(txn, reference.sop_instance_uid))
    if any(instance.conflict for _, instance in under):
        return Undecided.WAITING
    if not under:
        return _of_what_is_not_here(txn, reference, grounds, denied=denied)
    [(number, instance)] = under
    if not _in_place(instance, reference):
        return FailureReason.NO_SUCH_OBJECT_INSTANCE if denied else Undecided.WAITING
    if instance.sop_class_uid != reference.sop_class_uid:
        return FailureReason.CLASS_INSTANCE_CONFLICT
    if grounds.settings.evidence is Evidence.LOCAL:
        return _sound(number, grounds, denied=denied)
    return _proven_upstream(txn, number, instance, accepted=grounds.settings.accept_proof)


def _of_what_is_not_here(txn: Transaction, reference: Reference, grounds: Grounds, *, denied: bool) -> int | Undecided:
    is_archive = grounds.settings.evidence is Evidence.LOCAL
    known = None if is_archive else recall(txn, reference.sop_instance_uid)
    if known is not None and not known.lost and _in_place(known, reference):
        if known.sop_class_uid != reference.sop_class_uid:
            return FailureReason.CLASS_INSTANCE_CONFLICT
        if known.proofs and all(proof in grounds.settings.accept_proof for proof in known.proofs.values()):
            return COMMITTED
    if not denied:
        return Undecided.WAITING
    if is_archive:
        return FailureReason.NO_SUCH_OBJECT_INSTANCE
    return (grounds.answers or {}).get(reference, Undecided.TO_ASK)


def _sound(number: int, grounds: Grounds, *, denied: bool) -> int | Undecided:
    if number not in grounds.damaged:
        return COMMITTED
    return FailureReason.PROCESSING_FAILURE if denied and number not in grounds.suspects else Undecided.WAITING


def _proven_upstream(
    txn: Transaction, number: int, instance: Instance, *, accepted: tuple[str, ...]
) -> int | Undecided:
    if not instance.required:
        return FailureReason.PROCESSING_FAILURE
    deliveries = [read_delivery(txn, number, destination) for destination in instance.required]
    for delivery in deliveries:
        if delivery is not None and delivery.state is DeliveryState.PARKED:
            return _reason_of_parked(delivery)
    if any(delivery is None or delivery.state is not DeliveryState.COMMITTED for delivery in deliveries):
        return Undecided.WAITING
    all_accepted = all(delivery is not None and delivery.proof in accepted for delivery in deliveries)
    return COMMITTED if all_accepted else FailureReason.PROCESSING_FAILURE


def _reason_of_parked(delivery: Delivery) -> FailureReason:
    """Return what a requester is told of an instance that a destination refused for good (DICOM.md §6)."""
    if delivery.reason is not None and is_lack_of_room(delivery.reason):
        return FailureReason.RESOURCE_LIMITATION
    return FailureReason(delivery.reason) if delivery.reason in UPSTREAM_REASONS else FailureReason.PROCESSING_FAILURE


def _in_place(instance: Instance | CommitRecord, reference: Reference) -> bool:
    named = reference.study_instance_uid, reference.series_instance_uid
    return named in {("", ""), (instance.study_instance_uid, instance.series_instance_uid)}
