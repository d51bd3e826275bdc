"""The command line of the harness (tools/powercut): record, look at many states, restart on some, say what was seen.

The exit status is 0 when every state was as it must be and 1 when one was not; then the recording is kept, and a line
for each says how to look at it alone. SIGINT and SIGTERM end a run with the tally so far.
"""

import argparse
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from tests.powercut.broken import Fault, program
from tests.powercut.examine import Examiner, Wanted
from tests.powercut.record import Recording, Scenario, load_recording
from tests.powercut.rounds import A_RECORDING, Recorder, rounds
from tests.powercut.sparse import copy_sparse
from tests.powercut.states import stopped_at
from tests.powercut.tally import Tally
from tests.support.cli_kit import PROGRAM

LONG_STATES = 1_000_000
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
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _end)  # as an exception, so that nothing is left behind
    run = _Run(arguments)
    try:
        run.go()
    finally:
        print(f"{run.told()} ({run.total.styles_told()})")
    return int(bool(run.total.failures))


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


class _Run:
    """One run of the command, with what it has seen."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.total = Tally()
        self._arguments = arguments
        self._began = time.monotonic()

    def go(self) -> None:
        """Look at what the arguments say."""
        given = self._arguments
        with Examiner(self.total, self._progress) as examiner:
            if given.recording is None:
                self._record(examiner)
                return
            recording = load_recording(given.recording)
            if given.state is not None:
                self._look_alone(examiner, recording)
            else:
                examiner.examine(recording, Wanted(given.seed, given.states, given.daemons))
                _tell(recording, given.seed, self.total)

    def told(self) -> str:
        """Return the tally as a line."""
        return self.total.told(time.monotonic() - self._began)

    def _record(self, examiner: Examiner) -> None:
        """Record and examine until there were enough states, or one was bad."""
        given = self._arguments
        states = LONG_STATES if given.long else given.states
        whole = Wanted(given.seed, states, 0 if given.broken else given.daemons)
        scenarios = [given.scenario] if given.scenario else list(Scenario)
        with Recorder(given.work, program(given.broken) if given.broken else PROGRAM) as recorder:
            for recording, wanted in recorder.recordings(rounds(whole, scenarios)):
                examiner.examine(recording, wanted)
                _tell(recording, wanted.seed, self.total)
                if self.total.failures:
                    recorder.keep(recording)
                    return

    def _look_alone(self, examiner: Examiner, recording: Recording) -> None:
        """Look at one state alone, and leave it behind if that is wanted."""
        given = self._arguments
        examiner.look_alone(recording, given.seed, given.state)
        _tell(recording, given.seed, self.total)
        if given.keep is not None:
            with stopped_at(recording, given.seed, given.state) as (state, _, root):
                copy_sparse(root, given.keep)
                print(f"the disk as it was left at record {state.place} is in {given.keep}")

    def _progress(self, what: str) -> None:
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{what}: {self.told()}", end=end, file=sys.stderr, flush=True)


def _tell(recording: Recording, seed: int, total: Tally) -> None:
    for failure in total.failures[:SHOWN]:
        print(f"state {failure.state.number} at record {failure.state.place} ({failure.cut}):")
        print(*(f"  {problem}" for problem in failure.problems[:SHOWN]), sep="\n")
        again = f"--recording {recording.folder} --seed {seed} --state {failure.state.number}"
        print(f"  look again: tools/powercut {again} --keep DIR")


if __name__ == "__main__":
    sys.exit(main())
