"""`edged watch`, as a process of its own beside a box that runs."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from edged.cli.watch_text import lines_of, object_of
from edged.dicom.reasons import FailureReason
from edged.dicomweb.data_set import DataSet
from edged.dicomweb.event_reading import read_event_report
from edged.dicomweb.event_report import (
    EventHead,
    EventInstance,
    EventKind,
    commitment_event,
    instances_event,
    subject_event,
)
from edged.dicomweb.representation import DICOM_JSON, write_data_set
from edged.upstream.following_values import Followed
from tests.support.cli_kit import RunningBox, invoke, put, spawn, start_box
from tests.support.stow_kit import made, named

CT = "1.2.840.10008.5.1.4.1.1.2"


@contextmanager
def watching(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A watch that is ended by Ctrl-C, with 0."""
    process = spawn("watch", *arguments)
    try:
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def said_by(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline().rstrip("\n")


@pytest.fixture
def box(tmp_path: Path) -> Iterator[RunningBox]:
    """A box of its own: its numbers begin with 1."""
    folder = tmp_path / "box"
    folder.mkdir()
    box = start_box(folder)
    yield box
    if box.process.poll() is None:
        box.stop()
    box.remove()


def store(box: RunningBox, *numbers: int) -> None:
    folder = box.config.parent / "files"
    files = {f"{number}.dcm": made(named(number), size=600) for number in numbers}
    assert invoke("send", *put(folder, files), "--to", box.url).exit_code == 0


def test_what_happens_is_shown_over_the_control_socket(box: RunningBox) -> None:
    store(box, 1, 2, 3)
    with watching("--config", box.config, "--after", "0") as process:
        line = line_of(process)
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  received +3 instances of study [0-9.]+ by stow", line), line
        store(box, 4)
        assert re.search(rf"received +instance {named(4).instance} of study", line_of(process))


def test_a_program_reads_objects_and_each_event(box: RunningBox) -> None:
    store(box, 1, 2)
    with watching(
        box.url.replace("http:", "ws:"), "--after", "0", "--each", "--json", "--kinds", "received"
    ) as process:
        lines = [json.loads(line_of(process)) for _ in range(2)]
    assert [(line["first"], line["last"], line["resume"]) for line in lines] == [(1, 1, 1), (2, 2, 2)]
    assert {line["kind"] for line in lines} == {"received"}
    assert sorted(line["instances"][0]["instance"] for line in lines) == [named(1).instance, named(2).instance]
    assert lines[0]["missing"] is None


def test_it_goes_on_when_the_box_is_back(box: RunningBox) -> None:
    store(box, 1)
    with watching("--config", box.config, "--after", "0") as process:
        assert named(1).instance in line_of(process)
        assert box.stop() == 0
        assert "closed the connection (1001)" in said_by(process)
        again = spawn("run", "--config", box.config)
        try:
            while "connected again" not in said_by(process):
                pass
            assert again.stdout is not None
            url = again.stdout.readline().removeprefix("listening on ").strip()
            store(RunningBox(again, box.config, url, ()), 2)
            assert named(2).instance in line_of(process)
        finally:
            RunningBox(again, box.config, "", ()).stop()


def test_a_name_keeps_its_place(box: RunningBox) -> None:
    with watching("--config", box.config, "--name", "NIGHT WATCH", "--after", "0") as process:
        store(box, 1)
        assert named(1).instance in line_of(process)
        store(box, 2)
        assert named(2).instance in line_of(process)
    store(box, 3)
    with watching("--config", box.config, "--name", "NIGHT WATCH") as process:
        lines = [line_of(process)]
        while named(3).instance not in lines[-1]:
            lines.append(line_of(process))
        assert not any(named(1).instance in line for line in lines)


def test_a_name_has_one_connection(box: RunningBox) -> None:
    store(box, 1)
    first = spawn("watch", "--config", box.config, "--name", "MONITOR", "--after", "0")
    try:
        assert named(1).instance in line_of(first)
        with watching("--config", box.config, "--name", "MONITOR"):
            _, said = first.communicate(timeout=20)
            assert first.returncode == 1
            assert "closed the connection (4001): another connection of this requester has come" in said
    finally:
        first.kill()
        first.communicate()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("http://127.0.0.1:9",), 3, "cannot connect to 127.0.0.1:9"),
        (("ftp://archive",), 2, 'begins with "http://"'),
        (("--kinds", "received,heard"), 2, "there is no kind heard; there are"),
        (("--socket", "/nowhere/control.sock"), 3, "cannot reach the daemon on /nowhere/control.sock"),
    ],
)
def test_where_nothing_can_be_had(arguments: tuple[str, ...], status: int, said: str) -> None:
    result = invoke("watch", *arguments)
    assert result.exit_code == status
    assert said in result.stderr
    assert all(line.startswith("edged: ") for line in result.stderr.splitlines())


