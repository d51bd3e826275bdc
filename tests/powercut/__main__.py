"""The command line of the harness (tools/powercut): record, look at many states, restart on some, say what was seen.

The exit status is 0 when every state was as it must be and 1 when one was not; then the recording is kept, and a line
for each says how to look at it alone.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.powercut.broken import Fault, program
from tests.powercut.examine import Examiner, Wanted
from tests.powercut.record import Recording, Scenario, load_recording, record
from tests.powercut.restart import copy_sparse
from tests.powercut.states import Tally, stopped_at
from tests.support.cli_kit import PROGRAM

LONG_STATES = 1_000_000
A_RECORDING = 4_000
"""In a long run: after so many states the load is recorded anew, with the next seed."""

SHOWN = 10


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/powercut", description=__doc__)
    parser.add_argument("--states", type=int, default=2000, help="how many states to look at (default 2000)")
    parser.add_argument("--daemons", type=int, default=30, help="on how many a whole daemon is started (default 30)")
    parser.add_argument("--seed", type=int, default=1, help="decides the load and every cut (default 1)")
    parser.add_argument("--scenario", type=Scenario, choices=list(Scenario), help="one of them alone; both by default")
    parser.add_argument("--long", action="store_true", help=f"{LONG_STATES} states, recorded anew every {A_RECORDING}")
    parser.add_argument("--broken", type=Fault, choices=list(Fault), help="record a build that is broken on purpose")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where recordings are made (default: temporary files)")
    parser.add_argument("--recording", type=Path, metavar="DIR", help="look at a recording that was kept")
    parser.add_argument("--state", type=int, metavar="N", help="look at one state of it alone")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave that state behind as a folder")
    arguments = parser.parse_args()
    if arguments.state is not None and arguments.recording is None:
        parser.error("--state needs the --recording that it belongs to")
    return arguments


def main() -> int:
    """Run the command."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that nothing is left behind
    began = time.monotonic()
    with Examiner() as examiner:
        if arguments.recording is not None:
            recording = load_recording(arguments.recording)
            if arguments.state is not None:
                total = _one(examiner, recording, arguments)
            else:
                total = examiner.examine(recording, Wanted(arguments.seed, arguments.states, arguments.daemons))
                _tell(recording, arguments.seed, total)
        else:
            total = _recorded(examiner, arguments)
    print(_summary(total, time.monotonic() - began))
    return int(bool(total.failures))


def _recorded(examiner: Examiner, arguments: argparse.Namespace) -> Tally:
    """Record and examine until there were enough states, or one was bad."""
    total = Tally()
    chosen = PROGRAM if arguments.broken is None else program(arguments.broken)
    for scenario, wanted in _rounds(arguments):
        folder = Path(tempfile.mkdtemp(prefix="edged-powercut-recording-", dir=arguments.work))
        try:
            recording = record(folder, scenario, wanted.seed, program=chosen)
            total.add(examiner.examine(recording, wanted))
            _tell(recording, wanted.seed, total)
        finally:
            if not total.failures:
                shutil.rmtree(folder)
        if total.failures:
            break
    return total


def _rounds(arguments: argparse.Namespace) -> Iterator[tuple[Scenario, Wanted]]:
    """Each recording of a run, with what is wanted of it."""
    scenarios = [arguments.scenario] if arguments.scenario else list(Scenario)
    states = LONG_STATES if arguments.long else arguments.states
    size = min(A_RECORDING, -(-states // len(scenarios)))
    count = -(-states // size)
    for number in range(count):
        share = min(size, states - number * size)
        daemons = (
            0 if arguments.broken else arguments.daemons * (number + 1) // count - arguments.daemons * number // count
        )
        yield scenarios[number % len(scenarios)], Wanted(arguments.seed + number // len(scenarios), share, daemons)


def _one(examiner: Examiner, recording: Recording, arguments: argparse.Namespace) -> Tally:
    """Look at one state alone, and leave it behind if that is wanted."""
    tally = examiner.look_alone(recording, arguments.seed, arguments.state)
    _tell(recording, arguments.seed, tally)
    if arguments.keep is not None:
        with stopped_at(recording, arguments.seed, arguments.state) as (state, _, root):
            copy_sparse(root, arguments.keep)
            print(f"the disk as it was left at record {state.place} is in {arguments.keep}")
    return tally


def _tell(recording: Recording, seed: int, total: Tally) -> None:
    for failure in total.failures[:SHOWN]:
        print(f"state {failure.state.number} at record {failure.state.place} ({failure.cut}):")
        print(*(f"  {problem}" for problem in failure.problems[:SHOWN]), sep="\n")
        again = f"--recording {recording.folder} --seed {seed} --state {failure.state.number}"
        print(f"  look again: tools/powercut {again} --keep DIR")


def _summary(total: Tally, seconds: float) -> str:
    styles = ", ".join(f"{count} {style}" for style, count in sorted(total.styles.items()))
    return (
        f"{total.states} states, {len(total.signatures)} distinct, {total.restarted} restarted, "
        f"{len(total.failures)} bad, {seconds:.0f} s ({styles})"
    )


if __name__ == "__main__":
    sys.exit(main())
