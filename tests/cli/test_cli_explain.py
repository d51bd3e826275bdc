"""`edged explain` and `edged probe` against a daemon of their own, and a probe without any."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from edged.cli.explain_text import explanation
from edged.cli.probe_text import report_of
from edged.services.explain_values import Asked, At, Evicted, Explained, Explanation, Life, Moment
from edged.services.probing import Outcome, Probed, Report, Step, StepName
from edged.store.queue_walk import EntryState
from edged.telemetry.live import Phase
from tests.support.cli_kit import RunningBox, invoke, put, start_box
from tests.support.stow_kit import STUDY, made, named

ONE, TWO = named(1), named(2)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory, archive: RunningBox) -> Iterator[RunningBox]:
    """A box that knows an archive which is there, and one that is not."""
    folder = tmp_path_factory.mktemp("explaining")
    there = f'[[destination]]\nname = "archive"\nurl = "{archive.url}"\n'
    gone = '[[destination]]\nname = "gone"\nurl = "http://127.0.0.1:9"\nrequired = false\n'
    box = start_box(folder, name="box", evidence="upstream", more=there + gone)
    put(folder / "files", {"1.dcm": made(ONE), "2.dcm": made(TWO)})
    assert invoke("send", folder / "files", "--to", box.url).exit_code == 0
    yield box
    assert box.stop() == 0
    box.remove()


def test_an_instance(box: RunningBox) -> None:
    result = invoke("explain", ONE.instance, "--config", box.config)
    assert result.exit_code == 0, result.output
    assert f"instance {ONE.instance}" in result.stdout
    assert "by stow from" in result.stdout
    assert "(not required)" in result.stdout
    assert "what happened" in result.stdout


def test_a_study(box: RunningBox) -> None:
    result = invoke("explain", STUDY, "--config", box.config, "--limit", "1")
    assert result.exit_code == 0, result.output
    assert f"study {STUDY}" in result.stdout
    assert "2 instances" in result.stdout
    assert "more: --offset 1" in result.stdout
    found = json.loads(invoke("explain", STUDY, "--config", box.config, "--json").stdout)
    assert (found["kind"], found["instances"]) == ("study", 2)


def test_nothing_known(box: RunningBox) -> None:
    result = invoke("explain", "1.2.3", "--config", box.config)
    assert result.exit_code == 1
    assert "Nothing is known under this UID" in result.stderr
    assert invoke("explain", "a/b c?", "--config", box.config).exit_code == 1


def test_nothing_asked() -> None:
    result = invoke("explain", " ")
    assert (result.exit_code, "UID: it is empty" in result.stderr) == (2, True)


def test_no_daemon_to_explain(tmp_path: Path) -> None:
    assert invoke("explain", "1.2.3", "--socket", tmp_path / "none.sock").exit_code == 3


def test_a_probe_of_what_is_there(box: RunningBox) -> None:
    result = invoke("probe", "archive", "--config", box.config)
    assert result.exit_code == 0, result.output
    assert "it offers store" in result.stdout
    assert "storage commitment is offered" in result.stdout
    assert "no daemon runs" not in result.stderr


def test_a_test_instance_is_stored_in_the_archive(box: RunningBox, archive: RunningBox) -> None:
    result = invoke("probe", "archive", "--config", box.config, "--instance", "--json")
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)["probes"]
    step = found["steps"][-1]
    assert (step["name"], step["outcome"]) == ("instance", "ok")
    assert step["text"] == "stored, and found there"
    uid = next(each for each in step["details"] if each.startswith("Study")).rpartition(" ")[2]
    assert json.loads(invoke("explain", uid, "--config", archive.config, "--json").stdout)["instances"] == 1


def test_all_destinations_and_one_that_is_not_there(box: RunningBox) -> None:
    result = invoke("probe", "--config", box.config)
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "connection refused" in result.stdout
    assert "what to do: " in result.stdout
    assert "not tried" in result.stdout


def test_a_destination_that_does_not_exist(box: RunningBox) -> None:
    result = invoke("probe", "archiv", "--config", box.config)
    assert result.exit_code == 2
    assert "Did you mean archive?" in result.stderr


def test_without_a_daemon_it_is_made_from_here(archive: RunningBox, tmp_path: Path) -> None:
    config = tmp_path / "edged.toml"
    config.write_text(
        f'[box]\ndata_dir = "{tmp_path}/data"\ncontrol = "{tmp_path}/c.sock"\n'
        f'[[destination]]\nname = "archive"\nurl = "{archive.url}"\n'
    )
    result = invoke("probe", "--config", config)
    assert result.exit_code == 0, result.output
    assert "no daemon runs; probing from here" in result.stderr
    assert not (tmp_path / "data").exists()
    assert invoke("probe", "other", "--config", config).exit_code == 2


def test_a_probe_with_neither_daemon_nor_configuration(tmp_path: Path) -> None:
    assert invoke("probe", "--socket", tmp_path / "none.sock").exit_code == 3


def shown(found: Explanation | Report) -> str:
    written = io.StringIO()
    lines = report_of(found) if isinstance(found, Report) else explanation(found)
    Console(file=written, width=120).print(*lines, sep="\n")
    return " ".join(written.getvalue().split())


def test_a_whole_life_in_words() -> None:
    at = At(
        destination="archive",
        configured=True,
        required=True,
        state=EntryState.SENT,
        committed=False,
        since=900.0,
        urgent=True,
        evidence="found",
        sent=900.0,
        reason="0110H processing failure",
        text="no room",
        batch="b7",
        resends=2,
        doubted_since=940.0,
        asked=(Asked(transaction_uid="2.25.7", created=990.0),),
        waits_for="its commitment",
        next_try_s=61.0,
    )
    life = Life(
        number=3,
        sop_instance_uid="1.2",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
        study_instance_uid="1",
        series_instance_uid="1.1",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        size_bytes=2000,
        standing="conflict",
        conflict="conflict-3",
        received=800.0,
        intake="stow",
        sender="ct-room-2",
        address="192.0.2.1",
        rule="pictures",
        destinations=(at,),
        requests=("2.25.8",),
        may_go=False,
    )
    gone = Evicted(
        number=1,
        sop_class_uid="1.2",
        study_instance_uid=None,
        series_instance_uid=None,
        evicted=700.0,
        committed=600.0,
        proofs={"archive": "dicomweb"},
        lost=True,
    )
    answered = Moment(
        time=850.0, what="answered", destination="archive", status=409, reason="A900H", text="no", times=3, until=870.0
    )
    found = Explained(uid="1.2", time=1000.0, instances=(life,), untold=4, evicted=gone, moments=(answered,))
    said = shown(found)
    for text in (
        "conflict-3, another data set under 1.2 conflict",
        "by stow from ct-room-2 (192.0.2.1), rule pictures",
        "sent for 1 min 40 s (urgent)",
        "(found), batch b7",
        "the commitment is doubted for 1 min 0 s",
        "0110H processing failure, no room",
        "sent again 2 times",
        "asked for 10 s ago under Transaction UID 2.25.7",
        "waits for its commitment, next try in 1 min 1 s",
        "asked of us 2.25.8",
        "archive by dicomweb",
        "and 4 conflicts more under this UID",
        "found not to have it any more",
        "answered archive HTTP 409, A900H, no, 3 times until",
    ):
        assert text in said, (text, said)


def test_a_step_that_failed_in_words() -> None:
    failed = Step(
        name=StepName.CAPABILITIES,
        outcome=Outcome.FAILED,
        seconds=0.0123,
        text="401: it does not accept who the box says that it is",
        details=("it said: no",),
        phase=Phase.AUTH,
        remedy="check the token",
    )
    steps = (failed, Step(name=StepName.SEARCH, outcome=Outcome.NOT_TRIED))
    said = shown(Report(probes=(Probed(destination="archive", url="https://x", good=False, steps=steps),)))
    assert "FAILED capabilities 12 ms 401: it does not accept who the box says that it is (auth)" in said
    assert "it said: no what to do: check the token not tried search" in said
    assert "there is no destination" in shown(Report(probes=()))


def test_what_was_discarded_says_of_what_it_tells() -> None:
    gone = Evicted(
        number=1,
        sop_class_uid="1.2",
        study_instance_uid=None,
        series_instance_uid=None,
        evicted=700.0,
        committed=0.0,
        proofs={},
        lost=False,
    )
    decided = Moment(time=700.0, what="discarded", destination="archive", text="discarded by root: a test")
    found = Explained(uid="1.2.9", time=1000.0, instances=(), untold=0, evicted=gone, moments=(decided,))
    said = shown(found)
    assert "instance 1.2.9 not here any more, discarded" in said
    assert "no destination had committed to it" in said
