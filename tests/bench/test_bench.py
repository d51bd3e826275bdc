"""The bench runs and tells the truth: its table and verdicts, what its generator sends, and each section once, tiny.

No figure is judged here: tiny runs have no targets. Orthanc is left out, which the end-to-end tests run anyway.
"""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.__main__ import SECTIONS
from tests.bench.generator import Load
from tests.bench.sender import BOUNDARY, Job, Maker
from tests.bench.sides import Side
from tests.bench.sink import answer
from tests.bench.table import Figure, Row, Target, cpu_ratio, peak_mib, table, to_json, value_ratio
from tests.bench.template import PLACEHOLDERS, Kind, Template, make_template
from tests.bench.wire import Body, Protocol, SendError, connect
from tests.support.dicom_samples import read
from tests.support.stow_kit import json_report, parts_of

TWICE = Target("rate", value_ratio, 2.0)
BOUNDED = Target("memory", peak_mib, 100.0, at_least=False)


def row(ours: list[float], theirs: list[float], *targets: Target) -> Row:
    sides = {Side.EDGED: ours, Side.ORTHANC: theirs}
    figures = {side: [Figure(each, each / 10, 50.0) for each in values] for side, values in sides.items()}
    return Row("load", "instances/s", figures, targets)


def job(template: Template, *, per_request: int = 1, requests: int = 1) -> Job:
    return Job(
        port=0,
        path="/studies",
        protocol=Protocol.HTTP1,
        chunked=False,
        connections=2,
        requests=requests,
        per_request=per_request,
        head=template.head.hex(),
        placeholders=(PLACEHOLDERS.instance, PLACEHOLDERS.series, PLACEHOLDERS.study),
        block_bytes=template.block_bytes,
        blocks=template.blocks,
        run=1234567890,
        first=0,
    )


def joined(body: Body) -> bytes:
    return b"".join(bytes(piece) for piece in body.pieces)


# The table


def test_medians_decide() -> None:
    good = row([300, 10, 310], [100, 900, 110], TWICE, BOUNDED)
    assert value_ratio(good) == pytest.approx(300 / 110)
    assert cpu_ratio(good) == pytest.approx(300 / 110)
    assert (good.verdict(), good.is_missed) == ("met", False)


def test_a_missed_target_is_named_with_what_was_measured() -> None:
    bad = row([150], [100], TWICE, BOUNDED)
    assert (bad.verdict(), bad.is_missed) == ("NOT MET: rate 1.50", True)


def test_without_the_other_side_a_ratio_is_left_open() -> None:
    alone = Row("load", "s", {Side.EDGED: [Figure(1.0)]}, (TWICE,))
    assert (alone.verdict(), alone.is_missed) == ("", False)
    assert table([alone]).splitlines()[2] == "| load | s | 1.00 |"


def test_the_table_and_the_json_hold_both_sides() -> None:
    found = row([300], [100], TWICE)
    assert (
        table([found]).splitlines()[2] == "| load | instances/s | 300 | 100 | 3.00 | 30.0 | 10.0 | 50.0 | 50.0 | met |"
    )
    (told,) = to_json([found])
    assert told["verdict"] == "met"
    assert told["figures"]["orthanc"] == [{"value": 100, "cpu_s_per_gb": 10.0, "peak_mib": 50.0}]


# The generator


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_sent_is_an_instance_of_its_own(kind: Kind) -> None:
    template = make_template(kind, frames=2)
    maker = Maker(job(template, per_request=2, requests=2))
    bodies = [body for connection in (0, 1) for body in maker.bodies(connection)]
    assert all(body.length == len(joined(body)) for body in bodies)
    content_type = f"multipart/related; boundary={BOUNDARY.decode()}"
    files = [data for body in bodies for _, data in parts_of(content_type, joined(body))]
    assert {len(data) for data in files} == {template.size}
    data_sets = [read(data) for data in files]
    assert len({each.SOPInstanceUID for each in data_sets}) == len(files) == 8
    for each in data_sets:
        assert each.file_meta.MediaStorageSOPInstanceUID == each.SOPInstanceUID
        assert len(each.PixelData) == template.block_bytes * template.blocks
        assert each.Rows * each.Columns * 2 * int(each.get("NumberOfFrames", 1)) == len(each.PixelData)


def test_every_connection_sends_as_much() -> None:
    load = Load(make_template(Kind.SMALL), 500, 8, 100)
    assert (load.requests, load.instances) == (1, 800)


@contextmanager
def answering(said: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server of one request; the port, and what it was sent."""
    heard: list[bytes] = []

    def serve() -> None:
        stream, _ = listener.accept()
        with stream:
            got = b""
            while not got.endswith(b"END\r\n") and not got.endswith(b"0\r\n\r\n"):
                got += stream.recv(65_536)
            heard.append(got)
            stream.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], heard
        thread.join()


def test_a_request_and_its_answer() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as (port, heard):
        wire = connect(Protocol.HTTP1, port)
        wire.post("/studies", b"b", Body([b"one", memoryview(b"two"), b"END\r\n"]))
        wire.close()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert b"Content-Length: 11" in head
    assert body == b"onetwoEND\r\n"


def test_a_chunked_request() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") as (port, heard):
        wire = connect(Protocol.HTTP1, port, chunked=True)
        wire.post("/studies", b"b", Body([b"one", b"0123456789ab"]))
        wire.close()
    assert heard[0].partition(b"\r\n\r\n")[2] == b"3\r\none\r\nc\r\n0123456789ab\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_another_answer_fails(said: bytes) -> None:
    with answering(said) as (port, _):
        wire = connect(Protocol.HTTP1, port)
        with pytest.raises(SendError):
            wire.post("/studies", b"b", Body([b"END\r\n"]))
        wire.close()


def test_the_sink_names_what_it_was_sent() -> None:
    template = make_template(Kind.SMALL)
    (body,) = Maker(job(template, per_request=3)).bodies(0)
    said = answer(b"POST /dicom-web/studies HTTP/1.1", bytearray(joined(body)))
    stored = json_report(said.partition(b"\r\n\r\n")[2]).stored
    assert sorted(stored) == [f"2.25.11234567890{number:07d}" for number in range(3)]


# The command


@pytest.mark.timeout(120)
@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_a_section_runs(section: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", section, "--tiny", "--only", "edged", "--work", str(tmp_path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"## {section}"
    assert len(lines) > 5
    assert not list(tmp_path.iterdir())
