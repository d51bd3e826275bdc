"""`edged status`: a box that is well, one that is not, and none."""

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from edged.cli.figures import counted, size_text, span_text
from edged.cli.status_text import State, overview
from tests.support.cli_kit import RunningBox, invoke, start_box


@pytest.fixture(scope="module")
def ailing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBox]:
    """A box without a destination, which is a condition."""
    box = start_box(tmp_path_factory.mktemp("ailing"), name="ailing", evidence="upstream")
    yield box
    assert box.stop() == 0
    box.remove()


def test_a_box_that_is_well(archive: RunningBox) -> None:
    result = invoke("status", "--config", archive.config)
    assert result.exit_code == 0, result.output
    assert archive.url in result.stdout
    assert "% full" in result.stdout
    assert "nothing needs attention" in result.stdout


def test_a_box_that_needs_attention(ailing: RunningBox) -> None:
    result = invoke("status", "--config", ailing.config)
    assert result.exit_code == 1
    assert "WARNING no-required-destination" in result.stdout
    assert "instances are kept and never let go by themselves" in result.stdout


def test_json_is_the_state_object(ailing: RunningBox) -> None:
    result = invoke("status", "--config", ailing.config, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["name"] == "ailing"


def test_the_environment_names_the_file(archive: RunningBox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGED_CONFIG", os.fspath(archive.config))
    assert invoke("status").exit_code == 0


def test_a_socket_alone_does_not_tell_the_base_path(archive: RunningBox) -> None:
    result = invoke("status", "--socket", archive.control)
    assert result.exit_code == 3
    assert "give --config FILE" in result.stderr
    assert invoke("status", "--socket", archive.control, "--config", archive.config).exit_code == 0


def test_no_daemon(tmp_path: Path) -> None:
    result = invoke("status", "--socket", tmp_path / "control.sock")
    assert result.exit_code == 3
    assert f"cannot reach the daemon on {tmp_path}/control.sock: No such file" in result.stderr
    assert "edged run --config FILE" in result.stderr


def test_a_socket_whose_daemon_died(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert "Connection refused" in invoke("status", "--socket", path).stderr


def test_a_bad_configuration_is_usage(tmp_path: Path) -> None:
    config = tmp_path / "edged.toml"
    config.write_text("[box]\nnmae = 1\n")
    result = invoke("status", "--config", config)
    assert result.exit_code == 2
    assert "nmae" in result.stderr


def test_destinations_and_what_they_fail_of() -> None:
    destination = {
        "name": "archive",
        "state": "retrying",
        "phase": "tcp",
        "queued": 3,
        "queued_bytes": 1_500_000,
        "sent": 2,
        "committed": 1000,
        "parked": 0,
        "oldest_unsent_s": 7200.0,
        "rate_bytes_per_s": 0,
        "last_error": {"phase": "tcp", "text": "connection refused", "time": 90.0},
    }
    store = {"capacity_bytes": 10**9, "used_bytes": 9 * 10**8, "free_bytes": 10**8, "instances": {"held": 3}}
    state = {
        "version": "1",
        "name": "b",
        "time": 100.0,
        "uptime_s": 5.0,
        "listeners": [],
        "store": store,
        "destinations": [destination],
        "conditions": [],
        "oldest_unsent_s": 7200.0,
    }
    shown = io.StringIO()
    Console(file=shown, width=100).print(*overview(msgspec.convert(state, State)), sep="\n")
    for text in ("90% full", "3 held", "retrying (tcp)", "3 (1.5 MB)", "1,000", "2 h 0 min", "10 s ago in tcp: conn"):
        assert text in shown.getvalue()


def test_figures() -> None:
    assert [size_text(size) for size in (0, 999, 1000, 39_206, 999_600, 10**16)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "39.2 kB",
        "1.0 MB",
        "10000 TB",
    ]
    spans = (0.44, 12.6, 61, 3600, 90_000)
    assert [span_text(span) for span in spans] == ["0.4 s", "13 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]
    assert [counted(1, "file"), counted(1200, "file"), counted(2, "entry", "entries")] == [
        "1 file",
        "1,200 files",
        "2 entries",
    ]
