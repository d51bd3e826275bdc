"""Storage commitment with archives that say the same for ever: nothing is stuck, nothing is asked without a pause."""

from pathlib import Path

import pytest

from tests.support.committing import NOT_READY
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Asked, Reply, committed, scripted_archive
from tests.support.stow_kit import named

TOLD = {"commitment-refused:archive"}


async def test_duplicate_transaction_uid_for_ever_is_paced_and_told(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda asked: committed((), dict.fromkeys(asked.listed, 0x0131))
        await box.take_made(named(1), named(2))
        for _ in range(20):
            await box.pass_time(0)
        assert len(archive.commitments) == 2  # at once, once
        await box.until(lambda: box.condition_names() == TOLD, step_s=1)
        before = len(archive.commitments)
        for _ in range(24):
            await box.pass_time(300)
        assert 0 < len(archive.commitments) - before <= 60
        assert box.condition_names() == TOLD
        archive.on_commitment = lambda asked: committed(asked.listed)
        await box.until(lambda: box.at() == {"committed": 2} and not box.condition_names(), step_s=60)


@pytest.mark.parametrize("status", [302, 400, 406, 409, 415])
async def test_a_check_that_is_refused_for_ever_blocks_nothing(tmp_path: Path, status: int) -> None:
    """The result of the first request is not to be had; that of another one is."""
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        bad = list[str]()

        def rule(asked: Asked) -> Reply:
            if asked.method == "POST" and bad:
                return committed(asked.listed)
            bad.append(asked.transaction_uid)
            return NOT_READY if asked.method == "POST" else Reply(status)

        archive.on_commitment = rule
        await box.take_made(named(1))
        await box.until(lambda: box.condition_names() == TOLD, step_s=5)
        await box.until(lambda: box.at() == {"committed": 1} and not box.condition_names(), step_s=30)
        assert len(set(bad)) == 1


async def test_checks_that_are_all_refused_lead_to_requests_ever_more_rarely(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_commitment = lambda asked: NOT_READY if asked.method == "POST" else Reply(400)
        await box.take_made(named(1))
        for _ in range(100):
            await box.pass_time(300)
        asked = [each.transaction_uid for each in archive.commitments if each.method == "POST"]
        assert len(set(asked)) == len(asked)
        assert 5 <= len(asked) <= 20  # in eight hours
        assert box.condition_names() == TOLD


async def test_a_check_accepts_what_the_archive_can_write_and_that_is_remembered(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        listed: dict[str, tuple[str, ...]] = {}

        def rule(asked: Asked) -> Reply:
            if asked.method == "POST":
                listed[asked.transaction_uid] = tuple(asked.listed)
                return NOT_READY
            if asked.all("accept") != ["application/dicom+xml"]:
                return Reply(406)
            return committed(listed[asked.transaction_uid])

        archive.on_commitment = rule
        for number in (1, 2):
            await box.take_made(named(number))
            await box.until(lambda number=number: box.at() == {"committed": number}, step_s=5)  # type: ignore[misc]
        assert box.condition_names() == set()
        checks = [each.all("accept") for each in archive.commitments if each.method == "GET"]
        assert checks.count(["application/dicom+json"]) == 1
        assert {each.all("content-type")[0] for each in archive.commitments if each.method == "POST"} == {
            "application/dicom+json"
        }
