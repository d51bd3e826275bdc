"""The long memory of commitments is bounded in rows; the oldest evictions are forgotten first."""

from functools import partial

from edged.store.commit_memory import trim_memory
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
