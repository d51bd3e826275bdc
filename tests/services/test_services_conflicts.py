"""What a sender and the person responsible see of another data set under a known UID, by the settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from edged.config import ConfigError, parse
from edged.services.conflicts import CONFLICT, tell_conflicts
from edged.store.counters import standing
from edged.store.records import Standing
from tests.support.asgi_kit import Answer
from tests.support.box_kit import ARCHIVE, opened_box, served_box
from tests.support.stow_kit import made, named

ONE, TWO = named(1), named(2)
FIRST, SECOND = made(ONE), made(ONE, patient=b"P2")
DICOM = {"Accept": "application/dicom"}
RETRIEVE_URL, REFERENCED, FAILED = "00081190", "00081199", "00081198"


def read(answer: Answer) -> Any:
    return json.loads(answer.body)


def config(duplicate: str) -> str:
    return f'duplicate = "{duplicate}"\n[origin]\nbind = ["http://127.0.0.1:0"]\n{ARCHIVE}'


async def test_both_are_kept(tmp_path: Path) -> None:
    async with opened_box(tmp_path, config("keep-both")) as box:
        await box.stow(FIRST)
        answer = await box.stow(SECOND)
        assert answer.status == 200
        assert "content-location" not in answer.headers
        assert "Value" not in read(answer)[RETRIEVE_URL]
        (item,) = read(answer)[REFERENCED]["Value"]
        assert "Value" not in item[RETRIEVE_URL]
        assert (await box.ask("GET", ONE.path, DICOM)).body == FIRST
        assert [each.name for each in box.conditions.snapshot()] == [CONFLICT]
        assert (await box.stow(SECOND)).status == 200
        assert box.store.read_now(lambda txn: txn.counter(standing(Standing.CONFLICT))) == 1


async def test_beside_a_conflict_the_others_of_the_request_are_as_ever(tmp_path: Path) -> None:
    async with opened_box(tmp_path, config("keep-both")) as box:
        await box.stow(FIRST)
        answer = await box.stow(SECOND, made(TWO))
        assert answer.status == 200
        assert answer.headers["content-location"].endswith(f"/studies/{TWO.study}")
        items = read(answer)[REFERENCED]["Value"]
        assert ["Value" in item[RETRIEVE_URL] for item in items] == [False, True]


async def test_the_second_replaces_the_first(tmp_path: Path) -> None:
    async with opened_box(tmp_path, config("replace")) as box:
        await box.stow(FIRST)
        answer = await box.stow(SECOND)
        assert (answer.status, "content-location" in answer.headers) == (200, True)
        assert (await box.ask("GET", ONE.path, DICOM)).body == SECOND
        assert box.conditions.snapshot() == ()
        await box.store.wait_swept()


async def test_the_second_is_refused(tmp_path: Path) -> None:
    async with opened_box(tmp_path, config("refuse")) as box:
        await box.stow(FIRST)
        answer = await box.stow(SECOND)
        assert answer.status == 409
        assert FAILED in read(answer)


async def test_the_condition_is_back_after_a_restart_and_ends_with_the_conflicts(tmp_path: Path) -> None:
    async with opened_box(tmp_path, config("keep-both"), keep=True) as box:
        await box.stow(FIRST)
        await box.stow(SECOND)
    async with served_box(tmp_path, config("keep-both")) as parts:
        assert parts.conditions.stands(CONFLICT)
        await parts.store.write(lambda txn: txn.add(standing(Standing.CONFLICT), -1))
        tell_conflicts(parts.store, parts.conditions)
        assert not parts.conditions.stands(CONFLICT)
        await parts.store.write(lambda txn: txn.add(standing(Standing.CONFLICT), 1))


def test_an_archive_replaces_nothing() -> None:
    with pytest.raises(ConfigError) as told:
        parse('[store]\nduplicate = "replace"\n[commitment]\nevidence = "local"\n', {})
    assert "keep-both" in str(told.value.problems)
