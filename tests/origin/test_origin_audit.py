"""The audit log: whole lines, bounded, without patient data; what is lost is counted; a full disk is survived."""

import json
import resource
import threading
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.config import Access, Role
from edged.origin.audit import AGAIN_S, FAILED, LAST_S, WAITING_BYTES, Audit, Entry, Outcome, append, is_audited
from edged.origin.requester import NOBODY, Proof, Requester
from edged.origin.throttle import FAILURES
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from tests.conftest import ExpectedLogs

WHO = Requester("ct-room-2", Proof.TOKEN, frozenset({Role.STORE}))
STORED = Entry(
    request="r1",
    requester=WHO,
    address="192.0.2.7",
    method="POST",
    resource="storeInstances",
    status=HTTPStatus.OK,
    study="1.2.3",
    instances=(Outcome("1.2.3.4", "stored", "PAT^1"), Outcome("1.2.3.5", "0111H")),
)
REFUSED = Entry(
    request="r2", requester=NOBODY, address="192.0.2.9", method="GET", resource="x", status=HTTPStatus.UNAUTHORIZED
)


class Kept:
    """An audit log that a task keeps."""

    def __init__(self, folder: Path, access: Access | None = None) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.conditions = Conditions(self.clock)
        self.audit = Audit(folder, access or Access(), clock=self.clock, conditions=self.conditions)

    async def lines(self, *entries: Entry) -> list[dict[str, Any]]:
        """Note these, stop the keeper, and read what is there."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.audit.keep)
            for entry in entries:
                self.audit.note(entry)
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        return read(self.folder / "audit.log")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; each is JSON, and the last is whole."""
    text = path.read_text() if path.exists() else ""
    assert not text or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {each.name for each in folder.iterdir()}


async def test_a_line_says_who_what_and_how_it_went(tmp_path: Path) -> None:
    assert await Kept(tmp_path).lines(STORED) == [
        {
            "time": "2024-01-01T00:00:00.000+00:00",
            "request": "r1",
            "who": "ct-room-2",
            "proof": "token",
            "address": "192.0.2.7",
            "method": "POST",
            "resource": "storeInstances",
            "study": "1.2.3",
            "instances": [
                {"instance": "1.2.3.4", "outcome": "stored"},
                {"instance": "1.2.3.5", "outcome": "0111H"},
            ],
            "status": 200,
        }
    ]
    assert (tmp_path / "audit.log").stat().st_mode & 0o777 == 0o600


async def test_patient_data_only_if_it_is_wanted(tmp_path: Path) -> None:
    (line,) = await Kept(tmp_path, Access(audit_patient=True)).lines(STORED)
    assert line["instances"][0]["patient"] == "PAT^1"


