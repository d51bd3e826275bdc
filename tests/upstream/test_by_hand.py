"""What a person decides while a destination is being sent to: no answer is lost, nothing is sent that is on hold."""

from pathlib import Path

import trio
import trio.testing

from edged.config.choices import Duplicate
from edged.services.queue_values import Change, Reach, Stepped, Wanted
from edged.services.queueing import QueueService
from edged.store.queue_admin import Action
from edged.store.queue_walk import EntryState, conflict_id
from edged.store.records import DeliveryState
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.queue_kit import bring
from tests.support.scripted_archive import Reply, report, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'
THREE = [named(index) for index in range(1, 4)]


def at_hand(box: Forwarding) -> QueueService:
    """The queues of a box that forwards."""
    reach = Reach(box.conditions, box.bells, box.surroundings.hands)
    return QueueService(box.store, box.routes, box.clock, reach=reach)


async def decide(box: Forwarding, action: Action, **content: object) -> Stepped:
    """One step of a change of the archive's queue."""
    change = Change(**{"destination": "archive", **content})  # type: ignore[arg-type]
    stepped, _ = await at_hand(box).act(action, change, who="uid 0")
    assert isinstance(stepped, Stepped)
    return stepped


async def test_a_hold_while_one_is_being_sent(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1", batch_instances="1")) as box,
    ):
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(*THREE)
        await box.until(lambda: len(archive.stows) == 1)
        [sending] = archive.sent_uids
        stepped = await decide(box, Action.HOLD)
        assert (stepped.done, [each.sop_instance_uid for each in stepped.skipped]) == (2, [sending])
        gate.set()
        await box.until(lambda: box.at() == {"committed": 1, "on_hold": 2})
        for _ in range(5):
            await box.pass_time(3600)
        assert archive.sent_uids == [sending]
        await decide(box, Action.RELEASE)
        await box.until(lambda: box.at() == {"committed": 3})
        assert sorted(archive.sent_uids) == sorted(each.instance for each in THREE)


async def test_holds_and_releases_among_many_workers_lose_and_repeat_nothing(tmp_path: Path) -> None:
    names = [named(index) for index in range(1, 41)]
    keys = {"commitment": SEARCH, "parallel": "4", "batch_instances": "2"}
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url, **keys)) as box:
        await box.take_made(*names)
        while box.at() != {"committed": len(names)}:
            await decide(box, Action.HOLD)
            await trio.testing.wait_all_tasks_blocked()
            await decide(box, Action.RELEASE)
            await trio.testing.wait_all_tasks_blocked()
        assert sorted(archive.sent_uids) == sorted(each.instance for each in names)


async def test_what_was_parked_is_sent_again_at_once(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = THREE[0].instance
        await box.take_made(THREE[1])
        await box.until(lambda: box.at() == {"committed": 1})
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xC000))
        await box.take_made(THREE[0])
        await box.until(lambda: "parked:archive" in box.condition_names(), step_s=1)
        archive.on_store = archive.store_all
        assert (await decide(box, Action.RETRY, states=(EntryState.PARKED,))).done == 1
        await box.until(lambda: box.delivery(bad).state is DeliveryState.COMMITTED)
        await box.until(lambda: box.condition_names() == set())


async def test_what_is_stuck_gets_one_try_on_command(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = THREE[0].instance
        await box.take_made(THREE[0], THREE[1])
        await box.until(lambda: box.at() == {"committed": 2})
        [number] = box.numbers(bad)
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0x0110))
        await bring(box.store, number, DeliveryState.STUCK)
        tries = archive.sent_uids.count(bad)
        assert (await decide(box, Action.RETRY)).done == 1
        await box.until(lambda: archive.sent_uids.count(bad) == tries + 1)
        await box.take_made(THREE[2])
        for _ in range(3):
            await box.pass_time(3600)
        assert archive.sent_uids.count(bad) <= tries + 2
        archive.on_store = archive.store_all
        await box.until(lambda: box.at()["stuck"] == 1 or box.at() == {"committed": 3}, step_s=3600)


