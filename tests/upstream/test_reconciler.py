"""Proving again what is committed: archives that lose things, show nothing, are down, or are asked too often."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from edged.config import Store as StoreSettings
from edged.services.retention import Retention
from edged.store.commit_memory import recall
from edged.store.eviction import evict_oldest
from edged.store.history import history_of
from edged.store.records import CommitRecord, Delivery, DeliveryState, Happened
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Severity
from edged.upstream.outcomes import RESENDS
from tests.support.archive.rules import wanted_of
from tests.support.committing import Committing
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Asked, Reply, ScriptedArchive, report, scripted_archive
from tests.support.stow_kit import STUDY, Named, named

DAY_S = 86_400.0
HOUR_S = 3600.0
OFTEN = 48.0
"""All of it every half an hour: more than the settings allow, for tests that end soon."""


@asynccontextmanager
async def asking(
    share: float, folder: Path, archive: ScriptedArchive, *, clock: ManualClock | None = None, keep: bool = False
) -> AsyncIterator[Forwarding]:
    """A box that asks for a share of what is committed again each day."""
    async with forwarding(folder, destination(archive.url), clock, keep=keep) as box:
        box.surroundings.reconcile = share
        yield box


async def committed(archive: ScriptedArchive, box: Forwarding, *numbers: int) -> list[str]:
    """Instances that the archive has committed to, a study of six each."""
    archive.on_commitment = Committing(archive).at_once
    names: list[Named] = [named(n, f"{STUDY}.{n // 6}") for n in numbers]
    before = box.at()["committed"]
    uids = await box.take_made(*names)
    await box.until(lambda: box.at() == {"committed": before + len(names)}, step_s=1)
    return uids


async def evict_all(box: Forwarding) -> None:
    """Let go of all that may go."""
    gone = partial(evict_oldest, committed_before=9e12, least_bytes=0, now=box.clock.wall())
    while await box.store.write(gone):
        pass


def remembered(box: Forwarding, uid: str) -> CommitRecord:
    """What is known of an instance that was let go of."""
    record = box.store.read_now(partial(recall, sop_instance_uid=uid))
    assert record is not None
    return record


def retention_of(box: Forwarding, keep_committed_s: float = DAY_S) -> Retention:
    """Who lets go in this box."""
    settings = StoreSettings(keep_committed_s=keep_committed_s)
    return Retention(box.store, box.clock, settings, told=lambda _: None, reprovers=box.surroundings.reprovers)


async def test_all_that_an_archive_lost_is_found_and_sent_again(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 101))
        lost = {uids[3], uids[40], uids[41], uids[99]}
        for uid in lost:
            archive.lose(uid)
        await box.until(lambda: archive.stored.keys() == set(uids), step_s=300)
        await box.until(lambda: box.at() == {"committed": 100} and not box.condition_names(), step_s=60)
        assert {uid for uid, times in archive.times.items() if times == 2} == lost
        assert {box.delivery(uid).resends for uid in lost} == {1}
        told = [each.what for _, each in box.store.read_now(partial(history_of, sop_instance_uid=uids[3]))]
        assert {Happened.DOUBTED, Happened.HELD} <= set(told)


async def test_what_is_lost_is_told_until_it_is_committed_to_again(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        archive.lose(uids[0])
        archive.on_store = lambda _: Reply(503)
        await box.until(lambda: "archive-lost:archive" in box.condition_names(), step_s=60)
        assert box.at() == {"committed": 11, "held": 1}
        [condition] = [each for each in box.conditions.snapshot() if each.name == "archive-lost:archive"]
        assert "1 instance " in condition.hint
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 12} and not box.condition_names(), step_s=60)


@pytest.mark.parametrize("evicted", [False, True])
async def test_a_restart_goes_on_telling_of_what_was_lost(tmp_path: Path, *, evicted: bool) -> None:
    """From the store, and without asking the archive for anything."""
    clock, name = ManualClock(), "archive-lost-evicted:archive" if evicted else "archive-lost:archive"
    async with scripted_archive() as (archive, _):
        async with asking(OFTEN, tmp_path, archive, clock=clock, keep=True) as box:
            uids = await committed(archive, box, *range(1, 13))
            if evicted:
                await evict_all(box)
                await committed(archive, box, *range(13, 24))
            archive.on_commitment = lambda asked: Reply(503)
            archive.lose(uids[0])
            await box.until(lambda: name in box.condition_names(), step_s=300)
            if not evicted:  # sent again, and not committed to yet
                await box.until(lambda: box.at() == {"committed": 11, "sent": 1}, step_s=60)
        async with asking(0.0, tmp_path, archive, clock=clock) as box:
            await box.until(lambda: name in box.condition_names())
            [condition] = [each for each in box.conditions.snapshot() if each.name == name]
            assert "1 instance " in condition.hint
            assert (uids[0] in condition.hint) is evicted


async def test_a_loss_counts_only_once_it_was_missed_for_long_enough_in_both_ways(tmp_path: Path) -> None:
    """An index that fails for ten minutes, and one of which only retrieve fails, lose nothing."""
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        archive.hidden = {uids[5]}
        reprover = box.archive
        await box.until(lambda: bool(reprover.doubted), step_s=300)
        assert reprover.doubted == set(box.numbers(uids[5]))
        await box.pass_time(600)
        archive.hidden = set()
        await box.until(lambda: not reprover.doubted, step_s=60)

        def search_only(asked: Asked) -> Reply:
            return Reply(404) if asked.path.endswith("/metadata") else archive.show(asked)

        archive.on_look = search_only
        for _ in range(60):
            await box.pass_time(HOUR_S)
        assert box.at() == {"committed": 12}
        assert set(archive.times.values()) == {1}
        assert box.condition_names() == set()


async def test_an_archive_that_shows_nothing_has_lost_nothing(tmp_path: Path) -> None:
    """A proxy's 404 for everything: nothing is turned back, and a condition says so, until something is shown."""
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 31))
        archive.on_look = lambda _: Reply(404)
        await box.until(lambda: box.condition_names() == {"cannot-reprove:archive"}, step_s=HOUR_S)
        for _ in range(3 * 24):
            await box.pass_time(HOUR_S)
        assert box.at() == {"committed": 30}
        assert set(archive.times.values()) == {1}
        assert not box.archive.doubted
        archive.on_look = archive.show
        await box.until(lambda: not box.condition_names(), step_s=HOUR_S)


