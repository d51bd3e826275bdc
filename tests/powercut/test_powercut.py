"""Power cuts: no state of the disk breaks a promise, and a build that is broken on purpose is caught.

The harness runs as the program that it is (tools/powercut); docs/durability.md says what it checks.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.powercut.broken import Fault
from tests.powercut.examine import Wanted
from tests.powercut.record import Scenario
from tests.powercut.rounds import A_RECORDING, rounds

STATES, DAEMONS = 2000, 30
CHECKOUT = Path(__file__).parents[2]


def powercut(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True, cwd=CHECKOUT)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.powercut", *arguments]


@pytest.mark.timeout(300)
def test_no_power_cut_loses_what_was_acknowledged() -> None:
    done = powercut("--states", str(STATES), "--daemons", str(DAEMONS))
    assert done.returncode == 0, done.stdout + done.stderr
    summary = done.stdout.splitlines()[-1]
    assert summary.startswith(f"{STATES} states, ")
    assert f" {DAEMONS} restarted, 0 bad, " in summary


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", list(Fault))
def test_a_broken_build_is_caught(tmp_path: Path, fault: Fault) -> None:
    done = powercut("--states", "150", "--scenario", "archive", "--broken", fault, "--work", str(tmp_path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert ", 0 bad, " not in done.stdout.splitlines()[-1]
    again = re.search(r"look again: tools/powercut (--recording \S+ --seed 1 --state \d+) --keep DIR", done.stdout)
    assert again is not None
    alone = powercut(*again[1].split(), "--keep", str(tmp_path / "kept"))
    assert alone.returncode == 1, alone.stdout + alone.stderr
    assert (tmp_path / "kept").is_dir()


@pytest.mark.timeout(120)
def test_a_run_that_is_ended_tells_what_it_saw(tmp_path: Path) -> None:
    running = subprocess.Popen(
        command("--long", "--work", str(tmp_path)),
        text=True,
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with running:
        assert running.stdout is not None
        assert running.stderr is not None
        progress = running.stderr.readline()
        running.terminate()
        told = running.stdout.read().splitlines()
    assert running.returncode == 128 + signal.SIGTERM
    assert re.match(r"archive 1: \d+ states, ", progress)
    assert re.match(r"[1-9]\d* states, .* 0 bad, ", told[-1])
    assert list(tmp_path.iterdir()) == []


def test_the_rounds_of_a_run_are_all_that_is_wanted() -> None:
    whole = Wanted(seed=5, states=2 * A_RECORDING + 10, daemons=2)
    wanted = [each.wanted for each in rounds(whole, list(Scenario))]
    assert [each.seed for each in wanted] == [5, 5, 6]
    assert [each.states for each in wanted] == [A_RECORDING, A_RECORDING, 10]
    assert sum(each.daemons for each in wanted) == 2
