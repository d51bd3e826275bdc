"""`edged demo`: everything is committed, and nothing is left of it."""

import re
import signal
from pathlib import Path

import pytest

from edged.app.samples import choose_samples
from tests.support.cli_kit import lines_until, spawn


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder below which the demonstration puts its own."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def test_once_commits_everything_and_ends(temporary: Path) -> None:
    out, err = (process := spawn("demo", "--once")).communicate()
    assert (process.returncode, err) == (0, ""), out
    committed = re.findall(r"^\d\d:\d\d:\d\d\.\d{3}  committed  .*?(\S+)$", out, re.MULTILINE)
    assert len(committed) == len(set(committed)) >= 30
    assert f"\n{len(committed)} of {len(committed)} instances committed by the archive" in out
    for kind in ("held", "sent", "CT ", "US ", "JPEG Baseline", "JPEG 2000", "RLE Lossless", "Deflated"):
        assert kind in out
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(number: signal.Signals, temporary: Path) -> None:
    process = spawn("demo")
    lines = lines_until(process, "Ctrl-C ends both")
    assert any("edged status --socket " in line for line in lines)
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert list(temporary.iterdir()) == []


def test_a_signal_in_the_middle_of_it(temporary: Path) -> None:
    process = spawn("demo", "--keep-data")
    lines_until(process, "sending")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    (kept,) = temporary.iterdir()
    assert f"both stores are in {kept}" in out
    assert (kept / "box" / "store").is_dir()


def test_the_samples_are_of_many_kinds() -> None:
    samples = choose_samples(48)
    assert len({sample.sop_instance_uid for sample in samples}) == len(samples) >= 30
    assert len({sample.modality for sample in samples}) >= 8
    assert len({sample.transfer_syntax_uid for sample in samples}) >= 8