async def test_the_only_instance_that_is_missing_is_told_too(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        [uid] = await committed(archive, box, 1)
        archive.lose(uid)
        await box.until(lambda: box.condition_names() == {"cannot-reprove:archive"}, step_s=300)
        assert box.at() == {"committed": 1}


async def test_what_was_let_go_of_and_lost_is_marked_and_told(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        await evict_all(box)
        archive.lose(uids[7])
        await box.until(lambda: "archive-lost-evicted:archive" in box.condition_names(), step_s=300)
        [condition] = box.conditions.snapshot()
        assert condition.severity is Severity.CRITICAL
        assert uids[7] in condition.hint
        assert [uid for uid in uids if remembered(box, uid).lost] == [uids[7]]
        told = [each.what for _, each in box.store.read_now(partial(history_of, sop_instance_uid=uids[7]))]
        assert told == [Happened.DOUBTED]
        await committed(archive, box, 7 + 1)  # whoever has it sends it again
        await evict_all(box)
        await box.until(lambda: not box.condition_names(), step_s=HOUR_S)
        assert not remembered(box, uids[7]).lost


async def test_what_was_lost_and_is_committed_to_again_is_not_told_any_more(tmp_path: Path) -> None:
    """As soon as it is, and for good: the mark in the memory stays until it is let go of again."""
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        await evict_all(box)
        archive.lose(uids[7])
        await box.until(lambda: "archive-lost-evicted:archive" in box.condition_names(), step_s=300)
        await committed(archive, box, 7 + 1)
        await box.until(lambda: not box.condition_names(), step_s=60)
        assert remembered(box, uids[7]).lost
        for _ in range(48):  # the walk comes by
            await box.pass_time(HOUR_S)
            assert not box.condition_names()


async def test_a_restart_forgets_no_loss(tmp_path: Path) -> None:
    """What went back into the queue stays there; what was marked is told of again."""
    clock = ManualClock()
    async with scripted_archive() as (archive, _):
        async with asking(OFTEN, tmp_path, archive, clock=clock, keep=True) as box:
            uids = await committed(archive, box, *range(1, 13))
            await evict_all(box)
            uids += await committed(archive, box, *range(13, 25))
            archive.lose(uids[0])
            await box.until(lambda: box.condition_names() == {"archive-lost-evicted:archive"}, step_s=60)
            archive.on_store = lambda _: Reply(503)
            archive.lose(uids[20])
            await box.until(lambda: "archive-lost:archive" in box.condition_names(), step_s=60)
        archive.on_store = archive.store_all
        async with asking(OFTEN, tmp_path, archive, clock=clock) as box:
            await box.until(lambda: box.at() == {"committed": 24}, step_s=60)
            assert archive.times[uids[20]] == 2
            await box.until(lambda: box.condition_names() == {"archive-lost-evicted:archive"}, step_s=HOUR_S)
            assert remembered(box, uids[0]).lost


async def test_what_is_lost_again_and_again_is_set_aside_and_tried_daily(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        for _ in range(RESENDS):
            archive.lose(uids[0])
            await box.until(lambda: uids[0] in archive.stored, step_s=300)
            await box.until(lambda: box.at() == {"committed": 12}, step_s=60)
        archive.lose(uids[0])
        await box.until(lambda: box.at() == {"committed": 11, "stuck": 1}, step_s=300)
        assert archive.times[uids[0]] == RESENDS + 1
        assert box.delivery(uids[0]).resends == RESENDS


async def test_nothing_is_asked_for_while_the_share_is_none(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 13))
        await evict_all(box)
        for _ in range(24):
            await box.pass_time(HOUR_S)
        assert archive.looks == []


async def test_no_more_is_asked_for_than_the_share(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(0.25, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 41))
        for _ in range(4 * 24):
            await box.pass_time(HOUR_S)
        assert 30 <= len(archive.looks) <= 40


async def test_an_archive_that_is_down_blocks_no_eviction(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 41))
        await archive.down()
        await box.pass_time(2 * DAY_S)
        retention = retention_of(box)
        assert [await retention.step(), await retention.step()] == [32, 8]


async def test_an_archive_that_hangs_blocks_no_eviction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edged.services.retention.ASKING_S", 0.05)
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 41))
        archive.on_look = lambda _: Reply(after=trio.Event())
        await box.pass_time(2 * DAY_S)
        retention = retention_of(box)
        assert [await retention.step(), await retention.step()] == [32, 8]
        assert len(archive.looks) == 1  # then it is left alone for a while


