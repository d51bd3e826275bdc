"""The section on forwarding: from the first byte received by the box until the sink has said "stored" of everything.

Intake and forwarding share the box then, as they do beside a modality. The sink is a process of its own that stores
nothing (`sink`), and its word is taken as proof (`commitment = ["stored"]`).
"""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from subprocess import PIPE, Popen

from tests.bench.generator import Load, ready
from tests.bench.intake import CONNECTIONS, name_of
from tests.bench.measure import cpu_s, peak_anonymous
from tests.bench.plan import GB, Plan, warm_up
from tests.bench.protocols import MOST_PER_REQUEST
from tests.bench.sides import LEAST_CAPACITY_MIB, MIB, BenchError, Edged, Server, Side, edged, fresh_folder
from tests.bench.table import Figure, Row
from tests.bench.template import Kind, make_template

LOOK_EVERY_S = 0.05
WITHIN_S = 300.0

TO_SINK = """
[[destination]]
name = "sink"
url = "{url}"
commitment = ["stored"]
{more}
"""


def forward(plan: Plan) -> list[Row]:
    """CT slices and small objects, one and ten a request."""
    scale = plan.scale
    loads = {
        name_of(what, CONNECTIONS, per_request): Load(make_template(kind), wanted, CONNECTIONS, per_request)
        for what, kind, wanted in (("CT 0.5 MB", Kind.CT, scale.ct), ("10 KB", Kind.SMALL, scale.small))
        for per_request in scale.per_request
        if per_request <= MOST_PER_REQUEST
    }
    figures: dict[str, list[Figure]] = {name: [] for name in loads}
    for _ in range(plan.repetitions if Side.EDGED in plan.sides else 0):
        for name, load in loads.items():
            figures[name].append(_measure(plan, load))
            plan.tell(f"forward {name}: {figures[name][-1].value:.1f} instances/s")
    return [Row(f"{name}, received and sent", "instances/s", {Side.EDGED: found}) for name, found in figures.items()]


def _measure(plan: Plan, load: Load) -> Figure:
    with sink() as port:
        return received_and_sent(plan, load, f"http://127.0.0.1:{port}/dicom-web")


def received_and_sent(plan: Plan, load: Load, url: str, more: str = "") -> Figure:
    """Instances a second, from the first byte that a fresh box receives to the last instance that was sent to `url`.

    `more`: further settings of the destination.
    """
    capacity = LEAST_CAPACITY_MIB + load.size * 5 // 4 // MIB
    with ExitStack() as stack:
        folder = stack.enter_context(fresh_folder(plan.work))
        server = stack.enter_context(edged(folder, Edged(capacity, more=TO_SINK.format(url=url, more=more))))
        warm = replace(load, wanted=min(load.wanted, 16), per_request=1)
        warm_up(server, warm)
        _wait_sent(server, warm.instances)
        with ready(server, load) as generator, peak_anonymous(server.pid) as peak:
            began, used = time.monotonic(), cpu_s(server.pid)
            generator.send()
            _wait_sent(server, warm.instances + load.instances)
            seconds, used = time.monotonic() - began, cpu_s(server.pid) - used
    return Figure(load.instances / seconds, used / (load.size / GB), peak.mib)


def _wait_sent(server: Server, count: int) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        destination = server.state()["destinations"][0]
        if destination["sent"] + destination["committed"] == count:
            return
        if time.monotonic() > deadline:
            raise BenchError(f"not all {count} instances were sent: {destination}")
        time.sleep(LOOK_EVERY_S)


def sink(*arguments: str) -> AbstractContextManager[int]:
    """Run a sink; gives its port."""
    return printing_its_port("tests.bench.sink", *arguments)


@contextmanager
def printing_its_port(module: str, *arguments: str) -> Iterator[int]:
    """Run a module that prints the port on which it listens."""
    with Popen([sys.executable, "-m", module, *arguments], stdout=PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()
