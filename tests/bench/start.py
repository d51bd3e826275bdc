"""The section on starting: seconds until the first answer, and anonymous memory a while later, when nothing happens.

An empty store is made by the start itself. One with many instances pending is filled beforehand through the admission
transaction; its destination refuses connections, so that nothing is sent. Files are in the page cache.
"""

import time
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import trio

from edged.store.store import open_store
from tests.bench.measure import anonymous_mib
from tests.bench.plan import Plan
from tests.bench.sides import LEAST_CAPACITY_MIB, MIB, Edged, Server, Side, edged, free_port, fresh_folder, orthanc
from tests.bench.store_filling import ROW_BYTES, fill
from tests.bench.table import Figure, Row, Target, peak_mib, value

IDLE_AFTER_S = 2.0

SOON = Target("start, at most 1.5 s, is", value, 1.5, at_least=False)
SOON_AGAIN = Target("start, at most 3 s, is", value, 3.0, at_least=False)
SMALL = Target("memory, at most 80 MiB, is", peak_mib, 80.0, at_least=False)

_DOWN = """
[[destination]]
name = "archive"
url = "http://127.0.0.1:{port}/dicom-web"
"""


def start(plan: Plan) -> list[Row]:
    """Empty stores on both sides, and edged with instances pending."""
    empty: dict[Side, list[Figure]] = {side: [] for side in plan.sides}
    for _ in range(plan.repetitions):
        for side, figures in empty.items():
            with fresh_folder(plan.work) as folder:
                figures.append(_started(plan, edged(folder) if side is Side.EDGED else orthanc(folder)))
    judged = plan.scale.judged
    rows = [Row("start, empty store; then idle", "s", empty, (SOON, SMALL) if judged else ())]
    if Side.EDGED in plan.sides:
        pending = {Side.EDGED: _pending(plan)}
        name = f"start, {plan.scale.pending:,} pending; then idle"
        rows.append(Row(name, "s", pending, (SOON_AGAIN, SMALL) if judged else ()))
    return rows


def _pending(plan: Plan) -> list[Figure]:
    with fresh_folder(plan.work) as folder:
        capacity_mib = LEAST_CAPACITY_MIB + plan.scale.pending * ROW_BYTES // MIB
        plan.tell(f"filling a store with {plan.scale.pending:,} instances")
        trio.run(partial(_fill, folder / "data", capacity_mib * MIB, plan.scale.pending))
        how = Edged(capacity_mib, more=_DOWN.format(port=free_port()))
        return [_started(plan, edged(folder, how)) for _ in range(plan.repetitions)]


async def _fill(data_dir: Path, capacity: int, count: int) -> None:
    async with open_store(data_dir, capacity, inline=True) as store:
        await fill(store, "archive", count)


def _started(plan: Plan, running: AbstractContextManager[Server]) -> Figure:
    with running as server:
        time.sleep(IDLE_AFTER_S if plan.scale.judged else 0)
        figure = Figure(server.started_s, peak_mib=anonymous_mib(server.pid))
        plan.tell(f"start, {server.side}: {figure.value:.2f} s, {figure.peak_mib:.1f} MiB")
        return figure
