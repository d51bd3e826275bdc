"""The process that decompresses: under the shipped unit's filter, and how it ends by what is not the instance's."""

import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from edged.services.transcode_worker import FIRST_TO_GO, Ended
from tests.support import unit_filter
from tests.support.transcode_kit import BROKEN, COLOUR, FILES, WAVELETS, shadowed, worker

FILTER = [sys.executable, unit_filter.__file__]


@pytest.mark.parametrize("name", [COLOUR, WAVELETS])
@pytest.mark.parametrize("denied", [[], ["setpriority", "nice"]])
def test_it_works_under_the_filter_of_the_unit(name: str, denied: list[str]) -> None:
    with (FILES / name).open("rb") as source, TemporaryFile() as out:
        with worker(source, out, before=[*FILTER, *denied, "--"]) as process:
            process.communicate(b"\n")
        assert process.returncode == Ended.DONE
        assert os.fstat(out.fileno()).st_size > 0


def test_a_full_disk_is_no_fault_of_the_instance() -> None:
    with (FILES / COLOUR).open("rb") as source, open("/dev/full", "r+b", buffering=0) as out:
        with worker(source, out) as process:
            process.communicate(b"\n")
        assert process.returncode == Ended.UNDONE


def test_who_is_not_waited_for_any_more_ends() -> None:
    with (FILES / COLOUR).open("rb") as source, TemporaryFile() as out:
        with worker(source, out) as process:
            process.communicate()
        assert process.returncode == Ended.UNDONE


def test_what_the_decoders_complain_of_is_the_instance() -> None:
    with (FILES / BROKEN).open("rb") as source, TemporaryFile() as out:
        with worker(source, out) as process:
            said, _ = process.communicate(b"\n")
        assert (process.returncode, said) == (Ended.UNREADABLE, b"")


def test_without_plug_ins_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", shadowed(tmp_path, "raise ImportError"))
    with (FILES / WAVELETS).open("rb") as source, TemporaryFile() as out:
        with worker(source, out) as process:
            said, _ = process.communicate(b"\n")
        assert process.returncode == Ended.CANNOT
        assert b"no plug-in for its transfer syntax is installed (edged[codecs])" in said


def test_a_stopped_service_does_not_end_it_and_memory_runs_out_for_it_first() -> None:
    with (FILES / COLOUR).open("rb") as source, TemporaryFile() as out:
        with worker(source, out) as process:
            assert process.stdout is not None
            assert process.stdout.readline().strip().isdigit()
            assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == FIRST_TO_GO
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            process.communicate(b"\n")
        assert process.returncode == Ended.DONE


def test_it_ends_at_its_limit_of_the_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", shadowed(tmp_path, "while True: pass"))
    with (FILES / WAVELETS).open("rb") as source, TemporaryFile() as out:
        with worker(source, out, processor_s=1) as process:
            process.communicate(b"\n")
        assert process.returncode == -signal.SIGXCPU
