"""As many workers send as are wanted, the state tells how many, and a destination that asks for less gets less."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
import trio
from trio.testing import MockClock

from edged.config import Destination as Settings
from edged.services.bell import Bells
from edged.store.queue import destination_id
from edged.store.store import open_store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import DestinationState, Live
from edged.upstream.crew import Crew
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.sender import Sender
from edged.upstream.width import FEW
from edged.upstream.workers import Workers
from tests.support.forwarding_kit import destination as section
from tests.support.forwarding_kit import forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.store_kit import CAPACITY
from tests.support.stow_kit import named

MOST = 6


@pytest.fixture
async def destination(tmp_path: Path) -> AsyncIterator[Destination]:
    clock = ManualClock()
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        box = Surroundings(store, clock, live=Live(), conditions=Conditions(clock), bells=Bells())
        yield Destination(1, Settings(name="archive", url="http://archive.example", parallel=MOST), box)


class Link:
    """Batches that each take a second, however many go at once, until `slow`: then all share one."""

    def __init__(self, crew: Crew, wanted: Callable[[], int]) -> None:
        self.crew = crew
        self.wanted = wanted
        self.slow = False
        self.running = 0
        self.most_running = 0

    async def work_once(self) -> None:
        """One batch."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        age = self.crew.age
        seconds = float(self.wanted() if self.slow else 1)
        await trio.sleep(seconds)
        self.running -= 1
        self.crew.finished(1_000_000, seconds, age=age)


async def test_workers_become_more_as_long_as_it_helps_and_fewer_again(
    destination: Destination, autojump_clock: MockClock
) -> None:
    def told() -> int:
        return destination.box.live.destinations["archive"].workers or 0

    crew = Crew(destination)
    assert told() == FEW
    link = Link(crew, told)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Workers(destination, cast("Sender", link), crew).work)
        await trio.sleep(60)
        assert (told(), link.running) == (MOST, MOST)
        link.slow = True
        await trio.sleep(600)
        assert told() <= FEW
        assert link.running <= FEW
        nursery.cancel_scope.cancel()
    assert link.most_running == MOST


async def test_503_halves_them(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(503)
        async with forwarding(tmp_path, section(archive.url, parallel="8")) as box:
            assert box.stands().workers == FEW
            await box.take_made(named(1))
            await box.until(lambda: box.stands().state is DestinationState.RETRYING)
            assert box.stands().workers == FEW // 2
