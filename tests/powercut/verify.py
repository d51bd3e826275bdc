"""What must hold of a store after a power cut, whatever the disk looks like.

Opening a store that was acknowledged from must succeed; the integrity check must find nothing; every instance that a
sender was told of is there with its bytes and its event, or was let go with its proof; its queue entries are what the
integrity check compares; nothing is visible that nobody sent whole; a commitment request that was answered is there,
and a result that was given stands. A write transaction can be begun and takes pages. Before the first
acknowledgement there may be no store, and then one can be made.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edged.dicomweb.event_report import EventKind
from edged.store.chunks import chunk_count, read_chunks
from edged.store.commitments import read_request, references
from edged.store.creation import STORE
from edged.store.environment import Environment, opened, owned
from edged.store.events import read_events
from edged.store.integrity import check
from edged.store.records import Instance, Remembered, unpack
from edged.store.schema import CHUNK_BYTES, CHUNKS, INSTANCES, MAX_EVENTS, REMEMBERED, chunk_key, read_u64, uid_key
from edged.store.transaction import Transaction
from tests.powercut.boxes import CAPACITY_MIB
from tests.powercut.load import Part
from tests.powercut.recording import Op, read_records, told

MIB = 1 << 20


@dataclass(slots=True)
class Promises:
    """What senders had been told before the cut."""

    stored: set[str] = field(default_factory=set)
    requested: dict[str, dict[str, int] | None] = field(default_factory=dict)

    def add(self, told: dict[str, Any]) -> None:
        """Take one acknowledgement."""
        if "stored" in told:
            self.stored.add(told["stored"])
        elif not self.requested.get(told["requested"]):
            self.requested[told["requested"]] = told["result"]

    def __bool__(self) -> bool:
        return bool(self.stored or self.requested)


def promised(log: Path) -> Promises:
    """Everything that senders had been told at the end of a log."""
    promises = Promises()
    for record in read_records(log):
        if record.op is Op.ACKNOWLEDGED:
            promises.add(told(record))
    return promises


class Verifier:
    """Checks one state after the other against the same load."""

    def __init__(self, parts: list[Part], destinations: int) -> None:
        self._sent = {part.name.instance: part.data for part in parts}
        self._destinations = destinations

    def problems(self, data_dir: Path, promises: Promises) -> list[str]:
        """Say everything that is wrong with the store in `data_dir`."""
        if not (data_dir / STORE).exists():
            return ["the store is gone"] if promises else list(self._made(data_dir))
        try:
            with owned(data_dir), opened(data_dir, None) as environment:
                with environment.reading() as txn:
                    found = [*check(txn), *self._visible(txn), *self._promised(txn, promises)]
                return found or list(_writable(environment))
        except Exception as error:  # noqa: BLE001 - whatever a store makes its reader raise is a finding
            return [f"{type(error).__name__}: {error}"]

    def _made(self, data_dir: Path) -> Iterator[str]:
        """There was no store yet: one is made over whatever is left of the first attempt."""
        with owned(data_dir), opened(data_dir, CAPACITY_MIB * MIB) as environment, environment.reading() as txn:
            yield from check(txn)
            if txn.count(INSTANCES):
                yield "a new store has instances"

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

    def _promised(self, txn: Transaction, promises: Promises) -> Iterator[str]:
        told: dict[str, set[EventKind]] = defaultdict(set)
        for _, event in read_events(txn, 0, MAX_EVENTS):
            told[event.sop_instance_uid].add(event.kind)
        here = {unpack(Instance, value).sop_instance_uid for _, value in txn.rows(INSTANCES)}
        for uid in here | promises.stored:
            if EventKind.RECEIVED not in told[uid]:
                yield f"{uid} has no event of its arrival"
        for uid in promises.stored - here:
            remembered = txn.record(REMEMBERED, uid_key(uid), Remembered)
            if remembered is None or not all(remembered.proofs) or len(remembered.proofs) != self._destinations:
                yield f"{uid} was acknowledged and is gone"
            elif not {EventKind.COMMITTED, EventKind.EVICTED} <= told[uid] or not self._destinations:
                yield f"{uid} was let go without the events that tell so"
        for transaction_uid, result in promises.requested.items():
            yield from _request_kept(txn, transaction_uid, result)


def _same(txn: Transaction, number: int, sent: bytes) -> bool:
    count = chunk_count(len(sent))
    stored = read_chunks(txn, number, first=0, count=count)
    pieces = (sent[at : at + CHUNK_BYTES] for at in range(0, len(sent), CHUNK_BYTES))
    return all(piece == chunk for piece, chunk in zip(pieces, stored, strict=True))


def _request_kept(txn: Transaction, transaction_uid: str, result: dict[str, int] | None) -> Iterator[str]:
    request = read_request(txn, transaction_uid)
    if request is None:
        yield f"the commitment request {transaction_uid} was taken and is gone"
        return
    found = {each.sop_instance_uid: each.reason for each in references(txn, request.number)}
    if result is not None and (not request.answered or found != result):
        yield f"the commitment request {transaction_uid} had the result {result} and has {found}"


class _Enough(Exception):
    """Ends a write transaction that is not meant to be committed."""


def _writable(environment: Environment) -> Iterator[str]:
    """Begin a write that takes pages off the free list, and abort it."""
    try:
        with environment.writing() as txn:
            for number in range(4):
                txn.put(CHUNKS, chunk_key(1 << 60, number), bytes(CHUNK_BYTES))
            problems = [each for each in check(txn) if "neither recorded" not in each]
            raise _Enough
    except _Enough:
        yield from problems
