"""The section on edged's other protocols: the same CT slices over TLS and over HTTP/2, beside plain HTTP/1.1.

The generator speaks TLS by Python's ssl and HTTP/2 by h2, with one request at a time on each connection. Its own work
is then of the same order as the server's, so the CPU column says more than the rate.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.generator import Load
from tests.bench.intake import name_of
from tests.bench.plan import Cell, Plan, measure_cells
from tests.bench.sides import PLAIN, Edged, Side
from tests.bench.table import Row
from tests.bench.template import Kind, make_template
from tests.bench.wire import Protocol
from tests.support.certificates import make_certificates

MOST_PER_REQUEST = 10
"""More a request say nothing new about a protocol."""

_ENCRYPTED = {Protocol.HTTP1_TLS, Protocol.HTTP2_TLS}


def protocols(plan: Plan) -> list[Row]:
    """CT slices over each protocol."""
    template = make_template(Kind.CT)
    with TemporaryDirectory(prefix="edged-bench-", dir=plan.work) as folder:
        pair = make_certificates(Path(folder)).server
        files = f'certificate = "{pair.certificate}"\nprivate_key = "{pair.private_key}"\n'
        encrypted = Edged(origin=files, scheme="https")
        return measure_cells(
            plan,
            [
                Cell(
                    name_of(f"CT over {protocol}", connections, per_request),
                    Load(template, plan.scale.ct, connections, per_request, protocol),
                    how=encrypted if protocol in _ENCRYPTED else PLAIN,
                    sides=(Side.EDGED,),
                )
                for protocol in Protocol
                for connections in plan.scale.connections
                for per_request in plan.scale.per_request
                if per_request <= MOST_PER_REQUEST
            ],
        )
