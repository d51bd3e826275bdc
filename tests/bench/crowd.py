"""The section on a crowd: the same upload alone, and beside idle, slow and stalled connections on the same server.

The crowd (`tests/support/crowd.py`) is 500 idle connections, 100 that dribble a body, as many as there are turns, and
50 that ask for a large instance and do not read it. The load is one connection with CT slices, one a request, then
four. The ratio of the two rates is the figure; a crowd that the server has let go before the end would make it a lie,
and ends the bench.
"""

from tests.bench.generator import Load, ready
from tests.bench.intake import name_of
from tests.bench.plan import WARM_UP_INSTANCES, Plan, warm_up
from tests.bench.sender import BOUNDARY, Job, Maker
from tests.bench.sides import LEAST_CAPACITY_MIB, MIB, PLAIN, BenchError, Edged, Server, Side, edged, fresh_folder
from tests.bench.table import Figure, Row, Target, value
from tests.bench.template import PLACEHOLDERS, Kind, make_template
from tests.bench.wire import Protocol, connect
from tests.support.crowd import Sizes, crowd

SIZES = Sizes(idle=500, slow=100, stalled=50)
FEW = Sizes(idle=10, slow=4, stalled=2)
CONNECTIONS = (1, 4)
LARGE_MIB = 64
"""What the stalled ask for: more than socket buffers hold."""

RUN = 1_000_000_000
HALF = Target("rate beside the crowd, at least 0.5 of the undisturbed, is", value, 0.5)


def beside_a_crowd(plan: Plan) -> list[Row]:
    """CT slices, alone and beside a crowd."""
    if Side.EDGED not in plan.sides:
        return []
    rows = []
    for connections in CONNECTIONS:
        load = Load(make_template(Kind.CT), plan.scale.ct, connections, 1)
        pairs = [_measure(plan, load) for _ in range(plan.repetitions)]
        name, alone, beside = name_of("CT 0.5 MB", connections, 1), *zip(*pairs, strict=True)
        rows += [
            Row(name, "instances/s", {Side.EDGED: [Figure(each) for each in alone]}),
            Row(f"{name}, beside a crowd", "instances/s", {Side.EDGED: [Figure(each) for each in beside]}),
            Row(
                f"{name}, beside a crowd and alone",
                "times",
                {Side.EDGED: [Figure(after / before) for before, after in pairs]},
                (HALF,) if plan.scale.judged else (),
            ),
        ]
    return rows


def _measure(plan: Plan, load: Load) -> tuple[float, float]:
    """Instances a second on a fresh server, alone and beside a crowd."""
    sizes = SIZES if plan.scale.judged else FEW
    needed = LEAST_CAPACITY_MIB + 2 * load.size * 5 // 4 // MIB + LARGE_MIB
    with fresh_folder(plan.work) as folder, edged(folder, Edged(needed, more=PLAIN.more)) as server:
        warm_up(server, Load(load.template, WARM_UP_INSTANCES, load.connections, 1))
        path = _store_large(server)
        alone = _rate(server, load)
        with crowd(server.port, sizes, path) as held:
            beside = _rate(server, load)
            if held.staying < sizes.total:
                raise BenchError(f"of a crowd of {sizes.total} only {held.staying} stayed")
    plan.tell(f"{load.connections} connections: {alone:.0f} alone, {beside:.0f} beside a crowd")
    return alone, beside


def _rate(server: Server, load: Load) -> float:
    with ready(server, load) as generator:
        return load.instances / generator.send()


def _store_large(server: Server) -> bytes:
    """Store one large instance; its path."""
    template = make_template(Kind.LARGE, LARGE_MIB)
    job = Job(
        port=server.port,
        path=server.path,
        protocol=Protocol.HTTP1,
        chunked=False,
        connections=1,
        requests=1,
        per_request=1,
        head=template.head.hex(),
        placeholders=(PLACEHOLDERS.instance, PLACEHOLDERS.series, PLACEHOLDERS.study),
        block_bytes=template.block_bytes,
        blocks=template.blocks,
        run=RUN,
        first=0,
    )
    wire = connect(job.protocol, job.port)
    for body in Maker(job).bodies(0):
        wire.post(job.path, BOUNDARY, body)
    wire.close()
    instance, series, study = (b"2.25.%d%010d%07d" % (kind, RUN, 0) for kind in (1, 2, 3))
    return b"/studies/%b/series/%b/instances/%b" % (study, series, instance)
