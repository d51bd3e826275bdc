"""A failed store is a condition, not the end of the process."""

from functools import partial

import pytest
import trio

from edged.app.background import AGAIN_S, STORE_FAILED, keep_going, tell_paused, while_it_writes
from edged.store.errors import StoreFailed, StoreFull
from edged.store.failure import Failure
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions
from edged.telemetry.live import DestinationLive, DestinationState, Live, Phase


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


async def test_a_job_that_needs_to_write_ends_with_the_store(autojump_clock: trio.testing.MockClock) -> None:
    failure, ended, paused = Failure(), [], []

    async def job() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(trio.current_time())

    with trio.move_on_after(100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(while_it_writes, job, failure, then=lambda: paused.append(len(ended))))
            await trio.sleep(10)
            assert not ended
            failure.happened("no disk")
            await trio.sleep(10)
            assert (len(ended), paused) == (1, [1])


def test_every_destination_is_said_to_be_paused() -> None:
    live = Live()
    live.publish_destination("archive", DestinationLive(state=DestinationState.RETRYING, phase=Phase.TCP))
    tell_paused(live)
    assert live.destinations["archive"].state is DestinationState.PAUSED
    assert live.destinations["archive"].phase is Phase.TCP
