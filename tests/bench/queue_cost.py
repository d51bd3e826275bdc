"""The section on the queue: what admitting, moving, looking and counting cost with few and with many entries.

In process, over a real store, inside one transaction at a time, so that neither HTTP nor the disk's flush is in the
figure. The same operations at both lengths of the queue; the ratio is the figure.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import trio

from edged.store.queue import figures, move
from edged.store.records import Delivery, DeliveryState
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from edged.store.waiting import waiting
from tests.bench.plan import Plan
from tests.bench.sides import LEAST_CAPACITY_MIB, MIB, Side, fresh_folder
from tests.bench.store_filling import DATA, ROW_BYTES, admit_some, fill
from tests.bench.table import Figure, Row, Target, value
from tests.support.store_kit import instance_of

T = TypeVar("T")

DESTINATION = 1
BATCH = 100
BATCHES = 30
BATCH_LIMIT = 64

SAME = Target("cost, at most 1.5 times that of the short queue, is", value, 1.5, at_least=False)


def queue(plan: Plan) -> list[Row]:
    """Fill a store step by step and measure at each step."""
    if Side.EDGED not in plan.sides:
        return []
    lengths = plan.scale.rows
    with fresh_folder(plan.work) as folder:
        costs = trio.run(partial(_measure, plan, folder))
    rows = [
        Row(f"{operation}, {length:,} entries", "us", {Side.EDGED: [Figure(cost)]})
        for length, found in zip(lengths, costs, strict=True)
        for operation, cost in found.items()
    ]
    targets = (SAME,) if plan.scale.judged else ()
    ratios = {operation: costs[-1][operation] / costs[0][operation] for operation in costs[0]}
    return [
        *rows,
        *(
            Row(f"{operation}, {lengths[-1]:,} beside {lengths[0]:,}", "times", {Side.EDGED: [Figure(each)]}, targets)
            for operation, each in ratios.items()
        ),
    ]


async def _measure(plan: Plan, folder: Path) -> list[dict[str, float]]:
    capacity = LEAST_CAPACITY_MIB * MIB + plan.scale.rows[-1] * ROW_BYTES
    costs, there = [], 0
    async with open_store(folder / "data", capacity, inline=True) as store:
        for length in plan.scale.rows:
            plan.tell(f"filling a queue up to {length:,} entries")
            await fill(store, "archive", length - there)
            costs.append(await _costs(store))
            there = length
    return costs


async def _costs(store: Store) -> dict[str, float]:
    """Median microseconds of each operation."""
    base, admits, moves, looks, counts = instance_of(DATA, "1.2"), [], [], [], []
    for _ in range(BATCHES):
        spent, numbers = await store.write(partial(_timed, partial(admit_some, store, base, count=BATCH)))
        admits.append(spent / BATCH)
        spent, _ = await store.write(partial(_timed, partial(_moved, numbers)))
        moves.append(spent / BATCH)
        look = partial(waiting, destination=DESTINATION, state=DeliveryState.HELD, limit=BATCH_LIMIT)
        looks.append((await store.read(partial(_timed, look)))[0])
        count = partial(figures, destination=DESTINATION, state=DeliveryState.HELD)
        counts.append((await store.read(partial(_timed, count)))[0])
    names = ("admit one", "move one", f"wait for {BATCH_LIMIT}", "figures")
    return {name: median(found) for name, found in zip(names, (admits, moves, looks, counts), strict=True)}


def _moved(numbers: list[int], txn: Transaction) -> None:
    sent = Delivery(state=DeliveryState.SENT, since=2000.0, evidence="stored")
    for number in numbers:
        move(txn, number, DESTINATION, expected=(DeliveryState.HELD,), to=sent)


def _timed(work: Callable[[Transaction], T], txn: Transaction) -> tuple[float, T]:
    began = time.perf_counter()
    done = work(txn)
    return (time.perf_counter() - began) * 1e6, done