async def test_what_is_named_does_not_wait_for_its_next_try(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = THREE[0].instance
        doubtful = report(failed={bad: 0x0110})
        archive.on_store = lambda stow: doubtful if bad in stow.uids else archive.store_all(stow)
        [uid] = await box.take_made(THREE[0])
        await box.until(lambda: archive.sent_uids.count(uid) == 1)
        await box.take_made(THREE[1])
        await box.until(lambda: box.at() == {"held": 1, "committed": 1}, step_s=1)
        [entry] = (await at_hand(box).page(Wanted(uids=(uid,)))).entries
        assert (entry.waits_for, entry.state) == ("its next try", EntryState.PENDING)
        archive.on_store = archive.store_all
        assert (await decide(box, Action.RETRY, uids=(uid,))).done == 1
        await box.until(lambda: box.at() == {"committed": 2})


async def test_a_retry_tries_a_destination_that_waits(tmp_path: Path) -> None:
    """A person knows more than the back-off, even where the destination asked for an hour."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(503, headers=(("retry-after", "3600"),))
        uids = await box.take_made(*THREE)
        await box.until(lambda: len(archive.stows) == 1)
        archive.on_store = archive.store_all
        await box.pass_time(60)
        assert len(archive.stows) == 1
        assert (await decide(box, Action.RETRY, uids=tuple(uids[:1]))).done == 1
        await box.until(lambda: box.at() == {"committed": 3})


async def test_a_destination_that_is_hastened_is_tried_once(tmp_path: Path) -> None:
    """As after a good probe: what it learnt before counts again if the try fails."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(503, headers=(("retry-after", "3600"),))
        await box.take_made(*THREE)
        await box.until(lambda: len(archive.stows) == 1)
        for tries in (2, 3):
            box.surroundings.hands[box.routes.ids["archive"]].hasten()
            await box.until(lambda tries=tries: len(archive.stows) == tries)  # type: ignore[misc]
            await box.pass_time(600)
            assert len(archive.stows) == tries


async def test_what_is_sent_and_merely_waits_is_not_sent_again(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: report(stow.uids)
        [uid] = await box.take_made(THREE[0])
        await box.until(lambda: box.at() == {"sent": 1})
        [left] = (await decide(box, Action.RETRY, uids=(uid,))).skipped
        assert left.text.startswith("it is sent, and retry is for what is parked or pending or stuck")


async def test_what_an_entry_waits_for(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(503)
        [uid] = await box.take_made(THREE[0])
        await box.until(lambda: len(archive.stows) == 1)
        [entry] = (await at_hand(box).page(Wanted(uids=(uid,)))).entries
        assert entry.waits_for == "the destination, which is tried with one instance at a time"
        assert entry.next_try_s
        archive.hidden.add(uid)
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"sent": 1}, step_s=60)
        assert (await at_hand(box).page(Wanted(uids=(uid,)))).entries[0].waits_for == "its commitment"
        await bring(box.store, entry.number, DeliveryState.STUCK)
        [stuck] = (await at_hand(box).page(Wanted(uids=(uid,)))).entries
        assert (stuck.state, stuck.next_try_s) == (EntryState.STUCK, 0.0)


async def test_a_released_conflict_is_sent_in_the_place_of_the_first(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        box.door.duplicate = Duplicate.KEEP_BOTH
        archive.on_store = lambda _: Reply(503)
        [uid] = await box.take_made(THREE[0], patient=b"P1")
        [first] = box.numbers(uid)
        await box.take_made(THREE[0], patient=b"P2")
        listed = await at_hand(box).page(Wanted(states=(EntryState.CONFLICT,)))
        assert [each.conflict for each in listed.entries] == [conflict_id(first + 1)]
        stepped, _ = await at_hand(box).act(Action.RELEASE, Change(uids=(conflict_id(first + 1),)), who="uid 0")
        assert isinstance(stepped, Stepped)
        assert stepped.done == 1
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 1}, step_s=60)
        assert b"P2" in archive.stored[uid]
        assert b"P1" not in archive.stored[uid]
        assert all(len(stow.uids) == 1 for stow in archive.stows)
        assert [each.conflict for each in (await at_hand(box).page(Wanted(uids=(uid,)))).entries] == [
            conflict_id(first)
        ]
