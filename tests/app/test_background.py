"""A failed store is a condition, not the end of the process."""

import pytest
import trio

from edged.app.background import AGAIN_S, STORE_FAILED, keep_going
from edged.store.errors import StoreFailed, StoreFull
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions


async def test_a_job_begins_again_after_a_failure_of_the_store(autojump_clock: trio.testing.MockClock) -> None:
    conditions, runs = Conditions(ManualClock()), []

    async def job() -> None:
        runs.append(trio.current_time())
        if len(runs) < 3:
            raise StoreFailed("no disk") if len(runs) == 2 else StoreFull("no room")
        await trio.sleep_forever()

    with trio.move_on_after(10 * AGAIN_S):
        await keep_going(job, conditions)
    assert len(runs) == 3
    assert [each.name for each in conditions.snapshot()] == [STORE_FAILED]


async def test_any_other_error_ends_the_job() -> None:
    async def job() -> None:
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await keep_going(job, Conditions(ManualClock()))
