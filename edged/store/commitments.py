"""Storage commitment, both roles: requests made of the box, and the requests that the box makes (PS3.18 13).

A request is durable before its 202; its references are rows, so that a request of any size is worked off in bounded
memory; until they are decided they stand in an index by SOP Instance UID. The result stands once every reference is
decided and never changes after that. The box's own requests are written before they leave: a Transaction UID that a
peer may know is evidence (DESIGN §1.2).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from edged.dicomweb.event_report import EventKind
from edged.store.counters import NEXT_REQUEST
from edged.store.errors import StoreFull
from edged.store.events import append_event
from edged.store.records import Ask, CommitmentRequest, Event, Reference, unpack
from edged.store.schema import (
    ANSWERED,
    ASKS,
    GONE,
    MAX_KEPT_REFERENCES,
    MAX_OPEN_REQUESTS,
    MAX_REQUESTS,
    OPEN_REQUESTS,
    REFERENCES,
    REQUESTS,
    WAITING_FOR,
    moment_key,
    read_moment_key,
    read_waiting_key,
    reference_key,
    u32_key,
    u64_key,
    uid_key,
    waiting_key,
)
from edged.store.transaction import Transaction

COMMITTED = 0
"""What `Reference.reason` holds for an instance that is committed to."""
MOST_SHARE = 0.05
"""Of the store's capacity, for references: it is there for instances."""
REFERENCE_BYTES = 600
"""What one reference takes with its place in the index, pages two thirds full."""
LEAST_KEPT = 20_000
"""References: one request of any size has room in the smallest store."""


def read_request(txn: Transaction, transaction_uid: str) -> CommitmentRequest | None:
    """Return the request with this Transaction UID."""
    return txn.record(REQUESTS, uid_key(transaction_uid), CommitmentRequest)


