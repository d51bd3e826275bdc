"""`edged send` against a box that runs, and against nobody."""

import io
import json
import signal
import socket
import urllib.request
from pathlib import Path

from rich.console import Console

from edged.cli.send_report import BarReport, Totals
from edged.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from edged.upstream.send_values import FileResult, Outcome, Stop
from tests.support.cli_kit import RunningBox, invoke, put, spawn
from tests.support.dicom_samples import bare_file, plain, scan, shipped, ui

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def instance(uid: str, text: bytes = b"one ") -> bytes:
    """A small instance with this SOP Instance UID."""
    return bare_file(
        ui(0x00080016, SECONDARY_CAPTURE),
        ui(0x00080018, uid),
        plain(0x00081030, b"LO", text),
        ui(0x0020000D, "1.2.77"),
        ui(0x0020000E, "1.2.77.1"),
    )


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_folder_is_stored_and_what_is_no_dicom_is_passed_over(archive: RunningBox, tmp_path: Path) -> None:
    put(tmp_path / "a", {"ct.dcm": shipped("CT_small.dcm"), "notes.txt": b"hello", "DICOMDIR": b"\x02\0" * 400})
    put(tmp_path / "a" / "b", {f"{n}": instance(f"1.2.77.1.{n}") for n in range(5)})
    for _ in range(2):
        result = invoke("send", tmp_path, "--to", archive.url, "--batch-files", "2", "--parallel", "2")
        assert result.exit_code == 0, result.output
        assert result.stdout.count("stored     ") == 6
        assert "6 files stored" in result.stdout.splitlines()[-1]
        assert "1 file skipped, not DICOM" in result.stdout


def test_a_refusal_is_told_with_its_reason_and_what_to_do(archive: RunningBox, tmp_path: Path) -> None:
    first, second = put(tmp_path, {"first": instance("1.2.78.1"), "second": instance("1.2.78.1", b"two ")})
    result = invoke("send", first, second, "--to", archive.url, "--parallel", "1")
    assert result.exit_code == 1
    assert f"stored     {first}\n" in result.stdout
    assert f"refused    {second}: 0111H duplicate SOP instance; the archive has another object" in result.stdout
    assert "1 file stored" in result.stdout
    assert "1 file refused" in result.stdout


def test_a_file_that_is_cut_or_foreign_is_not_sent(archive: RunningBox, tmp_path: Path) -> None:
    cut, foreign = put(tmp_path, {"cut": shipped("CT_small.dcm")[:-100], "foreign": b"hello"})
    result = invoke("send", cut, foreign, "--to", archive.url)
    assert result.exit_code == 1
    assert f"unreadable {cut}: " in result.stdout
    assert "the file is cut: copy it again" in result.stdout
    assert f"unreadable {foreign}: This does not begin like a DICOM file; name DICOM files" in result.stdout


def test_implicit_vr_leaves_as_explicit(archive: RunningBox, tmp_path: Path) -> None:
    (path,) = put(tmp_path, {"plan": shipped("rtplan.dcm")})
    assert invoke("send", path, "--to", archive.url, "--http", "2").exit_code == 0
    uid = scan(path.read_bytes()).sop_instance_uid
    with urllib.request.urlopen(f"{archive.url}/admin/instances/{uid}/file") as answer:
        assert scan(answer.read()).transfer_syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN


def test_json_is_a_line_for_each_file_and_a_summary(archive: RunningBox, tmp_path: Path) -> None:
    put(tmp_path, {"a": instance("1.2.79.1"), "b": b"no"})
    result = invoke("send", tmp_path, "--to", archive.url, "--json")
    *files, last = map(json.loads, result.stdout.splitlines())
    found = {Path(each["file"]).name: (each["outcome"], each["sop_instance_uid"]) for each in files}
    assert found == {"a": ("stored", "1.2.79.1"), "b": ("skipped", None)}
    assert last["summary"]["stored"] == 1
    assert result.exit_code == 0


def test_nobody_there(tmp_path: Path) -> None:
    (path,) = put(tmp_path, {"a": instance("1.2.79.2")})
    result = invoke("send", path, "--to", f"http://127.0.0.1:{free_port()}/dicom-web", "--retries", "0")
    assert result.exit_code == 3
    assert "connection refused" in result.stderr
    assert "does the archive run?" in result.stderr
    assert "1 file not sent" in result.stdout


def test_the_wrong_url_ends_it_with_the_remedy(archive: RunningBox, tmp_path: Path) -> None:
    put(tmp_path, {f"{n}": instance(f"1.2.80.{n}") for n in range(9)})
    result = invoke("send", tmp_path, "--to", archive.url.removesuffix("/dicom-web"), "--batch-files", "3")
    assert result.exit_code == 1
    assert "HTTP 404: There is no such resource; --to must be the Base URI" in result.stderr
    assert "9 files not sent" in result.stdout


def test_nothing_to_send(archive: RunningBox, tmp_path: Path) -> None:
    put(tmp_path, {"a": b"no"})
    result = invoke("send", tmp_path, "--to", archive.url)
    assert result.exit_code == 1
    assert result.stdout == "nothing to send: no DICOM file among 1 file\n"


def test_usage(tmp_path: Path) -> None:
    (path,) = put(tmp_path, {"a": b"not a certificate"})
    assert "a URL begins with" in invoke("send", path, "--to", "ftp://x").stderr
    assert "cannot use the roots" in invoke("send", path, "--to", "https://x", "--ca", path).stderr
    wrong = (("send", path, "--to", "ftp://x"), ("send", tmp_path / "nowhere", "--to", "http://x"), ("send", path))
    assert [invoke(*arguments).exit_code for arguments in wrong] == [2, 2, 2]


def test_as_a_process(archive: RunningBox, tmp_path: Path) -> None:
    (path,) = put(tmp_path, {"a": instance("1.2.81.1")})
    out, err = (process := spawn("send", path, "--to", archive.url)).communicate()
    assert (process.returncode, err) == (0, "")
    assert out.startswith(f"stored     {path}\n")


def test_ctrl_c_ends_it_with_a_summary(tmp_path: Path) -> None:
    (path,) = put(tmp_path, {"a": instance("1.2.81.2")})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = spawn("send", path, "--to", f"http://127.0.0.1:{silent.getsockname()[1]}")
        silent.accept()[0].close()  # the sender is at work; the second connection is never accepted
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 1
    assert "edged: interrupted: send the rest again" in err
    assert "Traceback" not in err
    assert "1 file not sent" in out


def test_the_bar_shows_what_was_not_stored() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=60, color_system=None)
    report = BarReport(Totals(3, 300), "http://archive", console)
    with report.shown():
        report.moved(100)
        report.told(FileResult(Path("good"), Outcome.STORED, 100, "1.2"))
        report.told(FileResult(Path("bad"), Outcome.REFUSED, 100, "1.3", 0xA700, "A700H out of resources"))
        report.paused(2.0, "HTTP 503")
    report.finish(Stop("HTTP 503", answered=True, status=503), interrupted=True)
    shown = screen.getvalue()
    assert "bad: A700H out of resources; the archive has no room for it now: send it again later\n" in shown
    assert "stored     good" not in shown
    assert "waiting 2.0 s before the next try: HTTP 503" in shown
    assert "1 file stored (100 B)" in shown
    assert "1 file not sent" in shown
    assert not report.all_stored
