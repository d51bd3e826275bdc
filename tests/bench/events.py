"""The section on events: 10,000 a second and a hundred followers, one of which reads nothing; then a thousand.

The box runs in a process of its own with all that `edged run` wires, and writes the events itself, in bulk groups as
admission and forwarding commit them; followers are another process. A lag is from the commit of the first event that a
report tells of to the moment when the follower has read the report. The figure is the worst of all reports of all
followers that read. Memory is RssAnon of the box: its peak, and what each of many silent followers costs.
"""

import json
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

from tests.bench.measure import anonymous_mib, cpu_s, peak_anonymous
from tests.bench.plan import Plan
from tests.bench.sides import BenchError, Side, fresh_folder
from tests.bench.table import Figure, Row, Target, peak_mib, value

BUSY, QUIET = "tests.bench.events_box", "tests.bench.events_followers"
RATE = 10_000
FOLLOWERS, MANY = 100, 1000
SETTLED_S = 3.0
MANY_RATE, MANY_S = 200, 3.0
"""A quiet box with a thousand followers: what a modality makes."""

FULL_S, QUICK_S, TINY_S = 20.0, 5.0, 0.2
TINY_FOLLOWERS = 4
KIB = 1024

SOON = Target("worst lag, at most 1 s, is", value, 1.0, at_least=False)
BOUNDED = Target("memory, at most 120 MiB, is", peak_mib, 120.0, at_least=False)
IN_TIME = Target("events written, at least 9,900 a second, are", value, 9_900.0)
SMALL = Target("memory of a follower, at most 64 KiB, is", value, 64.0, at_least=False)


@dataclass(frozen=True, slots=True)
class Lag:
    """What one run gave."""

    rate: float
    worst_s: float
    median_s: float
    cpu_share: float
    peak_mib: float


def events(plan: Plan) -> list[Row]:
    """The flood, then the crowd."""
    if Side.EDGED not in plan.sides:
        return []
    judged = plan.scale.judged
    seconds = TINY_S if not judged else FULL_S if plan.scale.repetitions > 1 else QUICK_S
    lags = [_flood(plan, seconds) for _ in range(plan.repetitions)]
    crowds = [_many(plan) for _ in range(plan.repetitions)]
    followers = FOLLOWERS if judged else TINY_FOLLOWERS
    many = MANY if judged else TINY_FOLLOWERS
    load = f"{RATE:,} events/s, {followers} followers, one stalled"
    rows = {
        (f"{load}: written", "events/s"): ([Figure(each.rate) for each in lags], (IN_TIME,)),
        (f"{load}: worst lag", "s"): ([Figure(each.worst_s, None, each.peak_mib) for each in lags], (SOON, BOUNDED)),
        (f"{load}: median lag", "s"): ([Figure(each.median_s) for each in lags], ()),
        (f"{load}: CPU", "cores"): ([Figure(each.cpu_share) for each in lags], ()),
        (f"{many:,} followers, each", "KiB"): ([Figure(each) for each, _ in crowds], (SMALL,)),
        (f"{many:,} followers, {MANY_RATE} events/s: worst lag", "s"): ([Figure(lag.worst_s) for _, lag in crowds], ()),
        (f"{many:,} followers, {MANY_RATE} events/s: CPU", "cores"): (
            [Figure(lag.cpu_share, None, lag.peak_mib) for _, lag in crowds],
            (BOUNDED,),
        ),
    }
    return [
        Row(name, unit, {Side.EDGED: figures}, targets if judged else ())
        for (name, unit), (figures, targets) in rows.items()
    ]


def _flood(plan: Plan, seconds: float) -> Lag:
    followers = FOLLOWERS if plan.scale.judged else TINY_FOLLOWERS
    with fresh_folder(plan.work) as folder, _box(folder) as box, _followers(box.port, followers, 1) as heard:
        lag = _run(box, heard, RATE, seconds)
    plan.tell(
        f"{lag.rate:.0f} events/s, lag {lag.median_s:.2f} s, at worst {lag.worst_s:.2f} s, {lag.peak_mib:.0f} MiB"
    )
    return lag


def _many(plan: Plan) -> tuple[float, Lag]:
    """What each of many followers costs, in KiB of the box's memory, and how long news take to reach all."""
    count = MANY if plan.scale.judged else TINY_FOLLOWERS
    with fresh_folder(plan.work) as folder, _box(folder) as box:
        with _followers(box.port, 1, 0):
            _settle(plan)
            alone = anonymous_mib(box.pid)
        with _followers(box.port, count, 0) as heard:
            _settle(plan)
            each = (anonymous_mib(box.pid) - alone) * KIB / count
            lag = _run(box, heard, MANY_RATE, MANY_S if plan.scale.judged else TINY_S)
    plan.tell(f"{count} followers: {each:.1f} KiB each, lag at worst {lag.worst_s:.2f} s")
    return each, lag


def _settle(plan: Plan) -> None:
    time.sleep(SETTLED_S if plan.scale.judged else 0)


@dataclass(frozen=True, slots=True)
class _Child:
    process: subprocess.Popen[str]
    said: str

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def port(self) -> int:
        return int(self.said.split()[1])

    def ask(self, line: str) -> Any:
        self.tell(line)
        return self.hear()

    def tell(self, line: str) -> None:
        print(line, file=_pipe(self.process.stdin), flush=True)

    def hear(self) -> Any:
        answered = _pipe(self.process.stdout).readline()
        if not answered:
            raise BenchError(f"{self.process.args!r} ended")
        return json.loads(answered)


def _run(box: _Child, heard: _Child, rate: int, seconds: float) -> Lag:
    """Let events happen and reports come."""
    with peak_anonymous(box.pid) as peak:
        used, began = cpu_s(box.pid), time.monotonic()
        commits = box.ask(f"{rate} {seconds}")
        came = heard.ask(str(commits[-1][0]))
        used = cpu_s(box.pid) - used
    took = commits[-1][1] - began
    lags = sorted(_lags(commits, came))
    return Lag(rate * seconds / took, lags[-1], lags[len(lags) // 2], used / (time.monotonic() - began), peak.mib)


def _lags(commits: list[list[float]], came: list[list[list[float]]]) -> Iterator[float]:
    """How long after its first event was committed each report came; each follower must have been told of all."""
    numbers = [number for number, _ in commits]
    before = 0 if not came[0] else min(first for first, _, _ in came[0]) - 1
    for reports in came:
        told = sorted((first, last) for first, last, _ in reports)
        if not told or told[0][0] != before + 1 or told[-1][1] != numbers[-1]:
            raise BenchError("a follower was not told of everything in time")
        if any(last + 1 < first for (_, last), (first, _) in pairwise(told)):
            raise BenchError("a follower missed something")
        for first, _, at in reports:
            yield at - commits[bisect_left(numbers, first)][1]


@contextmanager
def _box(folder: Path) -> Iterator[_Child]:
    with _child(BUSY, str(folder), "512") as child:
        yield child


@contextmanager
def _followers(port: int, count: int, stalled: int) -> Iterator[_Child]:
    with _child(QUIET, str(port), str(count), str(stalled)) as child:
        yield child


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[_Child]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = _pipe(process.stdout).readline()
            if not said:
                raise BenchError(f"{module} did not start")
            yield _Child(process, said)
        finally:
            process.kill()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
