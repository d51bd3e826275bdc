"""What a run of the bench is given, and how one load is measured on one side.

A server is fresh for every repetition of every load: a new folder, a short unmeasured load to warm it up, the load, and
its own count of what it has. Repetitions alternate between the sides, so that what the machine does meanwhile hits
both.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.bench.generator import Load, ready
from tests.bench.measure import cpu_s, peak_anonymous
from tests.bench.sides import (
    LEAST_CAPACITY_MIB,
    MIB,
    PLAIN,
    BenchError,
    Edged,
    Server,
    Side,
    edged,
    fresh_folder,
    orthanc,
)
from tests.bench.table import Figure, Row, Target
from tests.bench.template import Kind, make_template

WARM_UP_INSTANCES = 16
READ_BYTES = 1 << 20
GB, MB = 1e9, 1e6


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the loads are, and whether targets are judged on them."""

    ct: int
    small: int
    large_mib: int
    churn_mib: int
    turnovers: int
    pending: int
    rows: tuple[int, ...]
    repetitions: int = 1
    connections: tuple[int, ...] = (1, 4, 8)
    per_request: tuple[int, ...] = (1, 10, 100)
    judged: bool = True


FULL = Scale(500, 2000, 800, 1024, 10, 100_000, (100_000, 1_000_000), repetitions=3)
QUICK = Scale(100, 400, 200, 512, 4, 10_000, (10_000, 100_000))
TINY = Scale(4, 4, 4, 512, 1, 40, (40, 400), connections=(2,), per_request=(2,), judged=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """One run of the bench."""

    scale: Scale
    repetitions: int
    sides: tuple[Side, ...]
    work: Path | None = None

    def tell(self, text: str) -> None:
        """Say on the error output what is going on."""
        print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Cell:
    """One load of a section; `unit` is instances/s or MB/s, `environment` that of the servers.

    `in_cache`: edged's data file is in the page cache before the load begins.
    """

    name: str
    load: Load
    unit: str = "instances/s"
    targets: Sequence[Target] = ()
    how: Edged = PLAIN
    environment: Mapping[str, str] = field(default_factory=dict)
    sides: tuple[Side, ...] = tuple(Side)
    in_cache: bool = False


def measure_cells(plan: Plan, cells: Sequence[Cell]) -> list[Row]:
    """Measure every load on every side, as often as the plan says, the sides in turn."""
    figures: list[dict[Side, list[Figure]]] = [
        {side: [] for side in plan.sides if side in cell.sides} for cell in cells
    ]
    for repetition in range(plan.repetitions):
        for cell, found in zip(cells, figures, strict=True):
            for side, taken in found.items():
                taken.append(_measure(plan, cell, side))
                plan.tell(f"{repetition + 1}/{plan.repetitions} {cell.name}, {side}: {taken[-1].value:.1f} {cell.unit}")
    judged = plan.scale.judged
    return [
        Row(cell.name, cell.unit, found, cell.targets if judged else ())
        for cell, found in zip(cells, figures, strict=True)
    ]


def _measure(plan: Plan, cell: Cell, side: Side) -> Figure:
    """Run one load once on a fresh server."""
    load = cell.load
    with fresh_folder(plan.work) as folder, _server(folder, cell, side) as server:
        if plan.scale.judged:
            warm_up(server, replace(load, template=make_template(Kind.CT), wanted=WARM_UP_INSTANCES, per_request=1))
        before = server.count()
        os.sync()
        if cell.in_cache and side is Side.EDGED:
            _read_through(folder / "data" / "store" / "data.mdb")
        with ready(server, load) as generator, peak_anonymous(server.pid) as peak:
            used = cpu_s(server.pid)
            seconds = generator.send()
            used = cpu_s(server.pid) - used
        if server.count() - before != load.instances:
            raise BenchError(f"{side} has {server.count() - before} of {load.instances} instances")
    done = load.size / MB if cell.unit == "MB/s" else load.instances
    return Figure(done / seconds, used / (load.size / GB), peak.mib)


def _read_through(file: Path) -> None:
    with file.open("rb", buffering=0) as opened:
        while opened.read(READ_BYTES):
            pass


def warm_up(server: Server, load: Load) -> None:
    """Send a load that is not measured."""
    with ready(server, load) as generator:
        generator.send()


def _server(folder: Path, cell: Cell, side: Side) -> AbstractContextManager[Server]:
    if side is Side.ORTHANC:
        return orthanc(folder, cell.environment)
    needed = LEAST_CAPACITY_MIB + cell.load.size * 5 // 4 // MIB
    return edged(folder, replace(cell.how, capacity_mib=max(cell.how.capacity_mib, needed)), cell.environment)
