"""What the hour of kills has found: places that were not written, moved for a silent line, or lost with old events."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.server.limits import DEFAULT
from edged.services.subscribers import PATIENCE_S, WRITTEN_AFTER_S
from edged.store.events import trim_events
from edged.store.store import open_store
from tests.support.follower_kit import Follower, Watching
from tests.support.store_kit import CAPACITY

pytestmark = pytest.mark.usefixtures("autojump_clock")

EACH = "/subscribers/monitor?granularity=instance"
SOON_S = 0.2


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Watching]:
    async with open_store(tmp_path / "store", CAPACITY, inline=True) as store, trio.open_nursery() as nursery:
        yield Watching(store, nursery)
        nursery.cancel_scope.cancel()


def numbers(follower: Follower) -> list[int]:
    return [number for told in follower.told for number in told.numbers]


async def test_a_place_is_written_in_time_whoever_comes_and_goes_meanwhile(watching: Watching) -> None:
    follower = await watching.open(EACH)
    for name in ("another", "a-third"):
        await (await watching.open(f"/subscribers/{name}")).close()
        await watching.instances_come(1)
        await trio.sleep(SOON_S)
        follower.say("1")
        await trio.sleep(WRITTEN_AFTER_S + SOON_S)
    assert numbers(follower) == [1, 2]
    await watching.restart(power_cut=True)
    await watching.instances_come(1)
    again = await watching.open(EACH)
    await trio.sleep(SOON_S)
    assert numbers(again) == [3]


async def test_what_was_acknowledged_one_by_one_does_not_come_again_when_the_events_before_it_are_gone(
    watching: Watching,
) -> None:
    follower = await watching.open(EACH)
    await watching.instances_come(10)
    await trio.sleep(SOON_S)
    for _ in range(5):
        follower.say("1")
    await trio.sleep(SOON_S)
    await follower.close()
    await watching.store.write(partial(trim_events, before=0.0, keep=7))
    again = await watching.open(EACH)
    await trio.sleep(SOON_S)
    assert numbers(again) == [6, 7, 8, 9, 10]


def test_a_silent_line_is_found_out_before_its_requester_is_taken_for_a_plain_one() -> None:
    """A ping may have been sent just before the report; the one that proves the line comes after its answer."""
    assert DEFAULT.websocket_ping_s + 2 * DEFAULT.websocket_pong_s < PATIENCE_S
