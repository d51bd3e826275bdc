"""What must hold of a store after a power cut, whatever the disk looks like.

Opening a store that was acknowledged from must succeed; the integrity check must find nothing; every instance that a
sender was told of is there with its bytes and its event, or was let go with its proof, of which the long memory tells
the same; its queue entries are what the integrity check compares; nothing is visible that nobody sent whole; a
commitment request that was answered is there, a result that was given stands, and what it says is committed is still
known to be. A write transaction can be begun and takes pages. Before the first
acknowledgement there may be no store, and then one can be made.

What is in a snapshot (`Found`) is told apart from what was promised, because many states hold the same snapshot.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from edged.dicomweb.event_report import EventKind
from edged.store.chunks import chunk_count, read_chunks
from edged.store.commitments import COMMITTED, references
from edged.store.creation import STORE
from edged.store.environment import Environment, opened, owned
from edged.store.events import read_events
from edged.store.integrity import check
from edged.store.records import CommitmentRequest, CommitRecord, DeliveryState, Instance, Remembered, unpack
from edged.store.schema import (
    CHUNK_BYTES,
    CHUNKS,
    COMMITTED_MEMORY,
    INSTANCES,
    MAX_EVENTS,
    REMEMBERED,
    REQUESTS,
    chunk_key,
    read_u64,
    uid_key,
)
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from tests.powercut.boxes import CAPACITY_MIB
from tests.powercut.load import Part
from tests.powercut.promises import Promises

MIB = 1 << 20
_TAKEN_CHUNKS = 4


@dataclass(frozen=True, slots=True)
class Found:
    """What one snapshot holds: what is wrong with it whoever was told what, and what promises are compared with.

    Of a request: whether it is answered, and the reason of each reference. `memory` is what the long memory holds of
    what was let go, `proven` what is here and committed by every required destination.
    """

    problems: tuple[str, ...]
    here: frozenset[str]
    told: Mapping[str, frozenset[EventKind]]
    proofs: Mapping[bytes, tuple[str, ...]]
    requests: Mapping[bytes, tuple[bool, dict[str, int | None]]]
    memory: Mapping[bytes, tuple[str, ...]] = field(default_factory=dict)
    proven: frozenset[str] = frozenset()


Recall = Callable[[Callable[[], Found]], Found]
"""Returns what is in the snapshot: by calling what it is given, or because it is known."""


class Verifier:
    """Checks one state after the other against the same load."""

    def __init__(self, parts: list[Part], destinations: int) -> None:
        self._sent = {part.name.instance: part.data for part in parts}
        self._destinations = destinations

    def problems(self, data_dir: Path, promises: Promises, recall: Recall | None = None) -> list[str]:
        """Say everything that is wrong with the store in `data_dir`."""
        if not (data_dir / STORE).exists():
            return ["the store is gone"] if promises else list(self._made(data_dir))
        try:
            with owned(data_dir), opened(data_dir, None) as environment:
                found = recall(lambda: self._found(environment)) if recall else self._found(environment)
                problems = [*found.problems, *self._broken(promises, found)]
                if not problems:
                    _take_pages(environment)
                return problems
        except Exception as error:  # noqa: BLE001 - whatever a store makes its reader raise is a finding
            return [f"{type(error).__name__}: {error}"]

    def _made(self, data_dir: Path) -> Iterator[str]:
        """There was no store yet: one is made over whatever is left of the first attempt."""
        with owned(data_dir), opened(data_dir, CAPACITY_MIB * MIB) as environment, environment.reading() as txn:
            yield from check(txn)
            if txn.count(INSTANCES):
                yield "a new store has instances"

    def _found(self, environment: Environment) -> Found:
        with environment.reading() as txn:
            problems = [*check(txn), *self._visible(txn), *_forgotten(txn)]
            here = frozenset(unpack(Instance, value).sop_instance_uid for _, value in txn.rows(INSTANCES))
            memory, proven = dict(_memory(txn)), frozenset(_proven(txn))
            proofs = {bytes(key): unpack(Remembered, value).proofs for key, value in txn.rows(REMEMBERED)}
            told, requests = _told(txn), dict(_requests(txn))
        return Found(tuple(problems or _writable(environment)), here, told, proofs, requests, memory, proven)

    def _visible(self, txn: Transaction) -> Iterator[str]:
        """Whatever is there is an instance that was sent, with its bytes."""
        for key, value in txn.rows(INSTANCES):
            number, instance = read_u64(key), unpack(Instance, value)
            uid = instance.sop_instance_uid
            sent = self._sent.get(uid)
            if sent is None:
                yield f"{uid} is here and nobody sent it whole"
            elif instance.size != len(sent) or not _same(txn, number, sent):
                yield f"{uid} does not have the bytes that were sent"
            if len(instance.destinations) != self._destinations or instance.destinations != instance.required:
                yield f"{uid} goes to {instance.destinations}"

    def _broken(self, promises: Promises, found: Found) -> Iterator[str]:
        """Which promises the snapshot does not keep."""
        nothing: frozenset[EventKind] = frozenset()
        for uid in found.here | promises.stored:
            if EventKind.RECEIVED not in found.told.get(uid, nothing):
                yield f"{uid} has no event of its arrival"
        for uid in promises.stored - found.here:
            proofs = found.proofs.get(uid_key(uid))
            if proofs is None or not all(proofs) or len(proofs) != self._destinations:
                yield f"{uid} was acknowledged and is gone"
            elif not {EventKind.COMMITTED, EventKind.EVICTED} <= found.told.get(uid, nothing) or not self._destinations:
                yield f"{uid} was let go without the events that tell so"
            elif found.memory.get(uid_key(uid)) != proofs:
                yield f"{uid} was let go and the long memory does not tell who had committed to it"
        for transaction_uid, result in promises.requested.items():
            request = found.requests.get(uid_key(transaction_uid))
            if request is None:
                yield f"the commitment request {transaction_uid} was taken and is gone"
            elif result is not None and request != (True, result):
                yield f"the commitment request {transaction_uid} had the result {result} and has {request}"
            for uid in (uid for uid, reason in (result or {}).items() if reason == COMMITTED):
                if uid not in found.proven and uid_key(uid) not in found.memory:
                    yield f"{uid} was said to be committed, and nothing tells so any more"


def _same(txn: Transaction, number: int, sent: bytes) -> bool:
    count = chunk_count(len(sent))
    stored = read_chunks(txn, number, first=0, count=count)
    pieces = (sent[at : at + CHUNK_BYTES] for at in range(0, len(sent), CHUNK_BYTES))
    return all(piece == chunk for piece, chunk in zip(pieces, stored, strict=True))


def _told(txn: Transaction) -> dict[str, frozenset[EventKind]]:
    """The kinds of the events of each instance."""
    kinds: defaultdict[str, set[EventKind]] = defaultdict(set)
    for _, event in read_events(txn, 0, MAX_EVENTS):
        kinds[event.sop_instance_uid].add(event.kind)
    return {uid: frozenset(each) for uid, each in kinds.items()}


def _requests(txn: Transaction) -> Iterator[tuple[bytes, tuple[bool, dict[str, int | None]]]]:
    for key, value in txn.rows(REQUESTS):
        request = unpack(CommitmentRequest, value)
        reasons = {each.sop_instance_uid: each.reason for each in references(txn, request.number)}
        yield bytes(key), (bool(request.answered), reasons)


def _memory(txn: Transaction) -> Iterator[tuple[bytes, tuple[str, ...]]]:
    for key, value in txn.rows(COMMITTED_MEMORY):
        record = unpack(CommitRecord, value)
        yield bytes(key), () if record.lost else tuple(record.proofs.values())


def _forgotten(txn: Transaction) -> Iterator[str]:
    """What is remembered of an eviction stands in both memories, of the same instance: it is written at once."""
    for key, value in txn.rows(REMEMBERED):
        digests, record = unpack(Remembered, value), txn.record(COMMITTED_MEMORY, bytes(key), CommitRecord)
        if record is None or (record.number, record.dataset_digest) != (digests.number, digests.dataset_digest):
            yield f"number {digests.number} was let go and the long memory does not know it"


def _proven(txn: Transaction) -> Iterator[str]:
    for key, value in txn.rows(INSTANCES):
        number, instance = read_u64(key), unpack(Instance, value)
        deliveries = [read_delivery(txn, number, destination) for destination in instance.required]
        if all(each is not None and each.state is DeliveryState.COMMITTED and each.proof for each in deliveries):
            yield instance.sop_instance_uid


class _Enough(Exception):
    """Ends a write transaction that is not meant to be committed."""


@contextmanager
def _written(environment: Environment) -> Iterator[Transaction]:
    """A write that has taken pages off the free list, and is aborted at the end."""
    with suppress(_Enough), environment.writing() as txn:
        for number in range(_TAKEN_CHUNKS):
            txn.put(CHUNKS, chunk_key(1 << 60, number), bytes(CHUNK_BYTES))
        txn.flush()
        yield txn
        raise _Enough


def _take_pages(environment: Environment) -> None:
    with _written(environment):
        pass


def _writable(environment: Environment) -> list[str]:
    """What is wrong inside a write."""
    with _written(environment) as txn:
        return [each for each in check(txn) if "neither recorded" not in each]
