"""What each kind of verdict on an instance does to the store: parked, stuck, split, halved, verified, or left alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from edged.dicomweb.event_report import EventKind
from edged.store.records import DeliveryState
from edged.telemetry.live import DestinationState
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Asked, Reply, ScriptedArchive, StoreRule, Stow, report, scripted_archive
from tests.support.stow_kit import made, named

SEARCH = '["search"]'
STUDY_B = "1.2.826.0.1.2"
DAY_S = 24 * 3600.0


def refusing(reason: int | None, bad: str, otherwise: StoreRule) -> StoreRule:
    """A rule that names one instance as failed and stores the others."""

    def rule(stow: Stow) -> Reply:
        if bad not in stow.uids:
            return otherwise(stow)
        good = [uid for uid in stow.uids if uid != bad]
        otherwise(stow) if good else None
        return report(good, {bad: reason})

    return rule


@pytest.mark.parametrize("reason", [0x0122, 0x0124, 0xA900, 0xC000, 0xC122, 0x1234])
async def test_a_permanent_reason_parks_the_instance_and_no_other(tmp_path: Path, reason: int) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = named(3).instance
        archive.on_store = refusing(reason, bad, archive.store_all)
        await box.take_made(*(named(n) for n in range(1, 9)))
        await box.until(lambda: box.at() == {"committed": 7, "parked": 1})
        assert box.delivery(bad).reason == reason
        assert f"{reason:04X}H" in box.delivery(bad).text
        assert [event.sop_instance_uid for event in box.events(EventKind.PARKED)] == [bad]
        await box.until(lambda: box.condition_names() == {"parked:archive"})
        assert box.stands().state is DestinationState.UP
        await box.pass_time(DAY_S)
        assert archive.sent_uids.count(bad) == 1


@pytest.mark.parametrize("reason", [0xA700, 0xA70F, 0x0213])
async def test_a_lack_of_room_passes(tmp_path: Path, reason: int) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, reason), status=503)
        await box.take_made(*(named(n) for n in range(1, 6)))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        for _ in range(8):
            await box.pass_time(400)
        assert box.at() == {"held": 5}
        archive.on_store = archive.store_all
        await box.until(lambda: box.at() == {"committed": 5}, step_s=100)
        assert box.stands().state is DestinationState.UP


@pytest.mark.parametrize("reason", [0x0110, 0xA710, None])
async def test_a_doubtful_one_goes_alone_then_is_stuck_and_tried_daily(tmp_path: Path, reason: int | None) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        bad = named(1).instance
        archive.on_store = refusing(reason, bad, archive.store_all)
        await box.take_made(named(1))
        await box.until(lambda: len(archive.stows) == 1)
        tries = 1
        for other in range(2, 8):  # others pass between its tries
            await box.take_made(named(other))
            await box.until(lambda other=other: box.at()["committed"] == other - 1, step_s=1)  # type: ignore[misc]
            if box.at()["stuck"]:
                break
            tries += 1
            await box.until(lambda tries=tries: archive.sent_uids.count(bad) == tries, step_s=3600)  # type: ignore[misc]
        assert box.at()["stuck"] == 1
        assert all(stow.uids == [bad] for stow in archive.stows[1:] if bad in stow.uids)
        await box.until(lambda: box.condition_names() == {"stuck:archive"})
        for _ in range(20):
            await box.pass_time(3600)
        assert archive.sent_uids.count(bad) == tries
        for _ in range(10):
            await box.pass_time(3600)
        assert archive.sent_uids.count(bad) == tries + 1
        assert box.at()["stuck"] == 1
        archive.on_store = archive.store_all
        await box.until(lambda: box.delivery(bad).state is DeliveryState.COMMITTED, step_s=3600)
        await box.until(lambda: box.condition_names() == set())


async def test_a_poisoned_batch_is_split_and_only_the_bad_one_is_parked(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box,
    ):
        bad = named(5).instance
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(named(99, STUDY_B))
        await box.until(lambda: len(archive.stows) == 1)
        await box.take_made(*(named(n) for n in range(1, 11)))
        archive.on_store = lambda stow: Reply(400) if bad in stow.uids else archive.store_all(stow)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 10, "parked": 1}, step_s=1)
        assert len(archive.stows[1].uids) > 1
        assert box.delivery(bad).text.startswith("HTTP 400")
        assert set(archive.times.values()) == {1}


@pytest.mark.parametrize("status", [500, 502, 424])
async def test_a_batch_that_fails_twice_is_split_and_the_bad_one_slows_nobody(tmp_path: Path, status: int) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box,
    ):
        bad = named(2).instance
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(named(99, STUDY_B))
        await box.until(lambda: len(archive.stows) == 1)
        await box.take_made(*(named(n) for n in range(1, 8)))
        archive.on_store = lambda stow: Reply(status) if bad in stow.uids else archive.store_all(stow)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 7, "held": 1}, step_s=1)
        await box.until(lambda: box.stands().state is DestinationState.UP, step_s=100)
        before = archive.sent_uids.count(bad)
        uids = await box.take_made(*(named(n) for n in range(20, 60)))
        await box.until(lambda: box.at() == {"committed": 47, "held": 1})
        assert archive.sent_uids.count(bad) == before
        assert {archive.times[uid] for uid in uids} == {1}


async def test_413_halves_the_batches_down_to_what_passes(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box,
    ):
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(named(99, STUDY_B))
        await box.until(lambda: len(archive.stows) == 1)
        await box.take_made(*(named(n) for n in range(1, 30)), size=20_000)
        archive.on_store = lambda stow: Reply(413) if len(stow.asked.body) > 50_000 else archive.store_all(stow)
        gate.set()
        await box.until(lambda: box.at() == {"committed": 30})
        refused = [stow for stow in archive.stows if len(stow.asked.body) > 50_000]
        assert 0 < len(refused) <= 6
        assert set(archive.times.values()) == {1}


async def test_413_for_a_single_one_parks_it_only_after_another_was_taken(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: Reply(413) if len(stow.asked.body) > 50_000 else archive.store_all(stow)
        [big] = await box.take_made(named(1), size=100_000)
        await box.until(lambda: box.stands().state is DestinationState.MISCONFIGURED or bool(box.conditions.snapshot()))
        for _ in range(5):
            await box.pass_time(400)
        assert box.at() == {"held": 1}
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 1, "parked": 1}, step_s=100)
        assert box.delivery(big).state is DeliveryState.PARKED
        await box.until(lambda: box.condition_names() == {"parked:archive"})


@pytest.mark.parametrize("key", ["max_instance", "max_request"])
async def test_what_is_larger_than_the_settings_say_is_parked_before_it_is_uploaded(tmp_path: Path, key: str) -> None:
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH, **{key: '"10kB"'})
        async with forwarding(tmp_path, config) as box:
            await box.take(made(named(1), size=20_000), *(made(named(n), size=3000) for n in range(2, 12)))
            await box.until(lambda: box.at() == {"committed": 10, "parked": 1})
            assert key in box.delivery(named(1).instance).text
            assert named(1).instance not in archive.sent_uids
            assert key == "max_instance" or max(len(stow.asked.body) for stow in archive.stows) <= 10_000


async def test_five_parks_in_a_row_unpark_all_and_hold_the_destination(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xC000))
        await box.take_made(*(named(n) for n in range(1, 21)))
        await box.until(lambda: box.stands().state is DestinationState.MISCONFIGURED)
        await box.until(lambda: "misconfigured:archive" in box.condition_names())
        before = len(archive.stows)
        for _ in range(10):
            await box.pass_time(400)
            assert box.at()["parked"] < 5
        assert 1 <= len(archive.stows) - before <= 11
        assert box.stands().state is DestinationState.MISCONFIGURED
        archive.on_store = archive.store_all
        await box.until(lambda: box.at()["held"] == 0, step_s=400)
        await box.until(lambda: box.stands().state is DestinationState.UP)
        await box.until(lambda: "misconfigured:archive" not in box.condition_names())
        assert box.at()["parked"] == 0


def keeping_it(archive: ScriptedArchive) -> Callable[[Stow], Reply]:
    """It has what it is sent, and says that it had it before."""

    def duplicate(stow: Stow) -> Reply:
        archive.keep(stow)
        return report(failed=dict.fromkeys(stow.uids, 0x0111))

    return duplicate


async def test_already_there_and_the_same_counts_as_found(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = keeping_it(archive)
        [uid] = await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1})
        assert box.delivery(uid).evidence == "found"


async def test_already_there_and_another_is_parked(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await box.take_made(named(2))
        await box.until(lambda: box.at() == {"committed": 1})
        archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0x0111))
        uid = named(1).instance
        other = b'[{"00080016":{"vr":"UI","Value":["1.2.3"]},"00080018":{"vr":"UI","Value":["%s"]}}]' % uid.encode()
        archive.on_look = lambda _: Reply(200, other)
        await box.take_made(named(1))
        await box.until(lambda: box.at() == {"parked": 1, "committed": 1})
        assert "another instance" in box.delivery(uid).text


async def test_already_there_in_another_transfer_syntax_is_the_same_and_no_proof(tmp_path: Path) -> None:
    """What an archive has compressed is there; what left is another thing (DICOM.md 4, 6)."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def compressed(asked: Asked) -> Reply:
            shown = archive.show(asked)
            return replace(shown, body=shown.body.replace(b'"1.2.840.10008.1.2.1"', b'"1.2.840.10008.1.2.4.80"'))

        archive.on_store, archive.on_look = keeping_it(archive), compressed
        [uid] = await box.take_made(named(1))
        await box.until(lambda: "proof-differs:archive" in box.condition_names())
        assert box.delivery(uid).state is DeliveryState.SENT
        assert box.delivery(uid).evidence == "found"


