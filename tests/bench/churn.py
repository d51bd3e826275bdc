"""The section on churn: does a store that stays 80 % full for ten turnovers of its capacity keep its speed?

In process, over a real store with its writer thread and its sweeper: four uploads at a time, of mixed sizes, are
admitted, committed, and the oldest let go as retention does, each durable. Each turnover is a row.
"""

import hashlib
import os
import random
import time
from functools import partial
from pathlib import Path

import trio
from msgspec import structs

from edged.store.eviction import evict_oldest
from edged.store.queue import destination_id, move
from edged.store.records import Delivery, DeliveryState, Instance
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from edged.store.upload import upload
from tests.bench.measure import cpu_s, peak_anonymous
from tests.bench.plan import GB, MB, Plan
from tests.bench.sides import MIB, Side, fresh_folder
from tests.bench.table import Figure, Row, Target, value
from tests.support.store_kit import instance_of

FULL = 0.8
UPLOADS = 4
PIECE_BYTES = 65_536
SIZES = (10_000, 530_000, 530_000, 530_000, 530_000, 530_000, 530_000, 2_000_000, 12_000_000)
"""What arrives, each as likely: small reports, CT slices, larger images, a multi-frame image that spools."""

SEED = 1
STEADY = Target("throughput of the last turnover, at least 0.8 of the second's, is", value, 0.8)


def churn(plan: Plan) -> list[Row]:
    """Turn the store over and over; once, whatever the repetitions."""
    if Side.EDGED not in plan.sides:
        return []
    with fresh_folder(plan.work) as folder:
        turnovers = trio.run(partial(_churn, plan, folder / "data"))
    rows = [
        Row(f"turnover {number} of {plan.scale.churn_mib} MiB at {FULL:.0%} full", "MB/s", {Side.EDGED: [figure]})
        for number, figure in enumerate(turnovers, 1)
    ]
    second = turnovers[min(1, len(turnovers) - 1)]
    ratio = Figure(turnovers[-1].value / second.value)
    targets = (STEADY,) if plan.scale.judged else ()
    return [*rows, Row("the last turnover beside the second", "times", {Side.EDGED: [ratio]}, targets)]


class Churner:
    """Keeps a store full; `turn` writes so many bytes into it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rng = random.Random(SEED)
        self._data = os.urandom(max(SIZES))
        self._base = instance_of(self._data, "1.2")
        self._left = 0
        self._letting_go = trio.Lock()

    async def turn(self, size: int) -> None:
        """Write `size` bytes, letting go of as many as must go."""
        self._left = size
        async with trio.open_nursery() as nursery:
            for _ in range(UPLOADS):
                nursery.start_soon(self._work)

    async def _work(self) -> None:
        while self._left > 0:
            size = self._rng.choice(SIZES)
            self._left -= size
            number = await self._admit(size)
            await self._store.write(partial(_commit, number))
            await self._let_go()

    async def _admit(self, size: int) -> int:
        reservation = self._store.space.open()
        data = memoryview(self._data)[:size]
        try:
            async with upload(self._store, reservation) as begun:
                for at in range(0, size, PIECE_BYTES):
                    await begun.add(data[at : at + PIECE_BYTES])
                return (await begun.admit(self._named(begun.number, size))).number
        finally:
            reservation.close()

    def _named(self, number: int, size: int) -> Instance:
        return structs.replace(
            self._base,
            size=size,
            exit_length=size,
            sop_instance_uid=f"2.25.{number + 10**20}",
            dataset_digest=hashlib.sha256(number.to_bytes(8, "big")).digest(),
        )

    async def _let_go(self) -> None:
        space = self._store.space
        async with self._letting_go:
            while (needed := space.used - int(space.capacity * FULL)) > 0:
                now = time.time()
                if await self._store.write(partial(evict_oldest, committed_before=0.0, least_bytes=needed, now=now)):
                    self._store.sweep_soon()
                await self._store.wait_swept()


def _commit(number: int, txn: Transaction) -> None:
    proven = Delivery(state=DeliveryState.COMMITTED, since=time.time(), evidence="stored", proof="stored")
    move(txn, number, 1, expected=(DeliveryState.HELD,), to=proven)


async def _churn(plan: Plan, data_dir: Path) -> list[Figure]:
    """Fill the store, then turn it over; what each turnover gave."""
    capacity, figures = plan.scale.churn_mib * MIB, []
    async with open_store(data_dir, capacity) as store, trio.open_nursery() as nursery:
        nursery.start_soon(store.keep_swept)
        await store.write(partial(destination_id, name="archive"))
        churner = Churner(store)
        await churner.turn(int(capacity * FULL))
        for number in range(plan.scale.turnovers):
            figures.append(await _turnover(churner, capacity))
            full = store.space.used / capacity
            plan.tell(f"turnover {number + 1}: {figures[-1].value:.0f} MB/s, {full:.0%} full")
        nursery.cancel_scope.cancel()
    return figures


async def _turnover(churner: Churner, size: int) -> Figure:
    with peak_anonymous(os.getpid()) as peak:
        began, used = time.monotonic(), cpu_s(os.getpid())
        await churner.turn(size)
        seconds, used = time.monotonic() - began, cpu_s(os.getpid()) - used
    return Figure(size / MB / seconds, used / (size / GB), peak.mib)
