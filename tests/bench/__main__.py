"""The command line of the bench (tools/bench): run sections, print a table for each, judge the targets.

`tools/bench intake` alone takes a few minutes; `--quick` runs smaller loads once, `--only edged` leaves the other side
out, `--connections 4 8` narrows the loads, `--json FILE` writes every repetition. The exit status is 1 when a target
was missed, 2 when the bench itself failed. The server and the load share the machine's cores, so read ratios and CPU
seconds, not absolutes.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.bench.churn import churn
from tests.bench.crowd import beside_a_crowd
from tests.bench.end_to_end import end_to_end
from tests.bench.events import events
from tests.bench.forward import forward
from tests.bench.forward_cost import cost
from tests.bench.forward_link import link
from tests.bench.intake import intake, large, small
from tests.bench.plan import FULL, QUICK, TINY, Plan
from tests.bench.protocols import protocols
from tests.bench.queue_cost import queue
from tests.bench.sides import BenchError, Side
from tests.bench.slow_disk import slow_disk
from tests.bench.start import start
from tests.bench.table import Row, table, to_json

SECTIONS: dict[str, Callable[[Plan], list[Row]]] = {
    "intake": intake,
    "small": small,
    "large": large,
    "protocols": protocols,
    "forward": forward,
    "link": link,
    "cost": cost,
    "end-to-end": end_to_end,
    "churn": churn,
    "start": start,
    "queue": queue,
    "slow-disk": slow_disk,
    "crowd": beside_a_crowd,
    "events": events,
}
ALL = "all"
FAILED = 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    parser.add_argument("sections", nargs="*", default=[ALL], help=f"{', '.join(SECTIONS)} or {ALL} (the default)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", dest="scale", action="store_const", const=QUICK, default=FULL, help="smaller, once")
    size.add_argument("--tiny", dest="scale", action="store_const", const=TINY, help="no figures: does it run at all")
    parser.add_argument("--repetitions", type=int, help="of every load on every side; the median is shown")
    parser.add_argument("--only", type=Side, choices=list(Side), help="one side alone; ratios are then not judged")
    parser.add_argument("--connections", type=int, nargs="+", metavar="N", help="instead of the loads' own")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every repetition, for a program")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where servers keep their data (default: temporary)")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - {*SECTIONS, ALL}:
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    return arguments


def main() -> int:
    """Run the command."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left behind
    scale = arguments.scale
    if arguments.connections:
        scale = replace(scale, connections=tuple(arguments.connections))
    plan = Plan(
        scale=scale,
        repetitions=arguments.repetitions or scale.repetitions,
        sides=(arguments.only,) if arguments.only else tuple(Side),
        work=arguments.work,
    )
    wanted = list(SECTIONS) if ALL in arguments.sections else arguments.sections
    done: dict[str, list[Row]] = {}
    for name in wanted:
        done[name] = SECTIONS[name](plan)
        print(f"## {name}\n\n{table(done[name])}\n", flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps({each: to_json(rows) for each, rows in done.items()}, indent=1))
    return int(any(row.is_missed for rows in done.values() for row in rows))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        sys.exit(FAILED)