def most_references(capacity: int) -> int:
    """Return how many references of requests and results are kept in a store of `capacity` bytes."""
    return min(MAX_KEPT_REFERENCES, max(LEAST_KEPT, int(capacity * MOST_SHARE) // REFERENCE_BYTES))


def add_request(
    txn: Transaction,
    transaction_uid: str,
    request: CommitmentRequest,
    *,
    references: Sequence[Reference],
    most: int = MAX_KEPT_REFERENCES,
) -> CommitmentRequest:
    """Write a new request with its references; its number is given here. The caller has looked for the UID.

    At most `most` references are kept: the oldest results go for a new request, what is open never. Raises StoreFull
    when only open requests are left to go, and while MAX_OPEN_REQUESTS are.
    """
    if txn.count(OPEN_REQUESTS) >= MAX_OPEN_REQUESTS:
        raise StoreFull(f"{MAX_OPEN_REQUESTS} storage commitment requests are open")
    while txn.count(REFERENCES) + len(references) > most:
        oldest = txn.first(ANSWERED)
        if oldest is None:
            raise StoreFull(f"storage commitment requests for {txn.count(REFERENCES)} instances are open")
        purge_request(txn, bytes(oldest[1]).decode())
    number = txn.add(NEXT_REQUEST, 1)
    numbered = structs.replace(request, number=number, count=len(references), left=len(references))
    txn.put_record(REQUESTS, uid_key(transaction_uid), numbered)
    txn.put(OPEN_REQUESTS, u64_key(number), transaction_uid.encode())
    for index, reference in enumerate(references):
        txn.put_record(REFERENCES, reference_key(number, index), reference)
        txn.put(WAITING_FOR, waiting_key(reference.sop_instance_uid, number, index))
    return numbered


def open_requests(txn: Transaction) -> list[str]:
    """Return the Transaction UIDs of the requests that have no result yet, oldest first."""
    return [bytes(value).decode() for _, value in txn.rows(OPEN_REQUESTS)]


def waiting_for(txn: Transaction, sop_instance_uid: str) -> list[tuple[str, int]]:
    """Return the Transaction UIDs of the open requests that wait for an instance, each with the reference's index."""
    found = [read_waiting_key(key) for key, _ in txn.rows(WAITING_FOR, uid_key(sop_instance_uid) + b"\0")]
    uids = ((txn.get(OPEN_REQUESTS, u64_key(number)), index) for number, index in found)
    return [(bytes(uid).decode(), index) for uid, index in uids if uid is not None]


def references(txn: Transaction, number: int) -> list[Reference]:
    """Return the references of one request in the order of the request."""
    return [unpack(Reference, value) for _, value in txn.rows(REFERENCES, u64_key(number))]


class Slice(NamedTuple):
    """Some references that are not decided, with their indexes, and where to go on; None at the end."""

    found: list[tuple[int, Reference]]
    next: int | None


def undecided(txn: Transaction, transaction_uid: str, *, first: int, limit: int) -> Slice:
    """Return those of the `limit` references from `first` on of an open request that are not decided."""
    request = read_request(txn, transaction_uid)
    if request is None or request.answered:
        return Slice([], None)
    rows = txn.rows(REFERENCES, u64_key(request.number), start=reference_key(request.number, first))
    looked_at = [
        (first + index, unpack(Reference, value)) for (_, value), index in zip(rows, range(limit), strict=False)
    ]
    found = [(index, reference) for index, reference in looked_at if reference.reason is None]
    beyond = first + limit
    return Slice(found, beyond if beyond < request.count else None)


def reference_at(txn: Transaction, number: int, index: int) -> Reference | None:
    """Return one reference of a request."""
    return txn.record(REFERENCES, reference_key(number, index), Reference)


def decide(
    txn: Transaction, transaction_uid: str, decided: Iterable[tuple[int, Reference]], *, now: float
) -> CommitmentRequest | None:
    """Write decided references by index; when none is open any more the result stands, with its event.

    What was decided before stays as it is.
    """
    request = read_request(txn, transaction_uid)
    if request is None or request.answered:
        return request
    left, failed = _counts(txn, request)
    for index, reference in decided:
        before = reference_at(txn, request.number, index)
        if reference.reason is None or before is None or before.reason is not None:
            continue
        txn.put_record(REFERENCES, reference_key(request.number, index), reference)
        txn.delete(WAITING_FOR, waiting_key(reference.sop_instance_uid, request.number, index))
        left -= 1
        failed += reference.reason != COMMITTED
    answered = structs.replace(request, left=left, failed=failed, answered=0.0 if left else now)
    if answered != request:
        txn.put_record(REQUESTS, uid_key(transaction_uid), answered)
    if left:
        return answered
    txn.delete(OPEN_REQUESTS, u64_key(request.number))
    txn.put(ANSWERED, _moment(answered), transaction_uid.encode())
    text = f"{request.count - failed} committed, {failed} failed"
    append_event(txn, Event(kind=EventKind.COMMITMENT_RESULT, time=now, transaction_uid=transaction_uid, text=text))
    return answered


def _counts(txn: Transaction, request: CommitmentRequest) -> tuple[int, int]:
    """Return how many references are not decided and how many failed; counted once where the record does not say."""
    if request.left >= 0:
        return request.left, request.failed
    reasons = [reference.reason for reference in references(txn, request.number)]
    return reasons.count(None), sum(reason not in {None, COMMITTED} for reason in reasons)


def purge_request(txn: Transaction, transaction_uid: str) -> None:
    """Forget a result but keep the Transaction UID, which answers 410 from now on (PS3.18 13.5.3.1).

    Beyond MAX_REQUESTS the oldest of these are forgotten altogether.
    """
    request = read_request(txn, transaction_uid)
    if request is None or not request.answered or request.purged:
        return
    for index in range(request.count):
        txn.delete(REFERENCES, reference_key(request.number, index))
    txn.put_record(REQUESTS, uid_key(transaction_uid), structs.replace(request, count=0, purged=True))
    txn.delete(ANSWERED, _moment(request))
    txn.put(GONE, _moment(request), transaction_uid.encode())
    if txn.count(REQUESTS) > MAX_REQUESTS and (oldest := txn.first(GONE)) is not None:
        key, uid = bytes(oldest[0]), bytes(oldest[1]).decode()
        txn.delete(REQUESTS, uid_key(uid))
        txn.delete(GONE, key)


def purgeable(txn: Transaction, before: float, limit: int = 10) -> list[str]:
    """Return some requests that were answered before a time (seconds since the epoch), oldest first."""
    found: list[str] = []
    for key, uid in txn.rows(ANSWERED):
        if read_moment_key(key)[0] >= before * 1000 or len(found) == limit:
            break
        found.append(bytes(uid).decode())
    return found


def _moment(request: CommitmentRequest) -> bytes:
    return moment_key(int(request.answered * 1000), request.number)


def put_ask(txn: Transaction, destination: int, transaction_uid: str, *, ask: Ask) -> None:
    """Write a request of ours, new or changed."""
    txn.put_record(ASKS, u32_key(destination) + uid_key(transaction_uid), ask)


def delete_ask(txn: Transaction, destination: int, transaction_uid: str) -> None:
    """Forget a request of ours: its result is recorded, or it was replaced."""
    txn.delete(ASKS, u32_key(destination) + uid_key(transaction_uid))


def asks(txn: Transaction, destination: int) -> dict[str, Ask]:
    """Return our open requests to one destination by Transaction UID."""
    prefix = u32_key(destination)
    return {bytes(key[4:]).decode(): unpack(Ask, value) for key, value in txn.rows(ASKS, prefix)}
