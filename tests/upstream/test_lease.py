"""Taking work: who asks at the same time gets different work, and a held destination is tried with one at a time."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
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
from edged.upstream.batch import PART_BYTES
from edged.upstream.batch_size import Limit
from edged.upstream.destination import IDLE_S, Destination, Surroundings
from edged.upstream.forms import Forms
from edged.upstream.lease import Leases, Taken
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


def _leases(destination: Destination) -> Leases:
    return Leases(destination, Forms(destination))


async def test_four_that_ask_at_once_get_four_batches(destination: Destination) -> None:
    leases, taken = _leases(destination), list[Sequence[Waiting]]()

    async def take() -> None:
        taken.append((await leases.take()).rows)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(take)
    numbers = [row.number for rows in taken for row in rows]
    assert [len(rows) for rows in taken] == [8] * 4
    assert len(set(numbers)) == 32
    assert destination.leased == set(numbers)


async def test_a_held_destination_is_tried_with_one_at_a_time_and_each_time_another(destination: Destination) -> None:
    destination.still_failing()
    leases, clock = _leases(destination), destination.box.clock
    assert isinstance(clock, ManualClock)
    assert await leases.take() == Taken()
    tried = []
    for _ in range(3):
        clock.advance(3600)
        [row] = (await leases.take()).rows
        assert await leases.take() == Taken()
        with leases.held([row]):
            tried.append(row.number)
            destination.still_failing()
    assert tried == sorted(set(tried))
    assert destination.leased == set()


async def test_the_look_that_finds_a_batch_brings_the_forms_in_which_it_leaves(destination: Destination) -> None:
    """Taking and sending a batch is one read."""
    forms = Forms(destination)
    taken = await Leases(destination, forms).take()
    assert [form.number for form in taken.seen] == [row.number for row in taken.rows]
    found = await forms.of(taken.rows, taken.seen)
    assert all(form is seen for form, seen in zip(found, taken.seen, strict=True))


async def test_what_the_look_did_not_foresee_is_read(destination: Destination) -> None:
    """A note kept one from the batch, so that the choice reaches further; a probe is chosen from the whole queue."""
    forms, limit = Forms(destination), Limit(8, 8)
    destination.size = replace(destination.size, instances=limit, size_bytes=Limit(4 * (3 + PART_BYTES), 1 << 20))
    destination.notebook.refused(2, alone=True)
    taken = await Leases(destination, forms).take()
    assert [row.number for row in taken.rows] == [1, 3, 4, 5]
    assert [form.number for form in taken.seen] == [1, 2, 3, 4]
    assert [form.number for form in await forms.of(taken.rows, taken.seen)] == [1, 3, 4, 5]
    destination.leased.clear()
    destination.still_failing()
    assert isinstance(destination.box.clock, ManualClock)
    destination.box.clock.advance(3600)
    probe = await Leases(destination, forms).take()
    assert [form.number for form in await forms.of(probe.rows, probe.seen)] == [row.number for row in probe.rows]


async def test_a_worker_waits_for_what_may_be_tried_and_asks_for_nothing_meanwhile(destination: Destination) -> None:
    """While the breaker is open until a pause is over; when it is due and somebody else probes, as if idle."""
    clock = destination.box.clock
    assert isinstance(clock, ManualClock)
    destination.still_failing(retry_after_s=20.0)
    assert not destination.may_begin()
    pause_s = destination.next_try_s()
    assert 20.0 <= pause_s <= 20.0 + destination.breaker.backoff.pace.cap_s
    clock.advance(pause_s)
    assert destination.may_begin()
    assert destination.next_try_s() == IDLE_S
