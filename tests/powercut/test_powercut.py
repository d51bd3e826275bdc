"""Power cuts: no state of the disk breaks a promise, and a build that is broken on purpose is caught.

The harness runs as the program that it is (tools/powercut); docs/durability.md says what it checks.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.powercut.broken import Fault

STATES, DAEMONS = 2000, 30


def powercut(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.powercut", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])


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
