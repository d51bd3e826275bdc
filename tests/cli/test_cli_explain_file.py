"""`edged check-config --explain`: what would become of a file, and in which words it is told."""

from pathlib import Path

import pytest

from tests.support.cli_kit import invoke
from tests.support.dicom_samples import shipped

CONFIG = """
[[destination]]
name = "archive"
url = "https://archive.example"
[[destination]]
name = "research"
url = "https://research.example"
required = false
[[route]]
name = "ct"
to = ["archive"]
when = {modality = ["CT", "PT"], source = "stow"}
[[route]]
name = "night"
urgent = true
hold = true
when = {attribute = {PatientID = "4MR*"}, called_ae = "NIGHT"}
[[route]]
name = "qa"
to = ["research"]
when = {source = "qa"}
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    config, instance = tmp_path / "edged.toml", tmp_path / "mr.dcm"
    config.write_text(CONFIG)
    instance.write_bytes(shipped("MR_small_implicit.dcm"))
    return config, instance


def test_the_rules_are_told_up_to_the_one_that_decides(files: tuple[Path, Path]) -> None:
    config, instance = files
    result = invoke("check-config", config, "--explain", instance, "--called-ae", "NIGHT")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        f"{instance}: SOP Class 1.2.840.10008.5.1.4.1.1.4, from stow",
        "rule ct: does not fit: modality is 'MR', wanted 'CT' or 'PT'",
        "rule night: fits",
        "goes to: archive, research (not required)",
        "urgent: goes before others and does not wait for a rate",
        "on hold: waits until a person releases it",
    ]


def test_what_fits_no_rule_and_what_is_never_let_go(files: tuple[Path, Path]) -> None:
    config, instance = files
    lines = invoke("check-config", config, "--explain", instance).stdout.splitlines()
    assert "rule night: does not fit: called_ae is not there, wanted 'NIGHT'" in lines
    assert lines[-2:] == ["no rule fits", "goes to: archive, research (not required)"]
    lines = invoke("check-config", config, "--explain", instance, "--sender", "qa").stdout.splitlines()
    assert lines[-2:] == [
        "goes to: research (not required)",
        "is never evicted: no destination that it goes to is required",
    ]


def test_a_file_that_would_not_be_taken(files: tuple[Path, Path], tmp_path: Path) -> None:
    config, instance = files
    instance.write_bytes(b"not DICOM")
    refused = invoke("check-config", config, "--explain", instance)
    assert refused.exit_code == 1
    assert "would be refused" in refused.stderr
    assert invoke("check-config", config, "--explain", tmp_path / "none.dcm").exit_code == 1


def test_a_rule_that_looks_at_what_nobody_knows_is_a_problem(tmp_path: Path) -> None:
    config = tmp_path / "edged.toml"
    config.write_text('[[route]]\nname = "x"\nwhen = {attribute = {PixelData = "1"}}\n')
    result = invoke("check-config", config)
    assert result.exit_code == 2
    assert "route[x].when.attribute: PixelData is not looked at" in result.stderr
