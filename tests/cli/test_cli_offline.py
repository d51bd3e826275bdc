"""`edged check-store --deep` and `edged export`: what they find and write, and that the store is as it was."""

import hashlib
import json
from pathlib import Path

import pytest

from edged.store.counters import NEXT_INSTANCE
from edged.store.creation import STORE
from edged.store.schema import CHUNK_BYTES, CHUNKS, COUNTERS, EVICTABLE, INSTANCES, chunk_key, u64_key
from edged.store.transaction import Transaction
from tests.support.cli_kit import invoke
from tests.support.dicom_samples import shipped
from tests.support.offline_kit import change, filled, wipe_pages
from tests.support.stow_kit import STUDY, made, named

LARGE = made(named(1), size=3 * CHUNK_BYTES)
SMALL, OTHER = made(named(2)), made(named(2), fill=b"\xa5")
ELSEWHERE = made(named(1, "1.2.826.0.1.2"))
MR = shipped("MR_small_implicit.dcm")


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place(number: int, study: str = STUDY, *, suffix: str = "") -> str:
    return f"{study}/{study}.1/{study}.1.{number}{suffix}.dcm"


def flip_a_byte(txn: Transaction) -> None:
    """The second byte from the end of the first instance's second chunk."""
    chunk = bytearray(txn.get(CHUNKS, chunk_key(1, 1)) or b"")
    chunk[-2] ^= 1
    txn.put(CHUNKS, chunk_key(1, 1), bytes(chunk))


def digest_of_store(folder: Path) -> str:
    return hashlib.sha256((folder / "box" / STORE / "data.mdb").read_bytes()).hexdigest()


def test_a_good_store(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL, OTHER])
    result = invoke("check-store", "--config", config, "--deep")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "3 instances, 200 kB read, 0 problems\n"
    told = json.loads(invoke("check-store", "--config", config, "--deep", "--json").stdout)
    assert told == {"instances": 3, "problems": [], "read_bytes": len(LARGE) + len(SMALL) + len(OTHER)}


def test_a_byte_that_turned_is_found_by_reading_only(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL])
    change(tmp_path, flip_a_byte)
    assert invoke("check-store", "--config", config).exit_code == 0
    result = invoke("check-store", "--config", config, "--deep")
    assert result.exit_code == 1
    first, last = result.stdout.splitlines()
    assert first == f"instance 1 ({STUDY}.1.1) holds other bytes than were stored"
    assert last.endswith(", 1 problem")


def test_a_lost_chunk_is_found(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE])
    change(tmp_path, lambda txn: txn.delete(CHUNKS, chunk_key(1, 1)))
    told = json.loads(invoke("check-store", "--config", config, "--deep", "--json").stdout)
    assert len(told["problems"]) == 2
    assert all(f"instance 1 ({STUDY}.1.1)" in problem for problem in told["problems"])


def test_tables_that_disagree_are_told_apart_and_not_refused(tmp_path: Path) -> None:
    config = filled(tmp_path, [SMALL])
    change(tmp_path, lambda txn: txn.delete(INSTANCES, u64_key(1)))
    result = invoke("check-store", "--config", config)
    assert result.exit_code == 1
    assert "chunks of number 1 are neither recorded nor unowned" in result.stdout


def test_problems_are_listed_up_to_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edged.cli.check_store.MOST_LISTED", 1)
    config = filled(tmp_path, [SMALL])
    change(tmp_path, lambda txn: txn.delete(INSTANCES, u64_key(1)))
    told = json.loads(invoke("check-store", "--config", config, "--json").stdout)
    assert len(told["problems"]) == 2


def test_every_instance_comes_out_as_it_went_in(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL, OTHER, ELSEWHERE, MR])
    before, out = digest_of_store(tmp_path), tmp_path / "out"
    result = invoke("export", out, "--config", config)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"5 instances exported to {out} (")
    files = tree(out)
    assert files[place(1)] == LARGE
    assert files[place(2)] == SMALL
    assert files[place(2, suffix=".conflict-3")] == OTHER
    assert files[place(1, "1.2.826.0.1.2")] == ELSEWHERE
    assert MR in files.values()
    assert len(files) == 5
    assert all(path.stat().st_mode & 0o077 == 0 for path in out.rglob("*"))
    assert digest_of_store(tmp_path) == before


def test_again_into_the_same_folder_writes_nothing(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL])
    out = tmp_path / "out"
    invoke("export", out, "--config", config)
    (out / place(2)).write_bytes(b"somebody's")
    told = invoke("export", out, "--config", config, "--json")
    assert told.exit_code == 1
    result = json.loads(told.stdout)
    assert (result["written"], result["present"], result["failed"]) == (0, 1, 1)
    assert result["failures"][0]["sop_instance_uid"] == f"{STUDY}.1.2"
    assert (out / place(2)).read_bytes() == b"somebody's"


