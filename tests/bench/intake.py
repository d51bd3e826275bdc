"""The sections on durable intake by STOW-RS: CT slices, small objects, one large instance, on both sides."""

from tests.bench.generator import Load
from tests.bench.plan import Cell, Plan, measure_cells
from tests.bench.table import Row, Target, cpu_ratio, peak_mib, value_ratio
from tests.bench.template import Kind, make_template

CONNECTIONS = 4
"""From so many connections on the targets hold; small objects are sent over so many alone."""

TWICE = Target("rate, at least 2 times Orthanc's, is", value_ratio, 2.0)
EIGHT_TIMES = Target("rate, at least 8 times Orthanc's, is", value_ratio, 8.0)
A_THIRD = Target("CPU, at most 0.33 of Orthanc's, is", cpu_ratio, 1 / 3, at_least=False)
BOUNDED = Target("memory, at most 120 MiB, is", peak_mib, 120.0, at_least=False)


def intake(plan: Plan) -> list[Row]:
    """CT slices of half a megabyte."""
    template = make_template(Kind.CT)
    return measure_cells(
        plan,
        [
            Cell(
                name_of("CT 0.5 MB", connections, per_request),
                Load(template, plan.scale.ct, connections, per_request),
                targets=(TWICE, A_THIRD) if connections >= CONNECTIONS else (),
            )
            for connections in plan.scale.connections
            for per_request in plan.scale.per_request
        ],
    )


def small(plan: Plan) -> list[Row]:
    """Objects of 10 KB."""
    template = make_template(Kind.SMALL)
    return measure_cells(
        plan,
        [
            Cell(
                name_of("10 KB", CONNECTIONS, per_request),
                Load(template, plan.scale.small, CONNECTIONS, per_request),
                targets=(target,),
            )
            for per_request, target in ((1, TWICE), (100, EIGHT_TIMES))
        ],
    )


def large(plan: Plan) -> list[Row]:
    """One multi-frame instance, with a length and chunked."""
    template = make_template(Kind.LARGE, plan.scale.large_mib)
    size = template.size // 1_000_000
    return measure_cells(
        plan,
        [
            Cell(
                f"one of {size} MB, {'chunked' if chunked else 'Content-Length'}",
                Load(template, 1, 1, 1, chunked=chunked),
                "MB/s",
                targets=(TWICE, BOUNDED),
            )
            for chunked in (False, True)
        ],
    )


def name_of(what: str, connections: int, per_request: int) -> str:
    """Name a load."""
    return f"{what}, {connections} connection{'s' * (connections > 1)}, {per_request} a request"
