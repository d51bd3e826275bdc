"""Taking work: who asks at the same time gets different work, and a held destination is tried with one at a time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from edged.config import Destination as Settings
from edged.services.bell import Bells
from edged.store.queue import destination_id
from edged.store.store import open_store
from edged.store.waiting import Waiting
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.lease import Leases
from tests.support.store_kit import CAPACITY, put


@pytest.fixture
async def destination(tmp_path: Path) -> AsyncIterator[Destination]:
    """A destination for which forty instances of one study wait."""
    clock = ManualClock()
    async with open_store(tmp_path / "box", CAPACITY) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        for index in range(40):
            await put(store, b"abc", f"1.{index}")
        box = Surroundings(store, clock, live=Live(), conditions=Conditions(clock), bells=Bells())
        yield Destination(1, Settings(name="archive", url="http://archive.example"), box)


async def test_four_that_ask_at_once_get_four_batches(destination: Destination) -> None:
    leases, taken = Leases(destination), list[list[Waiting]]()

    async def take() -> None:
        taken.append(await leases.take())

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(take)
    numbers = [row.number for rows in taken for row in rows]
    assert [len(rows) for rows in taken] == [8] * 4
    assert len(set(numbers)) == 32
    assert destination.leased == set(numbers)


async def test_a_held_destination_is_tried_with_one_at_a_time_and_each_time_another(destination: Destination) -> None:
    destination.still_failing()
    leases, clock = Leases(destination), destination.box.clock
    assert isinstance(clock, ManualClock)
    assert await leases.take() == []
    tried = []
    for _ in range(3):
        clock.advance(3600)
        [row] = await leases.take()
        assert await leases.take() == []
        with leases.held([row]):
            tried.append(row.number)
            destination.still_failing()
    assert tried == sorted(set(tried))
    assert destination.leased == set()
