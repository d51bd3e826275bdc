"""Putting a good copy in place: every table agrees afterwards, and at each step in between but for the bad bytes."""

from functools import partial
from pathlib import Path

import pytest
import trio

from edged.dicomweb.event_report import EventKind
from edged.store import repair as repairing
from edged.store.admission import Tail
from edged.store.chunks import chunk_count
from edged.store.errors import InstanceUnreadable
from edged.store.events import last_event
from edged.store.eviction import evict_oldest
from edged.store.queue import figures, move, read_instance
from edged.store.records import Delivery, DeliveryState, Event, Instance
from edged.store.repair import Repair, differing, finish_repair, put_chunks
from edged.store.schema import CHUNK_BYTES, CHUNKS, EVICTABLE, INSTANCES, chunk_key, read_u64, u64_key
from edged.store.store import Store
from edged.store.upload import SPOOL_BYTES, upload
from tests.faulty_disk.faults import DATA
from tests.faulty_disk.pages import cut_under
from tests.support.store_kit import instance_of, problems, put, stored_bytes

REPAIRED = Event(kind=EventKind.CONDITION_CLEARED, time=5.0, destination="scrub-failed", text="Repaired")


def record(store: Store, number: int) -> Instance:
    """The record of an instance."""
    found = store.read_now(partial(read_instance, number=number))
    assert found is not None
    return found


def filled(size: int, seed: int) -> bytes:
    """Bytes of which no two chunks are equal."""
    return b"".join(bytes([seed, at % 251]) * (CHUNK_BYTES // 2) for at in range(chunk_count(size)))[:size]


async def steps(store: Store, repair: Repair, *, at_most: int = 1000) -> bool:
    """Do a repair's transactions, all or the first few; whether each found the instance as it was."""
    size = repairing.REPAIR_CHUNKS
    wrong: list[int] = []
    for first in range(0, chunk_count(repair.after.size), size):
        wrong += store.read_now(partial(differing, repair=repair, first=first))
    for at in list(range(0, max(1, len(wrong)), size))[:at_most]:
        indexes = wrong[at : at + size]
        if at + size >= len(wrong):
            step = partial(finish_repair, repair=repair, indexes=indexes, event=REPAIRED)
        else:
            step = partial(put_chunks, repair=repair, indexes=indexes)
        if not await store.write(step, 1):
            return False
    return True


def in_memory(number: int, before: Instance, good: bytes) -> Repair:
    """The repair with a small copy, of which nothing is in the store."""
    chunks = [good[at : at + CHUNK_BYTES] for at in range(0, len(good), CHUNK_BYTES)]
    fresh = instance_of(good, before.sop_instance_uid)
    keep = {name: getattr(before, name) for name in ("received", "dataset_digest", "destinations", "required")}
    return Repair(number, before, instance_of(good, fresh.sop_instance_uid, **keep), Tail(999, 0, chunks))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (3, 3),
        (CHUNK_BYTES, CHUNK_BYTES),
        (5 * CHUNK_BYTES, 5 * CHUNK_BYTES + 7),
        (5 * CHUNK_BYTES + 7, 7),
        (9, 300_000),
    ],
)
@pytest.mark.parametrize("state", [DeliveryState.HELD, DeliveryState.COMMITTED])
async def test_every_table_agrees(
    store: Store, monkeypatch: pytest.MonkeyPatch, before: int, after: int, state: DeliveryState
) -> None:
    monkeypatch.setattr(repairing, "REPAIR_CHUNKS", 2)
    number = (await put(store, filled(before, 1), "1.1")).number
    to = Delivery(state=state, since=2.0)
    await store.write(partial(move, number=number, destination=1, expected=tuple(DeliveryState), to=to))
    good = filled(after, 2)
    repair = in_memory(number, record(store, number), good)
    logged = store.read_now(last_event)
    assert await steps(store, repair)
    assert record(store, number) == repair.after
    assert await stored_bytes(store, number, after) == good
    assert problems(store) == []
    assert store.read_now(last_event) == logged + 1
    counted = store.read_now(partial(figures, destination=1, state=state))
    assert (counted.rows, counted.bytes) == (1, after)
    evictable = store.read_now(lambda txn: [read_u64(size) for _, size in txn.rows(EVICTABLE)])
    assert evictable == ([after] if state is DeliveryState.COMMITTED else [])


