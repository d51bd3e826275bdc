"""A destination that takes nothing for long is told of, and not before."""

from pathlib import Path

import pytest

from edged.telemetry.live import DestinationState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import named

TOLD = "destination-down:archive"


async def test_a_refused_connection_is_told_after_a_quarter_of_an_hour_with_the_reason(tmp_path: Path) -> None:
    async with forwarding(tmp_path, destination("http://127.0.0.1:9")) as box:
        await box.take_made(named(1))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        for _ in range(14):
            await box.pass_time(60)
        assert box.condition_names() == set()
        await box.until(lambda: box.condition_names() == {TOLD}, step_s=60)
        [told] = box.conditions.snapshot()
        assert "lately in tcp: " in told.hint
        assert "refused" in told.hint
        assert "`edged probe archive`" in told.hint


async def test_an_archive_that_is_busy_for_long_is_told_until_it_takes_something(tmp_path: Path) -> None:
    stored = {"commitment": '["stored"]'}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **stored)) as box:
        archive.on_store = lambda _: Reply(503)
        await box.take_made(named(1))
        await box.until(lambda: box.condition_names() == {TOLD}, step_s=60)
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 1} and not box.condition_names(), step_s=60)


@pytest.mark.parametrize("status", [401, 405])
async def test_what_has_a_condition_of_its_own_has_no_other_one(tmp_path: Path, status: int) -> None:
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        archive.on_store = lambda _: Reply(status)
        await box.take_made(named(1))
        for _ in range(40):
            await box.pass_time(60)
        assert len(box.condition_names()) == 1
        assert TOLD not in box.condition_names()