def test_a_selection(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL, OTHER, ELSEWHERE], committed=[1])
    invoke("export", tmp_path / "uncommitted", "--config", config, "--uncommitted")
    names = {place(2), place(2, suffix=".conflict-3"), place(1, "1.2.826.0.1.2")}
    assert tree(tmp_path / "uncommitted").keys() == names
    invoke("export", tmp_path / "study", "--config", config, "--study", "1.2.826.0.1.2")
    assert tree(tmp_path / "study").keys() == {place(1, "1.2.826.0.1.2")}


def test_a_damaged_instance_is_not_exported_under_its_name(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL])
    change(tmp_path, flip_a_byte)
    out = tmp_path / "out"
    result = invoke("export", out, "--config", config)
    assert result.exit_code == 1
    assert f"number 1 ({STUDY}.1.1) was not exported" in result.stdout
    assert tree(out) == {place(2): SMALL}
    salvaged = invoke("export", out, "--config", config, "--salvage")
    assert salvaged.exit_code == 0
    assert tree(out).keys() == {place(1), place(2)}


def test_a_record_that_lies_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    config = filled(tmp_path, [SMALL])

    def lie(txn: Transaction) -> None:
        record = bytes(txn.get(INSTANCES, u64_key(1)) or b"")
        uid = named(2).instance.encode()
        txn.put(INSTANCES, u64_key(1), record.replace(uid, b"/" * len(uid)))

    change(tmp_path, lie)
    out = tmp_path / "a" / "out"
    assert invoke("export", out, "--config", config).exit_code == 1
    assert tree(out) == {}


def test_salvage_needs_no_index(tmp_path: Path) -> None:
    config = filled(tmp_path, [LARGE, SMALL, OTHER, ELSEWHERE])

    def wreck(txn: Transaction) -> None:
        for number in (1, 2, 3):
            txn.delete(INSTANCES, u64_key(number))
        txn.put(INSTANCES, u64_key(4), b"\xc1")
        txn.put(EVICTABLE, b"short", b"")
        txn.put(CHUNKS, chunk_key(9, 0), b"no instance")
        txn.put(COUNTERS, NEXT_INSTANCE, (9).to_bytes(8, "big"))

    change(tmp_path, wreck)
    before, out = digest_of_store(tmp_path), tmp_path / "out"
    assert invoke("export", out, "--config", config).exit_code == 1
    result = invoke("export", out, "--config", config, "--salvage")
    assert result.exit_code == 1
    assert "number 9 (unknown UID) was not exported: no whole instance" in result.stdout
    expected = {
        place(1): LARGE,
        place(2): SMALL,
        place(2, suffix=".conflict-3"): OTHER,
        place(1, "1.2.826.0.1.2"): ELSEWHERE,
    }
    assert tree(out) == expected
    again = invoke("export", out, "--config", config, "--salvage", "--study", STUDY, "--json")
    assert json.loads(again.stdout)["present"] == 3
    assert tree(out) == expected
    assert digest_of_store(tmp_path) == before


def test_salvage_goes_on_behind_a_page_that_cannot_be_read(tmp_path: Path) -> None:
    parts = [made(named(number)) for number in range(1, 31)]
    config = filled(tmp_path, parts)
    assert wipe_pages(tmp_path, chunk_key(15, 0) + bytes(128) + b"DICM")
    result = invoke("export", tmp_path / "out", "--config", config, "--salvage", "--json")
    files = tree(tmp_path / "out")
    assert json.loads(result.stdout)["written"] == len(files)
    assert {place(1): parts[0], place(30): parts[29]}.items() <= files.items()
    assert place(15) not in files


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    config = filled(tmp_path, [SMALL])
    (tmp_path / "file").write_bytes(b"")
    assert invoke("export", tmp_path / "file" / "out", "--config", config).exit_code == 1
    (tmp_path / "out" / STUDY).parent.mkdir()
    (tmp_path / "out" / STUDY).write_bytes(b"")
    result = invoke("export", tmp_path / "out", "--config", config)
    assert result.exit_code == 1
    assert "cannot write to" in result.stderr


def test_usage(tmp_path: Path) -> None:
    config = filled(tmp_path, [])
    assert invoke("export", tmp_path / "out", "--config", config, "--salvage", "--uncommitted").exit_code == 2
    empty = invoke("export", tmp_path / "out", "--config", config)
    assert (empty.exit_code, empty.stdout) == (0, f"0 instances exported to {tmp_path / 'out'} (0 B)\n")
    config.write_text(f'[box]\ndata_dir = "{tmp_path}/none"\n')
    assert invoke("export", tmp_path / "out", "--config", config).exit_code == 3
