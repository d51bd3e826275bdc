"""The section on a slow disk: the same intake where every flush takes 20 ms longer, as on an SD card or eMMC.

A small library is loaded into the server (`slow_fsync.c`, compiled with `cc`). LMDB flushes twice in a commit, its data
and its meta page, so one commit takes at least 40 ms here; only a commit that is shared makes eight connections faster
than one. Orthanc, which flushes each file, runs under the same library.

edged's file is in the page cache when the load begins. The host of a virtual machine takes back memory that is not in
use; asked for it anew, page by page, a commit of four MB took 6 ms more or not, as it pleased. Flushes are measured.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.generator import Load
from tests.bench.intake import name_of
from tests.bench.plan import Cell, Plan, measure_cells
from tests.bench.sides import Side
from tests.bench.table import Figure, Row, Target, value
from tests.bench.template import Kind, make_template

FLUSH_MS = 20
ONE, MANY = 1, 8
LIGHTER = 4
"""One connection sends a fourth of the load: it would take too long."""

_SOURCE = Path(__file__).with_name("slow_fsync.c")
SHARED = Target(f"rate of {MANY} connections, at least 6 times that of one, is", value, 6.0)


def slow_disk(plan: Plan) -> list[Row]:
    """CT slices, one a request, over one connection and over eight."""
    template = make_template(Kind.CT)
    with TemporaryDirectory(prefix="edged-bench-", dir=plan.work) as folder:
        environment = {"LD_PRELOAD": str(_library(Path(folder))), "BENCH_FLUSH_MS": str(FLUSH_MS)}
        cells = [
            Cell(
                f"{name_of('CT 0.5 MB', connections, 1)}, flush +{FLUSH_MS} ms",
                Load(template, plan.scale.ct // (LIGHTER if connections == ONE else 1), connections, 1),
                environment=environment,
                in_cache=True,
            )
            for connections in (ONE, MANY)
        ]
        rows = measure_cells(plan, cells)
    targets = (SHARED,) if plan.scale.judged else ()
    ratios = {side: [_ratio(rows, side)] for side in plan.sides}
    return [*rows, Row(f"{MANY} connections beside {ONE}", "times", ratios, targets)]


def _ratio(rows: list[Row], side: Side) -> Figure:
    one, many = (row.median(side) for row in rows)
    assert one is not None
    assert many is not None
    return Figure(many.value / one.value)


def _library(folder: Path) -> Path:
    library = folder / "slow_fsync.so"
    command = ["cc", "-Wall", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library
