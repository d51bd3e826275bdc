"""`edged queue` against a daemon of its own: what it shows, what it changes, and how it ends."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edged.cli import main
from edged.cli.figures import counted
from tests.support.cli_kit import RunningBox, invoke, put, spawn, start_box
from tests.support.stow_kit import made, named

ARCHIVES = """
[[destination]]
name = "archive"
url = "http://127.0.0.1:9"
[[destination]]
name = "second"
url = "http://127.0.0.1:9"
required = false
"""
INSTANCES = [named(index) for index in range(1, 6)]


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("queueing")


@pytest.fixture
def box(folder: Path) -> Iterator[RunningBox]:
    """A box with five instances for two archives that cannot be reached."""
    box = started(folder)
    yield box
    assert box.stop() == 0
    box.remove()


def started(folder: Path) -> RunningBox:
    box = start_box(folder, evidence="upstream", more=ARCHIVES)
    put(folder / "files", {f"{index}.dcm": made(each) for index, each in enumerate(INSTANCES)})
    assert invoke("send", folder / "files", "--to", box.url).exit_code == 0
    return box


def queue(box: RunningBox, *arguments: str, typed: str = "") -> Result:
    words = ["queue", *arguments, "--config", str(box.config)]
    return CliRunner().invoke(main, words, input=typed, catch_exceptions=False)


def entries(box: RunningBox, *arguments: str) -> list[dict[str, Any]]:
    result = queue(box, "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_the_list(box: RunningBox) -> None:
    result = queue(box, "list")
    assert result.exit_code == 0
    assert "5 pending at archive, 5 pending at second" in result.stdout
    assert result.stdout.count(INSTANCES[0].instance) == 2
    assert "state" in result.stdout.splitlines()[0]
    assert max(map(len, result.stdout.splitlines())) <= 110
    assert queue(box, "list", "--state", "sent").stdout == "nothing of that is in the queue\n"
    assert len(entries(box)) == 10
    assert len(entries(box, "--limit", "3")) == 3
    few = queue(box, "list", "--limit", "3").stdout
    assert f"{counted(7, 'entry is', 'entries are')} not shown: --limit 0 shows all" in few


def test_hold_and_release(box: RunningBox) -> None:
    result = queue(box, "hold", "--destination", "archive", "--reason", "no consent yet")
    assert (result.exit_code, result.stdout) == (0, "5 entries put on hold\n")
    assert {each["text"] for each in entries(box, "--state", "on-hold")} == {
        f"put on hold by uid {box.config.stat().st_uid}: no consent yet"
    }
    result = queue(box, "release", "--json", INSTANCES[0].instance)
    assert result.exit_code == 1, "at the second archive it was not on hold"
    told = json.loads(result.stdout)
    assert (told["action"], told["done"], told["skipped"]) == ("release", 1, 1)
    assert told["left"][0]["text"] == "it is pending, and release is for what is conflict or on-hold"


def test_what_is_not_here_is_named(box: RunningBox) -> None:
    result = queue(box, "hold", "9.9")
    assert result.exit_code == 1
    assert "nothing is stored here under 9.9" in result.stdout
    assert queue(box, "list", "9.9").exit_code == 1
    result = queue(box, "list", "--destination", "archvie")
    assert result.exit_code == 2
    assert "Is archive meant?" in result.stderr
    assert queue(box, "hold").exit_code == 2


def test_a_discard_asks_twice(box: RunningBox) -> None:
    arguments = ("discard", "--destination", "second", "--reason", "not needed there")
    assert queue(box, *arguments, typed="n\n").exit_code == 1
    assert queue(box, *arguments, typed="y\n4\n").exit_code == 1
    assert len(entries(box)) == 10
    result = queue(box, *arguments, typed="y\n5\n")
    assert result.exit_code == 0, result.output
    assert "to be discarded: 5 entries" in result.stdout
    assert INSTANCES[0].instance in result.stdout
    assert result.stdout.endswith("5 entries discarded\n")
    assert len(entries(box)) == 5
    assert queue(box, "discard", "--parked", "--reason", "test", "--json").exit_code == 2
    result = queue(box, "discard", INSTANCES[0].instance, "--reason", "test", "--json", "--yes")
    assert (result.exit_code, json.loads(result.stdout)["done"]) == (0, 1)
    assert queue(box, "discard", "--destination", "archive").exit_code == 2, "it needs a reason"


def test_a_destination_that_left_the_settings(folder: Path) -> None:
    assert started(folder).stop() == 0
    box = start_box(folder, evidence="upstream", more=ARCHIVES.replace('"second"', '"third"'))
    standing = " ".join(invoke("status", "--config", box.config).stdout.split())
    assert "destination-removed:second" in standing
    assert "edged queue move --destination second" in standing
    result = queue(box, "move", "--destination", "second", "--to", "third")
    assert (result.exit_code, result.stdout) == (0, "5 entries moved\n")
    assert "destination-removed" not in invoke("status", "--config", box.config).stdout
    assert queue(box, "retry", "--parked").stdout == "0 entries to be sent again\n"
    assert box.stop() == 0
    assert invoke("check-store", "--config", box.config).exit_code == 0
    box.remove()


def test_ctrl_c_ends_a_long_change_between_two_steps(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "control.sock"))
        listening.listen()
        listening.settimeout(30)
        command = spawn("queue", "hold", "--destination", "archive", "--json", "--socket", tmp_path / "control.sock")
        with listening.accept()[0] as first:
            first.recv(1 << 16)
            step = json.dumps({"done": 500, "skipped": [], "unknown": [], "after": "q00"}).encode()
            first.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(step), step))
            with listening.accept()[0] as second:
                asked = b""
                while b'"after":"q00"' not in asked:
                    asked += second.recv(1 << 16)
                command.send_signal(signal.SIGINT)
                output, errors = command.communicate(timeout=30)
    told = json.loads(output)
    assert (command.returncode, told["done"], told["interrupted"], errors) == (1, 500, True, "")


def test_without_a_daemon(tmp_path: Path) -> None:
    assert invoke("queue", "list", "--socket", tmp_path / "none.sock").exit_code == 3
    assert invoke("queue", "--help").exit_code == 0
