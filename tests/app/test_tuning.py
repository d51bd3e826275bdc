"""What of the settings a running box takes over when they are read again: the rates, and nothing from a bad file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs

from edged.app.tuning import FAILED, keep_tuned, tune
from edged.config import ConfigError, RateWindow, Settings
from edged.services.bell import Bell
from edged.upstream.destination import Destination
from tests.conftest import ExpectedLogs
from tests.support.box_kit import ARCHIVE, Box, opened_box

SLOW = (RateWindow(1000.0),)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, ARCHIVE) as opened:
        yield opened


def slower(box: Box) -> Settings:
    (archive,) = box.settings.destinations
    return structs.replace(box.settings, destinations=(structs.replace(archive, rate=SLOW),))


async def test_the_rates_are_taken_over_when_it_is_asked_for(box: Box, nursery: trio.Nursery) -> None:
    surroundings, asked = box.parts.surroundings, Bell()
    archive = Destination(1, box.settings.destinations[0], surroundings)
    tuned = surroundings.tuned.next
    nursery.start_soon(lambda: keep_tuned(lambda: slower(box), asked, box=surroundings, conditions=box.conditions))
    await trio.testing.wait_all_tasks_blocked()
    assert not archive.rates
    asked.ring()
    await tuned.wait()
    assert archive.rates == SLOW


async def test_a_file_with_a_problem_changes_nothing_until_it_is_put_right(
    box: Box, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("box.nam: unknown key")

    def bad() -> Settings:
        raise ConfigError(["box.nam: unknown key"])

    surroundings = box.parts.surroundings
    tune(lambda: slower(box), surroundings, box.conditions)
    tune(bad, surroundings, box.conditions)
    assert surroundings.rates == {"archive": SLOW}
    assert [each.name for each in box.conditions.snapshot()] == [FAILED]
    tune(lambda: box.settings, surroundings, box.conditions)
    assert surroundings.rates == {"archive": ()}
    assert box.conditions.snapshot() == ()
