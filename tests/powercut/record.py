"""Making a recording: a box with the shim under the load, the archive that it forwards to, creation and restart too.

`record` leaves a folder with the log, the seed and the archive's store; whoever has it can look at every state again.
The folder of the data directory does not exist before: making it is part of what is recorded.
"""

import json
import random
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.powercut.boxes import CAPACITY_MIB, DATA, GROWN_MIB, LOG, ROOT, Daemon, is_finished, running, wait_until
from tests.powercut.load import Part, Senders, instances
from tests.powercut.recording import Acknowledgements, build_shim
from tests.support.cli_kit import PROGRAM

ABOUT = "about.json"


class Scenario(StrEnum):
    """What the recorded box is."""

    ARCHIVE = "archive"
    FORWARDING = "forwarding"


@dataclass(frozen=True, slots=True)
class Recording:
    """A folder with everything that was recorded."""

    folder: Path
    scenario: Scenario
    seed: int

    @property
    def log(self) -> Path:
        return self.folder / LOG

    @property
    def root(self) -> str:
        return str(self.folder.resolve() / ROOT)

    def archive(self) -> Daemon:
        """The archive with everything that it took."""
        return Daemon(self.folder, "archive", self.folder / "archive")


def load_recording(folder: Path) -> Recording:
    """Return what was recorded into a folder."""
    about = json.loads((folder / ABOUT).read_text())
    return Recording(Path(about["folder"]), Scenario(about["scenario"]), about["seed"])


def record(folder: Path, scenario: Scenario, seed: int, *, program: tuple[str, ...] = PROGRAM) -> Recording:
    """Record a box while the load runs; `program` may be a build that is broken on purpose."""
    folder = folder.resolve()
    recording = Recording(folder, scenario, seed)
    (folder / ROOT).mkdir(parents=True)
    (folder / ABOUT).write_text(json.dumps({"folder": str(folder), "scenario": scenario, "seed": seed}))
    parts, rng = instances(seed), random.Random(f"order/{seed}")
    half = len(parts) // 2
    acknowledgements = Acknowledgements(folder / LOG)
    with ExitStack() as stack:
        stack.callback(acknowledgements.close)
        archive = stack.enter_context(running(recording.archive())) if scenario is Scenario.FORWARDING else None
        for capacity, share in ((CAPACITY_MIB, parts[:half]), (GROWN_MIB, parts[half:])):
            box = Daemon(
                folder, "box", folder / ROOT / DATA, archive, "2s", capacity, shim=build_shim(), program=program
            )
            with running(box) as url:
                _work(box, Senders(url, acknowledgements), share, rng)
    return recording


def _work(box: Daemon, senders: Senders, parts: list[Part], rng: random.Random) -> None:
    """One life of the box: everything that can be asked of it, until all its work is done."""
    senders.store(parts[:1])
    senders.store_another(parts[0])  # now: later it may have been let go, and then the other one is taken
    senders.send(parts, rng)
    transactions = [f"1.2.826.0.2.{rng.getrandbits(40)}" for _ in range(3)]
    for transaction in transactions:
        senders.ask_commitment(transaction, rng.sample(parts, 5))
    wait_until(box, is_finished, "the end of forwarding")
    if box.archive:
        wait_until(box, _has_let_go, "eviction")
    for part in rng.sample(parts, 4):
        senders.store([part])
    wait_until(box, is_finished, "the end of forwarding")
    for transaction in transactions:
        senders.check_commitment(transaction)


def _has_let_go(now: dict[str, Any]) -> bool:
    return bool(now["store"]["instances"]["committed"] < now["destinations"][0]["committed"])
