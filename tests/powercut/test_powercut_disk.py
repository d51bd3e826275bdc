"""The shim and the model of the disk against a real file system: what was done, what is durable, what may be lost."""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.powercut.cut import Cut, Style, all_kept, choose, laid_out
from tests.powercut.disk import SECTOR, Disk
from tests.powercut.recording import Op, Record, RecordingError, build_shim, read_records

Contents = dict[str, bytes | None]
NOTHING = Cut(Style.NOTHING, (), None)


def recorded(folder: Path, *arguments: str) -> list[Record]:
    """Run Python under the shim; what it did below `folder`/disk."""
    (folder / "disk").mkdir()
    environment = os.environ | {
        "LD_PRELOAD": str(build_shim()),
        "POWERCUT_LOG": str(folder / "log"),
        "POWERCUT_ROOT": str(folder / "disk"),
    }
    subprocess.run([sys.executable, *arguments], check=True, env=environment, cwd=Path(__file__).parents[2])
    return read_records(folder / "log")


def contents(folder: Path) -> Contents:
    """All names below a folder, with the bytes of the files."""
    found = sorted(folder.rglob("*"))
    return {str(each.relative_to(folder)): None if each.is_dir() else each.read_bytes() for each in found}


def left(disk: Disk, cut: Cut, folder: Path) -> Contents:
    with laid_out(disk, cut, folder / "laid") as laid:
        return contents(laid.root)


def disk_after(records: Sequence[Record], folder: Path) -> Disk:
    (folder / "nodes").mkdir(exist_ok=True)
    disk = Disk(str(folder / "disk"), folder / "nodes")
    for record in records:
        disk.apply(record)
    return disk


@pytest.mark.parametrize("seed", range(12))
def test_what_the_model_keeps_is_what_the_machine_saw(tmp_path: Path, seed: int) -> None:
    records = recorded(tmp_path, "-m", "tests.powercut.scribble", str(tmp_path / "disk"), str(seed))
    with closing(disk_after(records, tmp_path)) as disk:
        assert left(disk, all_kept(disk), tmp_path) == contents(tmp_path / "disk")
        durable = left(disk, NOTHING, tmp_path)
        for number in range(20):
            left(disk, choose(disk, random.Random(number)), tmp_path)
        assert left(disk, NOTHING, tmp_path) == durable


WRITE = "import os; f = os.open('{root}/a', os.O_RDWR | os.O_CREAT); os.pwrite(f, b'1' * 1000, 0); "
FOLDER = "d = os.open('{root}', os.O_RDONLY); os.fsync(d); "


@pytest.mark.parametrize(
    ("script", "durable"),
    [
        (WRITE, {}),
        (WRITE + "os.fsync(f)", {}),
        (WRITE + FOLDER, {"a": b""}),
        (WRITE + "os.fdatasync(f); " + FOLDER, {"a": b"1" * 1000}),
        (WRITE + FOLDER + "os.fsync(f); os.pwrite(f, b'2', 0)", {"a": b"1" * 1000}),
        (WRITE + FOLDER + "os.fsync(f); os.rename('{root}/a', '{root}/b')", {"a": b"1" * 1000}),
        (WRITE + "os.fsync(f); os.rename('{root}/a', '{root}/b'); " + FOLDER, {"b": b"1" * 1000}),
        (WRITE + FOLDER + "os.fsync(f); os.unlink('{root}/a')", {"a": b"1" * 1000}),
        ("import os; os.mkdir('{root}/x'); os.mkdir('{root}/x/y'); " + FOLDER, {"x": None}),
    ],
)
def test_what_survives_when_nothing_else_does(tmp_path: Path, script: str, durable: Contents) -> None:
    records = recorded(tmp_path, "-c", script.format(root=tmp_path / "disk"))
    with closing(disk_after(records, tmp_path)) as disk:
        assert left(disk, NOTHING, tmp_path) == durable


def test_a_write_through_o_dsync_takes_its_own_sectors_with_it(tmp_path: Path) -> None:
    script = WRITE + FOLDER + "s = os.open('{root}/a', os.O_WRONLY | os.O_DSYNC); os.pwrite(s, b'22', 600)"
    records = recorded(tmp_path, "-c", script.format(root=tmp_path / "disk"))
    with closing(disk_after(records, tmp_path)) as disk:
        second = b"1" * 88 + b"22" + b"1" * 398
        assert left(disk, all_kept(disk), tmp_path)["a"] == b"1" * SECTOR + second
        assert left(disk, NOTHING, tmp_path)["a"] == bytes(SECTOR) + second


def test_a_flush_covers_what_had_ended_when_it_began(tmp_path: Path) -> None:
    records = recorded(tmp_path, "-c", (WRITE + FOLDER + "os.fsync(f)").format(root=tmp_path / "disk"))
    written = next(each for each in records if each.op is Op.WRITE and each.ended)
    late = [each for each in records if each is not written]
    late.insert(len(late) - 1, written)  # between the two records of the last flush
    with closing(disk_after(late, tmp_path)) as disk:
        assert left(disk, NOTHING, tmp_path)["a"] == b""
        assert left(disk, all_kept(disk), tmp_path)["a"] == b"1" * 1000


def test_a_log_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(100))
    with pytest.raises(RecordingError, match="byte 0"):
        read_records(tmp_path / "log")