def test_what_the_box_does_not_grant(archive: RunningBox, tmp_path: Path) -> None:
    result = invoke("watch", "--config", archive.config, "--after", "1000000")
    assert result.exit_code == 2
    assert "Was its store made anew?" in result.stderr
    result = invoke("watch", "--socket", archive.control)
    assert result.exit_code == 3
    assert "give --config FILE" in result.stderr
    token = tmp_path / "token"
    token.write_text("nobody's\n")
    result = invoke("watch", archive.url, "--token-file", token)
    assert (result.exit_code, "(401)" in result.stderr) == (3, True)


def event(data_set: DataSet, missing: tuple[int, int] | None = None) -> Followed:
    message = write_data_set(data_set, DICOM_JSON).body
    return Followed(read_event_report(message), message, missing)


def instances(kind: EventKind, count: int, *, subject: str = "", text: str = "", series: int = 1) -> Followed:
    head = EventHead(kind, last=count, first=1, resume=count)
    uids = [EventInstance("1.2", f"1.2.{n % series}", CT, f"1.2.9.{n}", "EDGED") for n in range(count)]
    return event(instances_event(head, uids, subject=subject, text=text))


@pytest.mark.parametrize(
    ("followed", "line"),
    [
        (instances(EventKind.RECEIVED, 2000, series=3), "2,000 instances in 3 series of study 1.2"),
        (instances(EventKind.SENT, 2, subject="archive"), "2 instances of study 1.2 to archive"),
        (instances(EventKind.COMMITTED, 1, subject="archive"), "instance 1.2.9.0 of study 1.2 by archive"),
        (
            instances(EventKind.PARKED, 1, subject="archive", text="0122H SOP class not supported"),
            "instance 1.2.9.0 of study 1.2 at archive: 0122H SOP class not supported",
        ),
        (
            event(subject_event(EventHead(EventKind.CONDITION_RAISED, 1, 1, 1), "parked:a", text="\x1b[2J!\nNow")),
            "parked:a: [2J! Now",
        ),
        (event(subject_event(EventHead(EventKind.GAP, 9, 2, 9), "")), "not kept any more: events 2 to 9"),
        (
            event(
                commitment_event(
                    EventHead(EventKind.COMMITMENT_RESULT, 1, 1, 1),
                    "2.25.1",
                    committed=[(CT, "1.1"), (CT, "1.2")],
                    failed={(CT, "1.3"): FailureReason.NO_SUCH_OBJECT_INSTANCE},
                )
            ),
            "transaction 2.25.1: 2 committed, 1 not (0112H no such object instance)",
        ),
        (event({}), "an event that this version does not know"),
    ],
)
def test_lines(followed: Followed, line: str) -> None:
    [written] = lines_of(followed, 0.0)
    assert written[12:].split(maxsplit=1) == [str(followed.report.kind or "unknown"), line]
    read = json.loads(msgspec.json.encode(object_of(followed, 0.0)))
    assert read["kind"] == followed.report.kind
    assert len(read["instances"]) == len(followed.report.instances)


def test_numbers_that_never_came_are_a_line() -> None:
    followed = event(subject_event(EventHead(EventKind.DESTINATION_UP, 7, 7, 7), "archive"), missing=(6, 6))
    lines = lines_of(followed, 0.0)
    assert [line[12:].split(maxsplit=1) for line in lines] == [
        ["gap", "never came: event 6"],
        ["destination-up", "archive"],
    ]
