"""Retention: by age, by need, and by nothing else."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from edged.config import Store as Settings
from edged.services.retention import WANTED_FREE, Retention
from edged.store.queue import destination_id, move
from edged.store.records import Delivery, DeliveryState
from edged.store.store import Store, open_store
from edged.telemetry.clock import ManualClock
from tests.support.store_kit import CAPACITY, problems, put

DAY = 86_400.0
SETTINGS = Settings(keep_committed_s=7 * DAY, remember=10)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        yield opened
        assert problems(opened) == []


async def committed(store: Store, clock: ManualClock, count: int, size: int = 3) -> None:
    done = Delivery(state=DeliveryState.COMMITTED, since=clock.wall(), proof="dicomweb")
    for index in range(count):
        number = (await put(store, bytes(size), f"1.{index}")).number
        await store.write(
            lambda txn, number=number: move(txn, number, 1, expected=(DeliveryState.HELD,), to=done)  # type: ignore[misc]
        )


async def test_by_age(store: Store) -> None:
    clock = ManualClock()
    told: list[int] = []
    retention = Retention(store, clock, SETTINGS, told=told.append, reprovers={})
    await committed(store, clock, 3)
    assert await retention.step() == 0
    clock.advance(7 * DAY + 1)
    assert await retention.step() == 3


async def test_not_by_age_while_the_clock_is_not_trusted(store: Store) -> None:
    clock = ManualClock(trusted=False)
    told: list[int] = []
    retention = Retention(store, clock, SETTINGS, told=told.append, reprovers={})
    await committed(store, clock, 3)
    clock.advance(70 * DAY)
    assert await retention.step() == 0


async def test_by_need_only_as_much_as_is_needed(store: Store) -> None:
    clock = ManualClock(trusted=False)
    told: list[int] = []
    retention = Retention(store, clock, SETTINGS, told=told.append, reprovers={})
    await committed(store, clock, 20, 9 << 20)
    assert store.space.free < WANTED_FREE * store.space.soft_cap
    assert 0 < await retention.step() < 20
    assert told[0] % (9 << 20) == 0


async def test_what_is_not_committed_stays_however_little_room_there_is(store: Store) -> None:
    clock = ManualClock()
    told: list[int] = []
    retention = Retention(store, clock, Settings(keep_committed_s=0.0), told=told.append, reprovers={})
    for index in range(20):
        await put(store, bytes(9 << 20), f"1.{index}")
    clock.advance(70 * DAY)
    assert await retention.step() == 0


class Doubting:
    """A destination that does not show some instances any more, once it is asked."""

    def __init__(self, *missing: int) -> None:
        self.doubted: set[int] = set()
        self.asked: list[int] = []
        self._missing = missing

    async def prove_again(self, numbers: Sequence[int], *, within_s: float) -> None:
        assert 0 < within_s <= 10
        self.asked += numbers
        self.doubted |= {number for number in numbers if number in self._missing}


async def test_what_a_destination_does_not_show_stays_and_each_is_asked_for_once(store: Store) -> None:
    clock = ManualClock()
    archive, elsewhere = Doubting(2, 3), Doubting(1)
    reprovers = {1: archive, 2: elsewhere}
    retention = Retention(store, clock, SETTINGS, told=lambda _: None, reprovers=reprovers)
    await committed(store, clock, 5)
    clock.advance(7 * DAY + 1)
    assert await retention.step() == 3
    assert await retention.step() == 0
    assert (archive.asked, elsewhere.asked) == ([1, 2, 3, 4, 5], [])
    archive.doubted.clear()
    assert await retention.step() == 0  # it is asked for again, and missing again
    archive.doubted.clear()
    assert await Retention(store, clock, SETTINGS, told=lambda _: None, reprovers={}).step() == 2
