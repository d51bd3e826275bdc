"""Nothing is parked at a destination that takes nothing, however often it is begun anew (DESIGN 1.4)."""

from pathlib import Path

from edged.store.records import DeliveryState
from edged.telemetry.clock import ManualClock
from edged.telemetry.live import DestinationState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'


def refuse(stow: Stow) -> Reply:
    return report(failed=dict.fromkeys(stow.uids, 0xC000))


async def test_what_never_took_anything_parks_nothing_and_says_so(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = refuse
        await box.take_made(*(named(n) for n in range(1, 5)))
        await box.until(lambda: "refuses-all:archive" in box.condition_names())
        tries = len(archive.sent_uids)
        for _ in range(24):
            await box.pass_time(3600)
        assert box.at() == {"held": 4}
        assert len(archive.sent_uids) - tries <= 4 * 24
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 4}, step_s=3600)
        await box.until(lambda: box.condition_names() == set())


async def test_what_waited_is_parked_at_once_when_another_is_taken(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = [named(n).instance for n in range(1, 4)]
        archive.on_store = lambda stow: refuse(stow) if set(stow.uids) & set(bad) else archive.store_all(stow)
        await box.take_made(*(named(n) for n in range(1, 4)))
        await box.until(lambda: "refuses-all:archive" in box.condition_names())
        for _ in range(10):
            await box.pass_time(3600)
        await box.take_made(named(9))
        await box.until(lambda: box.at() == {"committed": 1, "parked": 3}, step_s=1)
        await box.until(lambda: box.condition_names() == {"parked:archive"})


async def test_no_restart_adds_to_what_was_parked_for_a_destination_that_takes_nothing(tmp_path: Path) -> None:
    """Each start begins its row anew: four more aside each time, if acceptance did not come first."""
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH)
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            await box.take_made(named(99))
            await box.until(lambda: box.at() == {"committed": 1})
            archive.on_store = refuse
            await box.take_made(*(named(n) for n in range(1, 4)))
            await box.until(lambda: box.at() == {"committed": 1, "parked": 3}, step_s=1)
        for _ in range(2):
            async with forwarding(tmp_path, config, clock, keep=True) as box:
                await box.take_made(*(named(n) for n in range(11, 14)))
                for _ in range(5):
                    await box.pass_time(400)
                assert box.at()["parked"] == 3


async def test_the_fifth_in_a_row_gives_back_the_four_before_it(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await box.take_made(named(99))
        await box.until(lambda: box.at() == {"committed": 1})
        archive.on_store = refuse
        uids = await box.take_made(*(named(n) for n in range(1, 5)))
        await box.until(lambda: box.at() == {"committed": 1, "parked": 4}, step_s=1)
        await box.take_made(named(5))
        await box.until(lambda: box.stands().state is DestinationState.MISCONFIGURED, step_s=1)
        await box.until(lambda: box.at() == {"committed": 1, "held": 5})
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 6}, step_s=400)
        assert {box.delivery(uid).state for uid in uids} == {DeliveryState.COMMITTED}
