"""The integrity check finds every kind of damage that it claims to find."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.dicomweb.event_report import EventKind
from edged.store import schema
from edged.store.commitments import add_request, decide
from edged.store.counters import NEXT_EVENT, queue_rows, standing
from edged.store.events import append_event
from edged.store.queue import destination_id, move
from edged.store.records import CommitmentRequest, CommitRecord, Delivery, DeliveryState, Event, Reference, Standing
from edged.store.store import open_store
from edged.store.transaction import Transaction
from tests.support.store_kit import CAPACITY, problems, put

HELD, SENT, COMMITTED = DeliveryState.HELD, DeliveryState.SENT, DeliveryState.COMMITTED
QUEUED = schema.queue_key(1, HELD, 1, 1)


def lose_last_chunk(txn: Transaction) -> None:
    txn.delete(schema.CHUNKS, schema.chunk_key(1, 1))


def orphan_a_chunk(txn: Transaction) -> None:
    txn.put(schema.CHUNKS, schema.chunk_key(99, 0), b"x")


def lose(table: schema.Table, key: bytes) -> Callable[[Transaction], None]:
    def damage(txn: Transaction) -> None:
        assert txn.delete(table, key)

    return damage


def miscount(name: bytes) -> Callable[[Transaction], None]:
    def damage(txn: Transaction) -> None:
        txn.add(name, 1)

    return damage


def misremember(txn: Transaction) -> None:
    record = CommitRecord(
        number=9,
        sop_class_uid="1",
        study_instance_uid="1.2.3",
        series_instance_uid="1.2.3.4",
        dataset_digest=b"",
        committed=1.0,
        evicted=2.0,
        proofs={1: "dicomweb"},
    )
    txn.put_record(schema.COMMITTED_MEMORY, b"1.9", record)


def other_state(txn: Transaction) -> None:
    txn.put_record(schema.DELIVERIES, schema.delivery_key(1, 1), Delivery(state=SENT, since=1.0))


PLACE = schema.study_prefix("1.2.3", "1.2.3.4", "1.1") + schema.u64_key(1)

DAMAGES = {
    "a lost chunk": lose_last_chunk,
    "a chunk of nobody": orphan_a_chunk,
    "a lost UID row": lose(schema.BY_SOP_INSTANCE, schema.sop_instance_key("1.1", 1)),
    "a lost study row": lose(schema.BY_STUDY, PLACE),
    "a lost series": lose(schema.SERIES, b"1.2.3.4"),
    "a lost delivery": lose(schema.DELIVERIES, schema.delivery_key(1, 1)),
    "a lost queue row": lose(schema.QUEUE, QUEUED),
    "a delivery in another state": other_state,
    "a lost order of eviction": lose(schema.EVICTABLE, schema.moment_key(2_000_000, 2)),
    "a wrong standing": miscount(standing(Standing.HELD)),
    "a wrong queue count": miscount(queue_rows(1, HELD)),
    "a wrong event count": miscount(NEXT_EVENT),
    "a lost event": lose(schema.EVENTS, schema.u64_key(2)),
    "a lost reference": lose(schema.REFERENCES, schema.reference_key(1, 0)),
    "a lost open request": lose(schema.OPEN_REQUESTS, schema.u64_key(1)),
    "an open request that waits for nothing": lose(schema.WAITING_FOR, schema.waiting_key("1.1", 1, 0)),
    "a request that waits for what it does not name": lambda txn: txn.put(
        schema.WAITING_FOR, schema.waiting_key("1.1", 2, 0)
    ),
    "a commitment without an order": misremember,
    "an order without a commitment": lambda txn: txn.put(
        schema.COMMITTED_MEMORY_ORDER, schema.moment_key(1, 9), b"1.9"
    ),
    "a lost entry of a history": lose(schema.HISTORY, schema.history_key(2, 1)),
    "a lost order of a history": lose(schema.HISTORY_ORDER, schema.u64_key(1)),
    "a lost record": lose(schema.INSTANCES, schema.u64_key(1)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
async def test_damage_is_found(tmp_path: Path, damage: Callable[[Transaction], None]) -> None:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        await put(store, bytes(schema.CHUNK_BYTES + 1), "1.1")
        await put(store, b"abc", "1.2")
        done = Delivery(state=COMMITTED, since=2000.0)
        stuck = Delivery(state=DeliveryState.STUCK, since=1500.0)
        await store.write(lambda txn: move(txn, 2, 1, expected=(HELD,), to=stuck))
        await store.write(lambda txn: move(txn, 2, 1, expected=(DeliveryState.STUCK,), to=done))
        request = CommitmentRequest(number=0, study_form=False, received=1.0, count=0, digest=b"")
        wanted = [Reference(sop_class_uid="1", sop_instance_uid="1.1")]
        await store.write(lambda txn: add_request(txn, "2.25.1", request, references=wanted))
        assert problems(store) == []
        await store.write(damage)
        assert problems(store) != []


async def test_an_answered_request_is_whole(tmp_path: Path) -> None:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        request = CommitmentRequest(number=0, study_form=False, received=1.0, count=0, digest=b"")
        wanted = [Reference(sop_class_uid="1", sop_instance_uid=f"1.{index}") for index in range(3)]
        await store.write(lambda txn: add_request(txn, "2.25.1", request, references=wanted))
        decided = [(index, Reference(sop_class_uid="1", sop_instance_uid=f"1.{index}", reason=0)) for index in range(3)]
        await store.write(lambda txn: decide(txn, "2.25.1", decided, now=5.0))
        assert problems(store) == []


async def test_trimmed_events_leave_no_gap(tmp_path: Path) -> None:
    from edged.store.events import read_events, trim_events

    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        for second in range(10):
            event = Event(kind=EventKind.RECEIVED, time=float(second))
            await store.write(lambda txn, event=event: append_event(txn, event))  # type: ignore[misc]
        assert await store.write(lambda txn: trim_events(txn, 4.0)) == 4
        assert await store.write(lambda txn: trim_events(txn, 0.0, keep=3)) == 3
        assert [number for number, _ in store.read_now(lambda txn: read_events(txn, 0, 100))] == [8, 9, 10]
        assert problems(store) == []
