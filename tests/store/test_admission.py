"""Admission: one transaction makes an instance exist, duplicates are told apart, large ones are spooled."""

import os
from pathlib import Path

import pytest
import trio

from edged.dicomweb.event_report import EventKind
from edged.store.admission import Outcome
from edged.store.errors import StoreFull
from edged.store.events import read_events
from edged.store.instances import find_instance, instances_of
from edged.store.queue import destination_id, figures
from edged.store.records import DeliveryState
from edged.store.schema import CHUNK_BYTES, CHUNKS, UNOWNED
from edged.store.store import Store, open_store
from edged.store.upload import upload
from edged.store.waiting import waiting
from tests.support.store_kit import CAPACITY, instance_of, problems, put, stored_bytes


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 << 20, 21 << 20])
async def test_bytes_come_back_as_they_went_in(store: Store, size: int) -> None:
    data = os.urandom(size)
    admitted = await put(store, data, "1.1")
    assert admitted.outcome is Outcome.STORED
    assert await stored_bytes(store, admitted.number, size) == data


async def test_everything_about_an_instance_is_in_one_transaction(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    found = store.read_now(lambda txn: find_instance(txn, "1.1"))
    assert found is not None
    assert found[0] == number
    assert store.read_now(lambda txn: list(instances_of(txn, "1.2.3", "1.2.3.4"))) == [number]
    assert [each.number for each in store.read_now(lambda txn: waiting(txn, 1, DeliveryState.HELD))] == [number]
    events = store.read_now(lambda txn: read_events(txn, 0, 10))
    assert [(at, event.kind, event.sop_instance_uid) for at, event in events] == [(1, EventKind.RECEIVED, "1.1")]


async def test_the_same_data_set_again_is_a_success_without_a_copy(store: Store) -> None:
    first = await put(store, b"abc" * 5_000_000, "1.1")
    again = await put(store, b"abc" * 5_000_000, "1.1")
    assert (again.outcome, again.number) == (Outcome.SAME, first.number)
    assert store.read_now(lambda txn: figures(txn, 1, DeliveryState.HELD).rows) == 1


async def test_another_data_set_under_the_same_uid_overwrites_nothing(store: Store) -> None:
    first = await put(store, b"abc", "1.1")
    other = await put(store, b"xyz", "1.1")
    assert (other.outcome, other.number) == (Outcome.DIFFERENT, first.number)
    assert await stored_bytes(store, first.number, 3) == b"abc"


async def test_another_patient_in_a_study_and_a_series_in_two_studies_are_told(store: Store) -> None:
    assert not (await put(store, b"a", "1.1")).inconsistent
    assert not (await put(store, b"b", "1.2", attributes={"PatientID": b"P1 "})).inconsistent
    assert (await put(store, b"c", "1.3", attributes={"PatientID": b"P2"})).inconsistent
    assert (await put(store, b"d", "1.4", study_instance_uid="1.9")).inconsistent


async def test_an_abandoned_upload_is_swept(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.keep_swept)
        reservation = store.space.open()
        async with upload(store, reservation) as begun:
            await begun.add(bytes(20 << 20))
            await begun.wait_spooled()
            assert store.read_now(lambda txn: txn.count(CHUNKS)) > 0
        reservation.close()
        while store.read_now(lambda txn: txn.count(UNOWNED)):
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert store.read_now(lambda txn: txn.count(CHUNKS)) == 0
        nursery.cancel_scope.cancel()


async def test_what_a_dead_process_spooled_is_swept_after_the_restart(tmp_path: Path) -> None:
    async with open_store(tmp_path, CAPACITY) as store:
        reservation = store.space.open()
        async with upload(store, reservation) as begun:
            await begun.add(bytes(9 << 20))
            await begun.wait_spooled()
    async with open_store(tmp_path, CAPACITY) as store:
        assert problems(store) == []
        assert store.read_now(lambda txn: txn.count(CHUNKS)) > 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.keep_swept)
            while store.read_now(lambda txn: txn.count(CHUNKS) + txn.count(UNOWNED)):
                await trio.testing.wait_all_tasks_blocked(0.01)
            nursery.cancel_scope.cancel()
        await store.write(lambda txn: destination_id(txn, "archive"))
        assert (await put(store, b"abc", "1.1")).outcome is Outcome.STORED


async def test_the_budget_is_shared_by_many_uploads_and_comes_back(store: Store) -> None:
    data = bytes(7 << 20)
    async with trio.open_nursery() as nursery:
        for index in range(16):
            nursery.start_soon(put, store, data, f"1.{index}")
    assert store.budget.free == store.budget.total
    assert store.read_now(lambda txn: figures(txn, 1, DeliveryState.HELD).rows) == 16
    assert store.space.free == store.space.soft_cap - store.space.used


async def test_an_upload_beyond_the_soft_cap_is_cut_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(StoreFull):
        store.space.open(store.space.soft_cap)
    with pytest.raises(StoreFull):
        await put(store, bytes(CAPACITY), "1.1")
    assert store.space.free == store.space.soft_cap - store.space.used
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.keep_swept)
        while store.read_now(lambda txn: txn.count(UNOWNED)):
            await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.cancel_scope.cancel()
    assert (await put(store, b"abc", "1.2")).outcome is Outcome.STORED


async def test_a_cancelled_upload_gives_everything_back(store: Store) -> None:
    with trio.CancelScope() as scope:
        reservation = store.space.open()
        try:
            async with upload(store, reservation) as begun:
                await begun.add(bytes(10 << 20))
                scope.cancel()
                await trio.lowlevel.checkpoint()
        finally:
            reservation.close()
    assert store.budget.free == store.budget.total
    assert store.space.free == store.space.soft_cap - store.space.used


async def test_a_small_instance_gives_the_sweeper_nothing_to_do(store: Store) -> None:
    reservation = store.space.open()
    async with upload(store, reservation) as begun:
        await begun.add(b"abc")
        await begun.admit(instance_of(b"abc", "1.1"))
        assert not begun.spooled
    reservation.close()
    assert not store._unowned.is_set()