async def test_being_created_is_looked_for_in_ten_minutes(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):

        def creating(stow: Stow) -> Reply:
            archive.keep(stow)
            return report(failed=dict.fromkeys(stow.uids, 45071))

        archive.on_store = creating
        await box.take_made(named(1))
        await box.until(lambda: len(archive.stows) == 1)
        await box.pass_time(590)
        assert archive.looks == []
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)
        assert len(archive.stows) == 1


async def test_an_override_of_the_settings_is_obeyed(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, commitment=SEARCH, reasons='{C000 = "later"}')
        async with forwarding(tmp_path, config) as box:
            archive.on_store = lambda stow: report(failed=dict.fromkeys(stow.uids, 0xC000))
            await box.take_made(*(named(n) for n in range(1, 9)))
            await box.until(lambda: len(archive.stows) > 3, step_s=400)
            assert box.at() == {"held": 8}
            archive.on_store = archive.store_all
            await box.until(lambda: box.at() == {"committed": 8}, step_s=400)


async def test_a_single_one_that_breaks_alike_three_times_is_doubtful_and_stops_nobody(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.reset_after_bytes = 1_000_000
        await box.take_made(named(1), size=2_000_000)
        for other in range(2, 12):
            await box.take_made(named(other))
            await box.until(lambda other=other: box.at()["committed"] == other - 1, step_s=50)  # type: ignore[misc]
            await box.pass_time(400)
        await box.until(lambda: "too-big-or-too-slow:archive" in box.condition_names(), step_s=400)
        assert box.at() == {"committed": 10, "held": 1}
        await box.until(lambda: box.stands().state is DestinationState.UP, step_s=100)
        archive.reset_after_bytes = None
        await box.until(lambda: box.at() == {"committed": 11}, step_s=3600)
        await box.until(lambda: box.condition_names() == set())
