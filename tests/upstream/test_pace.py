"""A destination's pace, in virtual time and memory: within a body, changed while it runs, told, and never a fault."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from edged.config import Destination as Settings
from edged.config import Rates
from edged.config.rates import rates
from edged.services.bell import Bells
from edged.store.store import open_store
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import Live
from edged.upstream.asking import Asking, asking_for
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.destination import Destination, Surroundings
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import Request
from edged.upstream.pace import TELL_S, keep_told
from tests.support.memory_wire import Half, connector
from tests.support.store_kit import CAPACITY
from tests.support.upstream_body import Zeros
from tests.support.upstream_peer import Http2Wire, Wire

ENDPOINT = Endpoint("http", "archive.example", 80, "/dicom-web")
CONTINUE_S = 1.0  # what a large body may wait for a 100 that never comes
MONDAY_NOON_S = 1_772_452_800.0  # 2026-03-02, 12:00 UTC; the windows below are wide enough for any time zone


@dataclass
class Taker:
    """Takes what comes and answers 200 to all of it, or 413 as soon as more comes than it takes.

    `took` keeps when how many bytes came.
    """

    took: list[tuple[float, int]]
    takes: float = math.inf

    async def serve(self, stream: Half) -> None:
        while True:
            buffer = b""
            while b"\r\n\r\n" not in buffer:
                data = bytes(await stream.receive_some())
                if not data:
                    return
                buffer += data
            head, _, rest = buffer.partition(b"\r\n\r\n")
            lines = [line.partition(b": ") for line in head.split(b"\r\n")]
            left = sum(int(value) for name, _, value in lines if name.lower() == b"content-length")
            while left > 0:
                rest = rest or bytes(await stream.receive_some())
                self.took.append((trio.current_time(), len(rest)))
                left -= len(rest)
                rest = b""
                if sum(size for _, size in self.took) > self.takes:
                    await stream.send_all(b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n")
                    return
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    def between(self, begin: float, end: float) -> int:
        """The bytes that came within a time."""
        return sum(size for at, size in self.took if begin <= at < end)

    @property
    def longest_pause_s(self) -> float:
        times = [at for at, _ in self.took]
        return max((late - early for early, late in pairwise(times)), default=0.0)


@dataclass
class Paced:
    """A destination at a pace, and what its peer took."""

    destination: Destination
    asking: Asking
    peer: Taker

    async def post(self, size: int, *, urgent: bool = False) -> float:
        """Send a body; the seconds that it took."""
        began = trio.current_time()
        response = await self.asking.request(Request("POST", "/dicom-web/studies", body=Zeros(size)), urgent=urgent)
        assert response.status == 200
        return trio.current_time() - began

    def change(self, changed: Rates) -> None:
        """Take over other rates, as after SIGHUP."""
        self.destination.box.rates["archive"] = changed
        self.destination.box.tuned.ring()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(MONDAY_NOON_S)


@pytest.fixture
async def paced(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Paced]:
    async with _paced(tmp_path, clock) as made:
        yield made


@asynccontextmanager
async def _paced(folder: Path, clock: ManualClock) -> AsyncIterator[Paced]:
    async with open_store(folder / "box", CAPACITY, inline=True) as store, trio.open_nursery() as nursery:
        box = Surroundings(store, clock, live=Live(), conditions=Conditions(clock), bells=Bells())
        destination = Destination(1, Settings(name="archive", url="http://archive.example/dicom-web"), box)
        peer = Taker([])
        async with open_client(ENDPOINT, ClientSettings(connector=connector(nursery, peer.serve))) as client:
            yield Paced(destination, asking_for(destination, client), peer)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("rate", ["1kB/s", "8Mbit/s", "80Mbit/s"])
async def test_a_minute_of_one_body_is_the_rate_within_five_percent(
    paced: Paced, autojump_clock: MockClock, rate: str
) -> None:
    paced.change(rates(rate))
    bytes_per_s = rates(rate)[0].bytes_per_s
    assert bytes_per_s is not None
    began = trio.current_time()
    with trio.move_on_after(70):
        await paced.post(int(bytes_per_s * 240))
    assert paced.peer.between(began + 5, began + 65) == pytest.approx(60 * bytes_per_s, rel=0.05)
    assert paced.peer.longest_pause_s <= 1.1


async def test_no_deadline_of_the_link_passes_while_this_side_waits(paced: Paced, autojump_clock: MockClock) -> None:
    """Minutes, over a link whose deadlines are shorter; then all of it is there."""
    paced.change(rates("1kB/s"))
    assert await paced.post(600_000) == pytest.approx(600, rel=0.05)


async def test_nor_does_one_of_http2(paced: Paced, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    sizes: list[int] = []

    async def serve(stream: Half) -> None:
        wire = Http2Wire(Wire(stream, cast("trio.SocketStream", stream), 1))
        await wire.hello()
        number, _, size = await wire.request()
        sizes.append(size)
        await wire.answer(number)

    paced.change(rates("1kB/s"))
    settings = ClientSettings(http=HttpChoice.TWO, connector=connector(nursery, serve))
    async with open_client(ENDPOINT, settings) as client:
        body = Request("POST", "/dicom-web/studies", body=Zeros(300_000))
        assert (await asking_for(paced.destination, client).request(body)).status == 200
    assert sizes == [300_000]
    assert trio.current_time() == pytest.approx(300, rel=0.05)


async def test_what_refuses_the_body_is_heard_while_it_waits(paced: Paced, autojump_clock: MockClock) -> None:
    paced.change(rates("1kB/s"))
    paced.peer.takes = 5000
    response = await paced.asking.request(Request("POST", "/dicom-web/studies", body=Zeros(10_000_000)))
    assert response.status == 413
    assert trio.current_time() < 10


async def test_all_workers_together_keep_to_it_and_share_it(paced: Paced, autojump_clock: MockClock) -> None:
    paced.change(rates("100kB/s"))
    ended: list[float] = []

    async def send() -> None:
        ended.append(await paced.post(2_000_000))

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(send)
    assert ended == pytest.approx([60.0] * 3, rel=0.05)


async def test_an_urgent_one_does_not_wait(paced: Paced, autojump_clock: MockClock) -> None:
    paced.change(rates("100kB/s"))
    others: list[float] = []

    async def send() -> None:
        others.append(await paced.post(1_000_000))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        await trio.sleep(3)
        assert await paced.post(50_000_000, urgent=True) <= CONTINUE_S
    assert others == pytest.approx([9.0 + 2.0], abs=1.0 + CONTINUE_S)


async def test_a_change_is_in_force_within_the_body_that_is_sent(paced: Paced, autojump_clock: MockClock) -> None:
    paced.change(rates("100kB/s"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(paced.post, 5_000_000)
        await trio.sleep(10)
        paced.change(rates("1kB/s"))
        await trio.sleep(100)
        assert paced.peer.between(20, 80) == pytest.approx(60_000, rel=0.05)
        paced.change(())
        await trio.sleep(2)
        assert sum(size for _, size in paced.peer.took) == 5_000_000


async def test_a_window_begins_within_the_body_that_is_sent(
    paced: Paced, autojump_clock: MockClock, clock: ManualClock
) -> None:
    paced.change(rates([{"days": ["mon"], "rate": "1MB/s"}, {"rate": "10kB/s"}]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(paced.post, 20_000_000)
        await trio.sleep(10)
        assert paced.peer.between(0, 10) == pytest.approx(10_000_000, rel=0.15)
        clock.advance(3 * 24 * 3600)
        await trio.sleep(70)
        assert paced.peer.between(12, 72) == pytest.approx(600_000, rel=0.05)
        nursery.cancel_scope.cancel()


async def test_a_clock_that_cannot_be_believed_means_the_least_rate(
    paced: Paced, autojump_clock: MockClock, clock: ManualClock
) -> None:
    paced.change(rates([{"days": ["mon"], "rate": "1MB/s"}, {"days": ["sun"], "rate": "10kB/s"}, {"rate": ""}]))
    clock.set_wall(0.0, trusted=False)
    assert await paced.post(600_000) == pytest.approx(60, rel=0.05)
    clock.set_wall(MONDAY_NOON_S)
    assert await paced.post(1_000_000) <= 1.0 + CONTINUE_S


async def test_the_rate_that_holds_is_told(paced: Paced, autojump_clock: MockClock, clock: ManualClock) -> None:
    def told() -> float | None:
        return paced.destination.box.live.destinations["archive"].rate_limit

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_told, paced.destination)
        await trio.testing.wait_all_tasks_blocked()
        assert told() is None
        paced.change(rates([{"days": ["mon"], "rate": "1MB/s"}, {"rate": "10kB/s"}]))
        await trio.testing.wait_all_tasks_blocked()
        assert told() == 1e6
        clock.advance(3 * 24 * 3600)
        await trio.sleep(TELL_S + 1)
        assert told() == 10_000
        nursery.cancel_scope.cancel()