async def test_by_need_the_asking_in_a_row_is_bounded(tmp_path: Path) -> None:
    """An archive that answers slowly: after ten seconds of the box's clock what is committed goes unasked."""
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        await committed(archive, box, *range(1, 41))
        await box.pass_time(DAY_S)

        def slow(asked: Asked) -> Reply:
            box.clock.advance(6.0)
            return archive.show(asked)

        archive.on_look = slow
        retention = retention_of(box, keep_committed_s=9 * DAY_S)
        assert await retention.step() == 0
        box.store.space.room = lambda: box.store.space.used
        assert await retention.step() == 32
        asked = len(archive.looks)
        assert asked >= 2
        assert await retention.step() == 8
        assert len(archive.looks) == asked
        box.store.space.room = None


async def test_what_an_archive_lost_is_not_let_go_of(tmp_path: Path) -> None:
    """Before anything goes the archive is asked; what it does not show stays and is sent again."""
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 41))
        lost = {uids[2], uids[11], uids[35]}
        for uid in lost:
            archive.lose(uid)
        await box.pass_time(2 * DAY_S)
        retention = retention_of(box)
        while await retention.step():
            pass
        assert {uid for uid in uids if box.numbers(uid)} == lost
        await box.until(lambda: archive.stored.keys() == set(uids), step_s=60)
        assert await retention.step() == 0
        await box.until(lambda: box.delivery(uids[2]).state is DeliveryState.COMMITTED, step_s=60)


async def test_a_whole_study_that_is_gone_first_after_a_start_is_not_let_go_of(tmp_path: Path) -> None:
    """Nothing of it is shown, and something else is."""
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(36))
        for uid in uids[:32]:
            archive.lose(uid)
        await box.pass_time(2 * DAY_S)
        retention = retention_of(box)
        assert [await retention.step(), await retention.step()] == [0, 4]
        await box.until(lambda: archive.stored.keys() == set(uids), step_s=60)


async def test_what_was_shown_lately_is_not_asked_for_again(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(0.0, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 13))
        reprover, numbers = box.archive, box.numbers(*uids)
        await reprover.prove_again(numbers, within_s=10.0)
        assert archive.looks == []  # they were just committed to
        await box.pass_time(7 * HOUR_S)
        await reprover.prove_again(numbers, within_s=10.0)
        asked = len(archive.looks)
        assert 0 < asked <= 7  # a search for a series is one
        await reprover.prove_again(numbers, within_s=10.0)
        assert len(archive.looks) == asked
        await box.pass_time(7 * HOUR_S)
        await reprover.prove_again(numbers, within_s=10.0)
        assert len(archive.looks) == 2 * asked


async def test_what_differs_is_told_and_neither_lost_nor_proven(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 7))
        other = b'[{"00080016":{"vr":"UI","Value":["1.2.3"]},"00080018":{"vr":"UI","Value":["%s"]}}]'

        def swapped(asked: Asked) -> Reply:
            if wanted_of(asked) is None:
                return Reply(501)
            return Reply(200, other % uids[0].encode()) if uids[0] in asked.path else archive.show(asked)

        archive.on_look = swapped
        await box.until(lambda: box.condition_names() == {"proof-differs:archive"}, step_s=HOUR_S)
        for _ in range(48):
            await box.pass_time(HOUR_S)
        assert box.at() == {"committed": 6}
        archive.on_look = archive.show
        await box.until(lambda: not box.condition_names(), step_s=HOUR_S)


async def test_what_is_proven_anew_after_a_loss_counts_as_any_other(tmp_path: Path) -> None:
    """The figures of the queue and of what was ever committed follow."""
    async with scripted_archive() as (archive, _), asking(OFTEN, tmp_path, archive) as box:
        uids = await committed(archive, box, *range(1, 7))
        archive.lose(uids[1])
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xA700))
        await box.until(lambda: box.at() == {"committed": 5, "held": 1}, step_s=300)
        held: Delivery = box.delivery(uids[1])
        assert (held.resends, held.proof) == (1, "")
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 6}, step_s=60)
