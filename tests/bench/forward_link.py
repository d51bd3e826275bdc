"""The section on a long link: what forwarding makes of it over HTTP/1.1 in parallel, over HTTP/2, and as it chooses.

Between the box and the sink is a proxy that delays (`delay_proxy`): round trips of 40 and 200 ms, LINK_MB_PER_S for all
connections together. Everything goes over TLS, where the sink offers both versions; its HTTP/2 windows are 16 MiB, and
once those that a peer has which never thought of them. The figure is MB of instances a second, the first ones received
included.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.forward import printing_its_port, received_and_sent, sink
from tests.bench.generator import Load
from tests.bench.intake import CONNECTIONS
from tests.bench.plan import MB, Plan
from tests.bench.sides import Side
from tests.bench.sink_http2 import WINDOW_BYTES
from tests.bench.table import Figure, Row, Target, value
from tests.bench.template import Kind, make_template
from tests.support.certificates import make_certificates

LINK_MB_PER_S = 20.0
ROUND_TRIPS_MS = (40, 200)
SMALL_WINDOW_BYTES = 65_535
"""HTTP/2's own (RFC 9113 6.5.2)."""

FILLED = Target("of what the link allows, at least 0.8, is", value, 0.8)
AS_GOOD = Target("beside the better of the two, at least 0.85, is", value, 0.85)


def link(plan: Plan) -> list[Row]:
    """CT slices over each round trip."""
    rows: list[Row] = []
    with TemporaryDirectory(prefix="edged-bench-", dir=plan.work) as folder:
        round_trips = ROUND_TRIPS_MS if plan.scale.judged else ROUND_TRIPS_MS[:1]
        for round_trip_ms in round_trips if Side.EDGED in plan.sides else ():
            rows += _over(plan, _Way(Path(folder), round_trip_ms))
    return rows


class _Way:
    """A round trip, and what is needed to send over it."""

    def __init__(self, folder: Path, round_trip_ms: int) -> None:
        self.round_trip_ms = round_trip_ms
        self.certificates = make_certificates(folder)

    def measure(self, plan: Plan, http: str, *, window: int = WINDOW_BYTES) -> list[Figure]:
        """MB a second, as often as the plan says."""
        load = Load(make_template(Kind.CT), plan.scale.ct, CONNECTIONS, 1)
        return [self._once(plan, load, http, window) for _ in range(plan.repetitions)]

    def _once(self, plan: Plan, load: Load, http: str, window: int) -> Figure:
        pair, way = self.certificates.server, (str(self.round_trip_ms / 2), str(LINK_MB_PER_S))
        more = f'http = "{http}"\ntls = {{ca = "{self.certificates.authority}"}}\n'
        with (
            sink("--tls", str(pair.certificate), str(pair.private_key), "--window", str(window)) as far,
            printing_its_port("tests.bench.delay_proxy", str(far), *way) as near,
        ):
            found = received_and_sent(plan, load, f"https://localhost:{near}/dicom-web", more)
        rate = found.value * load.template.size / MB
        plan.tell(f"{self.round_trip_ms} ms, http = {http}, window {window}: {rate:.1f} MB/s")
        return Figure(rate, found.cpu_s_per_gb, found.peak_mib)


def _over(plan: Plan, way: _Way) -> list[Row]:
    name = f"{way.round_trip_ms} ms, {LINK_MB_PER_S:g} MB/s"
    one, two, auto = (way.measure(plan, http) for http in ("1.1", "2", "auto"))
    auto_small = way.measure(plan, "auto", window=SMALL_WINDOW_BYTES)
    best = max(_rate(one), _rate(two))
    judged = plan.scale.judged
    return [
        Row(f"{name}, HTTP/1.1", "MB/s", {Side.EDGED: one}),
        Row(f"{name}, HTTP/2", "MB/s", {Side.EDGED: two}),
        Row(f"{name}, auto", "MB/s", {Side.EDGED: auto}),
        Row(f"{name}, auto, windows of 64 KiB", "MB/s", {Side.EDGED: auto_small}),
        _times(f"{name}, HTTP/1.1 beside the link", _rate(one) / LINK_MB_PER_S, (FILLED,) if judged else ()),
        _times(f"{name}, auto beside the better", _rate(auto) / best, (AS_GOOD,) if judged else ()),
        _times(
            f"{name}, auto, windows of 64 KiB, beside HTTP/1.1",
            _rate(auto_small) / _rate(one),
            (AS_GOOD,) if judged else (),
        ),
    ]


def _rate(figures: list[Figure]) -> float:
    return median(each.value for each in figures)


def _times(name: str, ratio: float, targets: tuple[Target, ...]) -> Row:
    return Row(name, "times", {Side.EDGED: [Figure(ratio)]}, targets)
