"""How fast the store fills: foretold from samples, never from nothing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.services.filling import FILLING, UNKNOWN_RETRY_S, Filling
from edged.store.errors import StoreFull
from edged.store.store import Store, open_store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import Live
from tests.support.store_kit import CAPACITY, put

MIB = 1 << 20


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        yield opened


async def fill(store: Store, size: int, uid: str) -> None:
    await put(store, bytes(size), uid, destinations=(), required=())


async def test_hours_to_full_follow_the_measured_rate(store: Store) -> None:
    clock = ManualClock()
    filling = Filling(store, clock, Conditions(clock), live=Live())
    filling.sample()
    assert filling.hours_to_full() is None
    await fill(store, 18 * MIB, "1.1")
    clock.advance(1800.0)
    filling.sample()
    hours = filling.hours_to_full()
    assert hours is not None
    assert hours == pytest.approx(store.space.free / (36 * MIB), rel=0.05)


async def test_a_store_that_does_not_fill_is_never_full(store: Store) -> None:
    clock = ManualClock()
    filling = Filling(store, clock, Conditions(clock), live=Live())
    for _ in range(3):
        filling.sample()
        clock.advance(600.0)
    assert filling.hours_to_full() is None
    assert filling.retry_after_s(10 * MIB) == UNKNOWN_RETRY_S


async def test_retry_after_follows_the_drain(store: Store) -> None:
    clock = ManualClock()
    filling = Filling(store, clock, Conditions(clock), live=Live())
    filling.sample()
    filling.drained(60 * MIB)
    clock.advance(60.0)
    filling.sample()
    assert filling.retry_after_s(store.space.free + 100 * MIB) == 101
    assert filling.retry_after_s(1) == 10


async def test_conditions_at_80_and_95_percent(store: Store) -> None:
    clock = ManualClock()
    conditions = Conditions(clock)
    filling = Filling(store, clock, conditions, live=Live())
    await fill(store, 100 * MIB, "1.1")
    filling.sample()
    assert not conditions.stands(FILLING)
    await fill(store, 60 * MIB, "1.2")
    filling.sample()
    assert [each.severity for each in conditions.snapshot()] == [Severity.WARNING]
    await fill(store, 25 * MIB, "1.3")
    filling.sample()
    assert [each.severity for each in conditions.snapshot()] == [Severity.CRITICAL]


async def test_a_disk_that_cannot_give_as_much_is_the_limit(store: Store) -> None:
    clock = ManualClock()
    conditions = Conditions(clock)
    filling = Filling(store, clock, conditions, live=Live())
    assert store.space.room is None
    await fill(store, 10 * MIB, "1.1")
    store.space.room = lambda: 20 * MIB
    assert store.space.free == 20 * MIB - store.space.used
    store.space.room = lambda: 11 * MIB
    filling.sample()
    [condition] = conditions.snapshot()
    assert condition.hint.startswith("The disk has no room")
    store.space.room = lambda: 0
    filling.sample()
    with pytest.raises(StoreFull):
        store.space.open(1)
