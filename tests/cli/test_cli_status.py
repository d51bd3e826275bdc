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
from edged.cli.status_text import Notifications, State, events_text, overview
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
        "last_error": {"phase": "tcp", "text": "tcp: connection refused", "time": 90.0},
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


def shown(*destinations: dict[str, object]) -> str:
    """The overview of a box with these destinations."""
    figures = {"queued": 0, "queued_bytes": 0, "sent": 0, "committed": 0, "parked": 0}
    state = {
        "version": "1",
        "name": "b",
        "time": 100.0,
        "uptime_s": 5.0,
        "listeners": [],
        "store": {"capacity_bytes": 10**9, "used_bytes": 0, "free_bytes": 10**8, "instances": {}},
        "destinations": [{"name": "archive", **figures, **each} for each in destinations],
        "conditions": [],
    }
    written = io.StringIO()
    Console(file=written, width=100).print(*overview(msgspec.convert(state, State)), sep="\n")
    return written.getvalue()


def test_how_a_destination_is_reached_and_what_proves_there() -> None:
    known = {
        "http": "2",
        "http_reason": "its window is large",
        "workers": 3,
        "rate_limit_bytes_per_s": 2.5e6,
        "commitment": ["dicomweb", "search"],
        "proof": "search",
        "service": "not-offered",
        "notifications": "listening",
        "required": False,
        "on_hold": 2,
        "stuck": 1,
        "taken_back": 4,
    }
    said = " ".join(shown(known).split())
    assert "HTTP/2 (its window is large); 3 workers; at most 2.5 MB/s now; proven by search (dicomweb" in said
    assert "would do too), storage commitment not-offered; its events are listened to; not required" in said
    troubled = shown({"notifications": "tcp: refused"}, {"notifications": "not-offered"})
    assert "its events are not heard: tcp: refused" in " ".join(troubled.split())
    assert "not-offered" not in troubled
    assert "2 on hold; 1 stuck; 4 commitments taken back" in said


def test_before_anything_is_proven_it_says_what_may_prove() -> None:
    assert "to be proven by dicomweb or search" in shown({"commitment": ["dicomweb", "search"], "required": True})
    said = shown({"commitment": ["search"], "required": True, "proof": "search"})
    assert "proven by search\n" in said.replace(" \n", "\n")


def test_nothing_needs_attention_only_while_every_destination_is_up() -> None:
    assert "nothing needs attention" in shown({"name": "a", "state": "up"})
    said = shown(
        {"name": "a", "state": "up"}, {"name": "b", "state": "retrying", "phase": "tcp"}, {"name": "c", "state": "held"}
    )
    assert "nothing needs attention" not in said
    assert "b, c are not up" in said


def test_a_destination_that_is_not_in_the_settings_is_shown_as_such() -> None:
    assert "is not in the settings any more" in shown({"state": "held", "queued": 3})
    assert "is not in the settings any more" not in shown({"commitment": ["search"], "required": True})


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


def test_who_follows_the_events() -> None:
    followers = {"name": "PACS", "connected": False, "behind": 1200}
    named = [followers, {"name": "night", "connected": True, "behind": 5}]
    state = {"newest_event": 5000, "connected": 1, "named_total": 2, "named": named}
    told = events_text(msgspec.convert(state, Notifications))
    assert told == "5,000, 1 follower; PACS is away and 1,200 behind"
    assert events_text(msgspec.convert({**state, "named": []}, Notifications)) == "5,000, 1 follower"