async def test_what_is_no_uid_is_not_written(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(STORED, study="DOE^JANE\n", instances=(Outcome("DOE^JANE", "stored"),))
    (line,) = await Kept(tmp_path).lines(odd)
    assert "DOE" not in json.dumps(line)
    assert line["study"] == "not a UID"


async def test_a_time_that_cannot_be_believed_is_marked(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.clock.set_wall(0, trusted=False)
    (line,) = await kept.lines(STORED)
    assert line["clock"] == "not trusted"


async def test_many_instances_are_several_lines_of_one_request(tmp_path: Path) -> None:
    outcomes = tuple(Outcome(f"1.2.{number}", "stored") for number in range(1, 251))
    lines = await Kept(tmp_path).lines(msgspec.structs.replace(STORED, instances=outcomes))
    assert [len(line["instances"]) for line in lines] == [100, 100, 50]
    assert {line["request"] for line in lines} == {"r1"}


async def test_no_audit_log_if_it_is_not_wanted(tmp_path: Path) -> None:
    assert await Kept(tmp_path, Access(audit=False)).lines(STORED) == []
    assert names(tmp_path) == set()


async def test_strangers_cannot_push_the_log_out(tmp_path: Path) -> None:
    lines = await Kept(tmp_path).lines(*[REFUSED] * 1000, STORED)
    assert [line.get("status") for line in lines] == [401] * FAILURES + [200, None]
    assert lines[-1]["refused"] == 1000 - FAILURES


async def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    outcomes = tuple(Outcome("1." + "2" * 60, "stored") for _ in range(100))
    large = msgspec.structs.replace(STORED, instances=outcomes)
    for _ in range(1000):
        kept.audit.note(large)
    lines = await kept.lines()
    assert sum(line.get("lost", 0) for line in lines) + len([line for line in lines if "status" in line]) == 1000
    assert sum(map(len, (tmp_path / "audit.log").read_bytes().splitlines())) < 2 * WAITING_BYTES


async def test_a_request_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    kept = Kept(tmp_path, Access(audit_size_bytes=64 << 20))
    outcomes = tuple(Outcome(f"1.2.{number:050}", "stored") for number in range(20_000))
    for name in ("whole", "lost"):
        kept.audit.note(msgspec.structs.replace(STORED, request=name, instances=outcomes))
    written = await kept.lines()
    lines = [line for line in written if "request" in line]
    assert {line["request"] for line in lines} == {"whole"}
    assert sum(len(line["instances"]) for line in lines) == len(outcomes)
    assert [line["lost"] for line in written if "lost" in line] == [len(lines)]


async def test_it_is_rotated_at_its_size_and_bounded(tmp_path: Path) -> None:
    limit = 64 << 10
    kept = Kept(tmp_path, Access(audit_size_bytes=limit))
    for number in range(1000):
        kept.audit.note(msgspec.structs.replace(STORED, request=f"{number}"))
    await kept.lines()
    newest, older = read(tmp_path / "audit.log"), read(tmp_path / "audit.log.1")
    assert [int(line["request"]) for line in older + newest] == list(range(1000 - len(older + newest), 1000))
    assert all((tmp_path / name).stat().st_size <= limit for name in ("audit.log", "audit.log.1"))
    assert names(tmp_path) == {"audit.log", "audit.log.1"}


async def test_a_disk_that_refuses_is_a_condition_and_nothing_is_lost(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("The audit log cannot be written")
    folder = tmp_path / "away"
    kept = Kept(folder)
    turned = trio.Event()
    kept.conditions.listen(lambda _turn, _condition: turned.set())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.audit.keep)
        kept.audit.note(STORED)
        await turned.wait()
        assert kept.conditions.stands(FAILED)
        turned = trio.Event()
        folder.mkdir()
        await turned.wait()
        assert trio.current_time() >= AGAIN_S
        assert not kept.conditions.stands(FAILED)
        nursery.cancel_scope.cancel()
    assert len(read(folder / "audit.log")) == 1


async def test_a_disk_that_stays_away_does_not_hold_up_the_end(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("The audit log cannot be written")
    assert await Kept(tmp_path / "away").lines(STORED) == []


async def test_a_write_that_hangs_neither_holds_up_the_end_nor_stands_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hanging(path: Path, octets: bytes, limit_bytes: int) -> None:
        hangs.set()
        assert goes_on.wait(20)
        append(path, octets, limit_bytes)

    monkeypatch.setattr("edged.origin.audit.append", hanging)
    monkeypatch.setattr("edged.origin.audit.LAST_S", 0.05)
    kept = Kept(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.audit.keep)
        kept.audit.note(STORED)
        while not hangs.is_set():
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert read(tmp_path / "audit.log") == []
    monkeypatch.setattr("edged.origin.audit.LAST_S", LAST_S)
    goes_on.set()
    assert [line["request"] for line in await kept.lines(REFUSED)] == ["r1", "r2"]


async def test_what_a_proxy_garbled_is_marked(tmp_path: Path) -> None:
    marked = msgspec.structs.replace(STORED, forwarded_malformed=True)
    first, second = await Kept(tmp_path).lines(marked, STORED)
    assert first["forwarded"] == "malformed"
    assert "forwarded" not in second


def test_a_line_that_power_cut_short_stands_alone(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b'{"whole":1}\n{"half')
    append(path, b'{"next":1}\n', 1 << 20)
    assert path.read_bytes().splitlines() == [b'{"whole":1}', b'{"half', b'{"next":1}']


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk: three octets go in, then no more."""
    path = tmp_path / "audit.log"
    append(path, b"line\n", 1 << 20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            append(path, b"another\n", 1 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"line\n"


def test_another_file_behind_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "audit.log").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        append(tmp_path / "audit.log", b"line\n", 1 << 20)


@given(st.lists(st.integers(1, 300), max_size=60))
def test_append_keeps_the_limit(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    folder = tmp_path_factory.mktemp("audit")
    path = folder / "audit.log"
    for size in sizes:
        append(path, b"x" * size + b"\n", 500)
        assert path.stat().st_size <= 500
    assert len(list(folder.iterdir())) <= 2


@pytest.mark.parametrize(
    ("roles", "status", "noted"),
    [
        ({Role.STORE}, 200, True),
        ({Role.READ}, 404, True),
        ({Role.ADMIN}, 200, True),
        ({Role.MONITOR, Role.ADMIN}, 200, False),
        ({Role.MONITOR, Role.ADMIN}, 401, True),
        (set(Role), 200, False),
        (set(), 200, False),
        ({Role.STORE}, 403, True),
        ({Role.STORE}, 429, False),
    ],
)
def test_what_is_noted(roles: set[Role], status: int, *, noted: bool) -> None:
    assert is_audited(frozenset(roles), HTTPStatus(status)) == noted
