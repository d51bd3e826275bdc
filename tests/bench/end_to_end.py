"""The section on the whole way: instances received, sent to an archive and committed to by it, beside Orthanc.

The archive is a second of the same kind: an edged (`evidence = "local"`), an Orthanc. The box sends while it receives,
and the figure counts from the first byte that it receives to the last commitment that it is given. Orthanc sends
nothing before it is told: when it has received all, one job of its own DICOMweb client sends them, and nothing is
committed. Beside the box stands that job alone in one row, and in the other one receiving as well.
"""

import http.client
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from tests.bench.forward import LOOK_EVERY_S, TO_SINK, WITHIN_S
from tests.bench.generator import Load, ready
from tests.bench.intake import CONNECTIONS
from tests.bench.measure import cpu_s, peak_anonymous
from tests.bench.plan import GB, Plan
from tests.bench.sides import (
    LEAST_CAPACITY_MIB,
    MIB,
    PLAIN,
    BenchError,
    Edged,
    Server,
    Side,
    ask,
    edged,
    fresh_folder,
    orthanc,
)
from tests.bench.table import Figure, Row, Target, value_ratio
from tests.bench.template import Kind, make_template

NEARLY = 0.7

TWICE = Target("rate, more than 2 times Orthanc's, is", value_ratio, 2.0)


def end_to_end(plan: Plan) -> list[Row]:
    """CT slices to an archive."""
    load = Load(make_template(Kind.CT), plan.scale.ct, CONNECTIONS, 1)
    in_all: dict[Side, list[Figure]] = {side: [] for side in plan.sides}
    beside_job: dict[Side, list[Figure]] = {side: [] for side in plan.sides}
    archives: dict[Side, Callable[[Path], AbstractContextManager[Server]]] = {
        Side.EDGED: lambda folder: edged(folder, _holding(load, PLAIN.more)),
        Side.ORTHANC: orthanc,
    }
    measures = {Side.EDGED: _by_edged, Side.ORTHANC: _by_orthanc}
    for _ in range(plan.repetitions):
        for side in plan.sides:
            with fresh_folder(plan.work) as folder, archives[side](folder) as archive:
                whole, job = measures[side](plan, load, archive)
                if archive.count() != load.instances:
                    raise BenchError(f"of {load.instances} instances the archive has {archive.count()}")
            in_all[side].append(whole)
            beside_job[side].append(job)
            plan.tell(f"end to end, {side}: {whole.value:.1f} instances/s; sending {job.value:.1f}")
    targets = (TWICE,) if plan.scale.judged else ()
    return [
        Row("CT 0.5 MB, received, sent and committed", "instances/s", in_all, targets),
        Row("the same, of Orthanc only its job", "instances/s", beside_job, targets),
    ]


def _holding(load: Load, more: str) -> Edged:
    return Edged(LEAST_CAPACITY_MIB + load.size * 5 // 4 // MIB, more=more)


def _by_edged(plan: Plan, load: Load, archive: Server) -> tuple[Figure, Figure]:
    """The box does all at the same time."""
    more = TO_SINK.format(url=f"http://127.0.0.1:{archive.port}", more="").replace('["stored"]', '["dicomweb"]')
    with (
        fresh_folder(plan.work) as folder,
        edged(folder, _holding(load, more)) as server,
        ready(server, load) as generator,
        peak_anonymous(server.pid) as peak,
    ):
        began, used = time.monotonic(), cpu_s(server.pid)
        generator.send()
        _wait_for(load.instances, lambda: int(server.state()["destinations"][0]["committed"]), began + WITHIN_S)
        seconds, used = time.monotonic() - began, cpu_s(server.pid) - used
    figure = Figure(load.instances / seconds, used / (load.size / GB), peak.mib)
    return figure, figure


def _by_orthanc(plan: Plan, load: Load, archive: Server) -> tuple[Figure, Figure]:
    """In all, and the job alone."""
    with (
        fresh_folder(plan.work) as folder,
        orthanc(folder) as server,
        ready(server, load) as generator,
        peak_anonymous(server.pid) as peak,
    ):
        began, used = time.monotonic(), cpu_s(server.pid)
        generator.send()
        received = time.monotonic()
        _tell(server, "PUT", "/dicom-web/servers/archive", {"Url": f"http://127.0.0.1:{archive.port}/dicom-web/"})
        studies = json.loads(ask(server.port, "GET", "/studies"))
        told, used_before = time.monotonic(), cpu_s(server.pid)
        _tell(server, "POST", "/dicom-web/servers/archive/stow", {"Resources": studies, "Synchronous": False})
        # Not by Orthanc's word for the end of its job, which it gives twice a second.
        _wait_for(load.instances, archive.count, told + WITHIN_S)
        ended, used_after = time.monotonic(), cpu_s(server.pid)
    gb = load.size / GB
    return (
        Figure(load.instances / (received - began + ended - told), (used_after - used) / gb, peak.mib),
        Figure(load.instances / (ended - told), (used_after - used_before) / gb, peak.mib),
    )


def _wait_for(instances: int, count: Callable[[], int], deadline: float) -> None:
    """Wait until all are counted; near the end it is looked more often, or a look would be a part of the figure."""
    while (counted := count()) < instances:
        if time.monotonic() > deadline:
            raise BenchError(f"of {instances} instances {counted} have come to their end")
        time.sleep(LOOK_EVERY_S if counted < instances * NEARLY else LOOK_EVERY_S / 10)


def _tell(server: Server, method: str, path: str, what: dict[str, object]) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=WITHIN_S)) as asked:
        asked.request(method, path, json.dumps(what).encode(), {"Content-Type": "application/json"})
        answer = asked.getresponse()
        said = answer.read()
        if answer.status != http.client.OK:
            raise BenchError(f"{method} {path}: {answer.status} {said[:300]!r}")
