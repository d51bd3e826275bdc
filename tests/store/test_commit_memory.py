"""The long memory of commitments is bounded in rows; the oldest evictions are forgotten first."""

from functools import partial

from edged.store.commit_memory import RECORD_BYTES, mark_lost, most_records, recall, trim_memory
from edged.store.records import CommitRecord
from edged.store.schema import COMMITTED_MEMORY, COMMITTED_MEMORY_ORDER, moment_key
from edged.store.store import Store
from edged.store.transaction import Transaction


def remember(txn: Transaction, number: int) -> None:
    uid = f"1.{number}".encode()
    record = CommitRecord(
        number=number,
        sop_class_uid="1",
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        dataset_digest=bytes(32),
        committed=1.0,
        evicted=float(number),
        proofs={1: "dicomweb"},
    )
    txn.put_record(COMMITTED_MEMORY, uid, record)
    txn.put(COMMITTED_MEMORY_ORDER, moment_key(number * 1000, number), uid)


async def test_the_oldest_are_forgotten_in_bounded_steps(store: Store) -> None:
    for number in range(1, 11):
        await store.write(partial(remember, number=number))
    assert await store.write(partial(trim_memory, keep=4, limit=4)) == 4
    assert await store.write(partial(trim_memory, keep=4, limit=4)) == 2
    assert await store.write(partial(trim_memory, keep=4, limit=4)) == 0
    left = store.read_now(lambda txn: sorted(bytes(key) for key, _ in txn.rows(COMMITTED_MEMORY)))
    assert left == [b"1.10", b"1.7", b"1.8", b"1.9"]


async def test_what_a_destination_lost_is_marked(store: Store) -> None:
    await store.write(partial(remember, number=1))
    assert await store.write(partial(mark_lost, sop_instance_uid="1.1"))
    known = store.read_now(partial(recall, sop_instance_uid="1.1"))
    assert known is not None
    assert known.lost
    assert not await store.write(partial(mark_lost, sop_instance_uid="1.2"))


def test_it_takes_no_more_than_its_share_of_the_store() -> None:
    assert most_records(1000, 1 << 40) == 1000
    assert most_records(10_000_000, 1 << 30) * RECORD_BYTES <= (1 << 30) // 10


async def test_a_record_takes_no_more_than_is_reckoned_with(store: Store) -> None:
    before = store.space.used

    def many(txn: Transaction) -> None:
        for number in range(10_000_000, 10_010_000):
            uid = f"1.2.826.0.1.3680043.10.1234.20261122.{number}.{number}".encode()
            record = CommitRecord(
                number=number,
                sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
                study_instance_uid="1.2.826.0.1.3680043.10.1234.20261122.1234567890.1",
                series_instance_uid="1.2.826.0.1.3680043.10.1234.20261122.1234567890.1.1",
                dataset_digest=bytes(range(32)),
                committed=1e9,
                evicted=1e9,
                proofs={1: "dicomweb", 2: "search"},
            )
            txn.put_record(COMMITTED_MEMORY, uid, record)
            txn.put(COMMITTED_MEMORY_ORDER, moment_key(10**12, number), uid)

    await store.write(many)
    assert store.space.used - before <= 10_000 * RECORD_BYTES
