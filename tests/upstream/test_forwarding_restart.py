"""Being cut off anywhere: what is not proven is sent again, what is proven is not, and nothing is half done."""

from pathlib import Path

import pytest
import trio

from edged.store.records import DeliveryState
from edged.telemetry.clock import ManualClock
from edged.upstream.notes import MOST_NOTES, Note, Notebook
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, report, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'


async def test_only_what_was_not_proven_is_sent_again(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, nursery):
        config = destination(archive.url, commitment=SEARCH)
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            first = await box.take_made(*(named(n) for n in range(1, 9)))
            await box.until(lambda: box.at() == {"committed": 8})
            await archive.down()
            second = await box.take_made(*(named(n) for n in range(10, 18)))
            await box.pass_time(1)
        await archive.up(nursery)
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: box.at() == {"committed": 16}, step_s=1)
        assert {archive.times[uid] for uid in first + second} == {1}


@pytest.mark.parametrize("after", range(1, 40, 3))
async def test_cut_off_after_any_number_of_steps(tmp_path: Path, after: int) -> None:
    """The cut falls at another step each time; the store is whole and everything arrives."""
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH)
        async with forwarding(tmp_path, config, clock, keep=True, inline=False) as box:
            uids = await box.take_made(*(named(n) for n in range(1, 6)), size=200_000)
            for _ in range(after):
                await trio.lowlevel.checkpoint()
            proven = [uid for uid in uids if box.delivery(uid).state is DeliveryState.COMMITTED]
            times = dict(archive.times)
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: box.at() == {"committed": 5}, step_s=1)
        assert all(archive.times[uid] == times[uid] for uid in proven)
        assert set(archive.stored) == set(uids)


async def test_stored_there_and_cut_off_before_it_was_written_down_here(tmp_path: Path) -> None:
    """The archive answers 0111H to the second upload: it is looked for, found, and moves on."""
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH)

        def store_and_break(stow: Stow) -> Reply:
            archive.keep(stow)
            return Reply(reset=True)

        archive.on_store = store_and_break
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            [uid] = await box.take_made(named(1))
            await box.until(lambda: uid in archive.stored)
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0x0111))
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: box.at() == {"committed": 1}, step_s=1)
            assert box.delivery(uid).evidence == "found"
        assert archive.times == {uid: 1}


async def test_parked_and_stuck_are_still_told_after_a_restart(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH)
        async with forwarding(tmp_path, config, clock, keep=True) as box:
            await box.take_made(named(2))
            await box.until(lambda: box.at() == {"committed": 1})
            archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xA900))
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"parked": 1, "committed": 1})
        async with forwarding(tmp_path, config, clock) as box:
            await box.until(lambda: box.condition_names() == {"parked:archive"})
            assert len(archive.stows) == 2


async def test_a_destination_that_is_no_longer_configured_keeps_its_entries(tmp_path: Path) -> None:
    clock = ManualClock()
    async with scripted_archive() as (archive, nursery):
        await archive.down()
        old = destination(archive.url, "old", commitment=SEARCH)
        new = destination(archive.url, "new", commitment=SEARCH)
        async with forwarding(tmp_path, old, clock, keep=True) as box:
            await box.take_made(named(1))
        await archive.up(nursery)
        async with forwarding(tmp_path, new, clock, keep=True) as box:
            await box.take_made(named(2))
            await box.until(lambda: box.at("new") == {"committed": 1}, step_s=1)
        async with forwarding(tmp_path, old, clock) as box:
            await box.until(lambda: box.at("old") == {"committed": 1}, step_s=1)
        assert set(archive.times.values()) == {1}


def test_the_notes_are_bounded() -> None:
    notebook = Notebook()
    for number in range(MOST_NOTES + 500):
        notebook.keep(number, Note(due_s=float(number)))
    assert len(notebook.waiting(-1.0)) == MOST_NOTES
    assert notebook.of(0).due_s == 0.0
    assert notebook.of(MOST_NOTES + 499).due_s == MOST_NOTES + 499
