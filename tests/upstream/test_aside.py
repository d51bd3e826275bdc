"""What is stuck is tried again after a day, however many others are stuck before it."""

from pathlib import Path

import pytest
import trio
import trio.testing

from edged.config import Destination as Settings
from edged.services.bell import Bells
from edged.store.queue import destination_id, figures, move
from edged.store.records import Delivery, DeliveryState
from edged.store.store import open_store
from edged.store.transaction import Transaction
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from edged.upstream import aside
from edged.upstream.aside import DAY_S, LOOK_S, Aside
from edged.upstream.destination import Destination, Surroundings
from tests.support.store_kit import CAPACITY, put


async def test_what_is_due_behind_many_that_are_not_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aside, "LOOK_ROWS", 3)
    clock = ManualClock()
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        numbers = [(await put(store, b"abc", f"1.{index}")).number for index in range(8)]

        def stick(txn: Transaction) -> None:
            for number in numbers:
                since = clock.wall() - (DAY_S if number == numbers[-1] else 0.0)
                stuck = Delivery(state=DeliveryState.STUCK, since=since)
                move(txn, number, 1, expected=(DeliveryState.HELD,), to=stuck)

        def held() -> int:
            return store.read_now(lambda txn: figures(txn, 1, DeliveryState.HELD)).rows

        await store.write(stick)
        box = Surroundings(store, clock, live=Live(), conditions=Conditions(clock), bells=Bells())
        box.gather_s = 0.0
        found = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Aside(Destination(1, Settings(name="archive", url="http://archive.example"), box)).work)
            for _ in range(4):
                await trio.testing.wait_all_tasks_blocked()
                found.append(held())
                clock.advance(LOOK_S)
                box.bells.logged.ring()
            nursery.cancel_scope.cancel()
    assert found == [0, 0, 1, 1]
