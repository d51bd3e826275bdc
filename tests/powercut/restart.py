"""Whole daemons on states after a power cut: each must start, serve, and finish the work that was left.

A state is copied out, an `edged run` is started on it with the archive of the recording, and when it says that nothing
is left to send or to prove it is stopped and its store is looked at: everything that had been acknowledged is there,
and committed where there is somebody to commit to it, and no chunk is left without an owner.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edged.store.counters import standing
from edged.store.environment import opened, owned
from edged.store.records import Standing
from edged.store.schema import INSTANCES, UNOWNED
from tests.powercut.boxes import DATA, Daemon, is_finished, running, wait_until
from tests.powercut.load import instances
from tests.powercut.promises import Promises, promised
from tests.powercut.record import Recording, Scenario
from tests.powercut.sparse import copy_sparse
from tests.powercut.states import stopped_at
from tests.powercut.tally import Failure, Tally
from tests.powercut.verify import Verifier


def restart(recording: Recording, seed: int, number: int, *, archive: str | None) -> Tally:
    """Let a daemon go on from one state; `archive` is the URL of the recording's archive."""
    tally = Tally(restarted=1)
    folder = Path(tempfile.mkdtemp(prefix="edged-powercut-restart-"))
    try:
        with stopped_at(recording, seed, number) as (state, promises, root):
            copy_sparse(root, folder / "disk")
        try:
            problems = _run(recording, folder, promises, archive=archive)
        except AssertionError as error:
            problems = [str(error), (folder / "box.log").read_text()[-2000:]]
        if problems:
            tally.failures.append(Failure(state, "a daemon", tuple(problems)))
    finally:
        shutil.rmtree(folder)
    return tally


def _run(recording: Recording, folder: Path, promises: Promises, *, archive: str | None) -> list[str]:
    data = folder / "disk" / DATA
    box = Daemon(folder, "box", data, archive)
    with running(box):
        wait_until(box, is_finished, "the end of forwarding")
    verifier = Verifier(instances(recording.seed), int(recording.scenario is Scenario.FORWARDING))
    return verifier.problems(data, promises) or list(left_over(data, recording.scenario))


def left_over(data: Path, scenario: Scenario) -> Iterator[str]:
    """Say what work is left in the store of a box that had said that it was done."""
    with owned(data), opened(data, None) as environment, environment.reading() as txn:
        expected = Standing.COMMITTED if scenario is Scenario.FORWARDING else Standing.HELD
        if txn.count(INSTANCES) != txn.counter(standing(expected)):
            yield f"of {txn.count(INSTANCES)} instances {txn.counter(standing(expected))} are {expected}"
        if txn.count(UNOWNED):
            yield f"the chunks of {txn.count(UNOWNED)} numbers were not swept"


def missing_in_archive(recording: Recording) -> list[str]:
    """Say what was acknowledged to senders and is not in the archive, which must not run now."""
    promises = Promises(stored=promised(recording.log).stored)
    return Verifier(instances(recording.seed), 0).problems(recording.archive().data, promises)