async def test_only_what_differs_is_written(store: Store) -> None:
    good = filled(4 * CHUNK_BYTES, 1)
    number = (await put(store, good, "1.1")).number
    repair = in_memory(number, record(store, number), good)
    await store.write(lambda txn: txn.put(CHUNKS, chunk_key(number, 2), bytes(CHUNK_BYTES)))
    assert store.read_now(partial(differing, repair=repair, first=0)) == [2]
    assert await store.write(partial(put_chunks, repair=repair, indexes=[2]), 1)
    assert await stored_bytes(store, number, len(good)) == good


async def test_a_spooled_copy_is_put_in_place_and_swept(store: Store, nursery: trio.Nursery) -> None:
    nursery.start_soon(store.keep_swept)
    good = filled(2 * SPOOL_BYTES + 5, 1)
    number = (await put(store, good, "1.1")).number
    before = record(store, number)
    for index in (0, 40, 250):
        await store.write(lambda txn, at=index: txn.put(CHUNKS, chunk_key(number, at), b"turned"))  # type: ignore[misc]
    reservation = store.space.open(len(good))
    async with upload(store, reservation) as begun:
        await begun.add(good)
        tail = await begun.rest()
        assert tail.first > 0
        assert await steps(store, Repair(number, before, before, tail))
    reservation.close()
    await store.wait_swept()
    assert await stored_bytes(store, number, len(good)) == good
    assert store.read_now(lambda txn: txn.count(CHUNKS)) == chunk_count(len(good))
    nursery.cancel_scope.cancel()


async def test_a_smaller_copy_after_a_larger_one_that_was_cut_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repairing, "REPAIR_CHUNKS", 4)
    number = (await put(store, filled(2 * CHUNK_BYTES, 1), "1.1")).number
    before = record(store, number)
    await steps(store, in_memory(number, before, filled(6 * CHUNK_BYTES, 2)), at_most=1)
    assert record(store, number) == before
    good = filled(CHUNK_BYTES + 1, 3)
    assert await steps(store, in_memory(number, before, good))
    assert await stored_bytes(store, number, len(good)) == good
    assert problems(store) == []


async def test_an_instance_that_is_no_longer_as_it_was_is_left_alone(store: Store) -> None:
    data = filled(3 * CHUNK_BYTES, 1)
    number = (await put(store, data, "1.1")).number
    before = record(store, number)
    repair = in_memory(number, before, filled(3 * CHUNK_BYTES, 2))
    other = instance_of(data, "1.1", received=7.0)
    await store.write(lambda txn: txn.put_record(INSTANCES, u64_key(number), other))
    assert not await steps(store, repair)
    assert await stored_bytes(store, number, len(data)) == data
    await store.write(lambda txn: txn.put_record(INSTANCES, u64_key(number), before))
    to = Delivery(state=DeliveryState.COMMITTED, since=1.0)
    await store.write(partial(move, number=number, destination=1, expected=tuple(DeliveryState), to=to))
    await store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5.0))
    assert not await steps(store, repair)
    assert store.read_now(lambda txn: txn.count(CHUNKS)) == 0


@pytest.mark.parametrize(("share", "writes"), [(0.5, False), (0.999, True)])
async def test_a_chunk_whose_first_page_cannot_be_read_is_not_written_over(
    store: Store, tmp_path: Path, share: float, writes: bool
) -> None:
    data = b"\xd5" * (40 * CHUNK_BYTES)
    for each in range(6):
        await put(store, b"\x11" * 70_000, f"2.{each}")
    number = (await put(store, data, "1.1")).number
    cut_under(tmp_path / "box" / DATA, b"\xd5", share)
    with pytest.raises(InstanceUnreadable):
        await stored_bytes(store, number, len(data))
    repair = in_memory(number, record(store, number), data)
    if writes:
        assert await steps(store, repair)
        assert await stored_bytes(store, number, len(data)) == data
    else:
        with pytest.raises(InstanceUnreadable):
            await steps(store, repair)
