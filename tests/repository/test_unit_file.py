"""The unit file: systemd understands it, it is tightly sandboxed, and it agrees with the program's defaults."""

import re
import subprocess
from pathlib import Path

import pytest

from edged.app.descriptors import MOST
from edged.config.loading import SYSTEM_FILE
from edged.upstream.decoding import LIMITS

_UNIT = Path(__file__).parents[2] / "systemd" / "edged.service"
_PROGRAM = "/opt/edged/bin/edged"
_MOST_EXPOSURE = 2.0


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """Return a copy whose program exists: the real one is not installed where the tests run."""
    copy = tmp_path / _UNIT.name
    copy.write_text(_UNIT.read_text().replace(_PROGRAM, "/bin/true"))
    return copy


def _settings() -> dict[str, str]:
    pairs = re.findall(r"^([A-Za-z]+)=(.*)$", _UNIT.read_text(), re.MULTILINE)
    return dict(pairs)


def _complaints(unit: Path) -> list[str]:
    """Return what systemd says of our unit; its exit status hides unknown keys, and other units are not ours."""
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False
    )
    return [line for line in verified.stderr.splitlines() if unit.name in line]


def test_systemd_understands_every_line(unit: Path) -> None:
    assert _complaints(unit) == []


def test_systemd_would_have_complained(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSeconds="))
    (complaint,) = _complaints(unit)
    assert "Unknown key 'WatchdogSeconds'" in complaint


def test_it_is_tightly_sandboxed(unit: Path) -> None:
    analysed = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", analysed.stdout)
    assert exposure is not None, analysed.stdout
    assert float(exposure[1]) < _MOST_EXPOSURE, analysed.stdout


def test_it_agrees_with_the_defaults() -> None:
    settings = _settings()
    assert settings["ExecStart"] == f"{_PROGRAM} run --config {SYSTEM_FILE}"
    assert settings["StateDirectory"] == "edged"
    assert settings["RuntimeDirectory"] == "edged"
    assert f"/etc/{settings['ConfigurationDirectory']}" == str(SYSTEM_FILE.parent)


def test_it_is_a_notifying_watched_service_that_always_comes_back() -> None:
    settings = _settings()
    assert (settings["Type"], settings["NotifyAccess"]) == ("notify", "main")
    assert settings["WatchdogSec"] == "60"
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == ("always", "0")
    assert settings["LimitCORE"] == "0"


def test_its_memory_holds_the_process_that_decompresses_and_one_end_is_not_the_boxs() -> None:
    settings = _settings()
    most = int(settings["MemoryMax"].removesuffix("M")) << 20
    assert LIMITS.memory_bytes + (200 << 20) <= most
    assert settings["OOMPolicy"] == "continue"


def test_it_allows_as_many_descriptors_as_the_program_asks_for_elsewhere() -> None:
    assert _settings()["LimitNOFILE"] == str(MOST)
