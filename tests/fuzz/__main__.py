"""The command line of the fuzz targets (tools/fuzz): which of them, how long, by which engine.

The exit status is 0 when no invariant was broken, and 1 when one was: the input is kept then, and a line says how to
try it alone. One that was mended goes into tests/fuzz/seeds/TARGET, where the tests try it for ever.
"""

import argparse
import logging
import os
import signal
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from types import FrameType

from tests.fuzz import coverage, mutation
from tests.fuzz.corpus import saved
from tests.fuzz.table import TARGETS
from tests.fuzz.target import Target

SECONDS = 60
SHOWN_LINES = 40


class Engine(StrEnum):
    """What makes the inputs."""

    ATHERIS = "atheris"
    HYPOTHESIS = "hypothesis"


def _arguments() -> argparse.Namespace:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edged-fuzz"
    parser = argparse.ArgumentParser(prog="tools/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="one or more of --list; all by default")
    parser.add_argument("--seconds", type=int, default=SECONDS, help=f"for each target (default {SECONDS})")
    parser.add_argument("--engine", type=Engine, choices=list(Engine), default=Engine.ATHERIS, help="default: atheris")
    parser.add_argument("--corpus", type=Path, default=cache, metavar="DIR", help=f"what is kept (default {cache})")
    parser.add_argument("--input", type=Path, metavar="FILE", help="try this input alone, on the one target")
    parser.add_argument("--list", action="store_true", help="the targets and their invariants")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - TARGETS.keys():
        parser.error(f"there is no target {', '.join(sorted(unknown))}")
    if arguments.input is not None and len(arguments.targets) != 1:
        parser.error("--input needs the one TARGET that it is for")
    return arguments


def main() -> int:
    """Run the command."""
    given = _arguments()
    targets = [TARGETS[name] for name in given.targets or TARGETS]
    if given.list:
        for target in targets:
            print(f"{target.name:22}{target.invariant}")
        return 0
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _end)  # as an exception, so that nothing is left running
    logging.disable(logging.CRITICAL)  # parsers log what strangers do wrong
    if given.input is not None:
        targets[0].check(given.input.read_bytes())
        print(f"{targets[0].name}: the invariant holds")
        return 0
    engine = given.engine
    if engine is Engine.ATHERIS and not coverage.install():
        engine = Engine.HYPOTHESIS
        print("atheris does not install here: hypothesis edits the known inputs instead, and sees no coverage")
    found = [target.name for target in targets if not _run(target, engine, given)]
    if found:
        print(f"broken: {', '.join(found)}")
    return int(bool(found))


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _run(target: Target, engine: Engine, given: argparse.Namespace) -> bool:
    """Run one target; whether its invariant held."""
    corpus, findings = given.corpus / "corpus" / target.name, given.corpus / "findings" / target.name
    for octets in [*target.seeds, *saved(target.name)]:
        coverage.keep(corpus, octets)
    if engine is Engine.ATHERIS:
        return _run_guided(target, corpus, findings, seconds=given.seconds)
    known = [path.read_bytes() for path in sorted(corpus.iterdir())]
    searched = mutation.search_for(target, known, given.seconds)
    print(f"{target.name}: {searched.inputs:,} inputs", flush=True)
    if searched.found is not None:
        traceback.print_exception(searched.error, limit=-8, file=sys.stdout)
        _tell(target, coverage.keep(findings, searched.found))
    return searched.found is None


def _run_guided(target: Target, corpus: Path, findings: Path, *, seconds: int) -> bool:
    guided = coverage.run(target, corpus, findings, seconds=seconds)
    print(f"{target.name}: {guided.inputs:,} inputs, {guided.covered:,} places reached", flush=True)
    if not guided.ended:
        print(*guided.told.splitlines()[:SHOWN_LINES], sep="\n")
    if guided.found is not None:
        _tell(target, guided.found)
    return guided.ended


def _tell(target: Target, found: Path) -> None:
    print(f"  {found.read_bytes()[:200]!r}\n  try it alone: tools/fuzz {target.name} --input {found}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
