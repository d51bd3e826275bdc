"""The way of an instance: held, sent, committed; what a request looks like; an outage and the way back by itself."""

from functools import partial
from pathlib import Path

import pytest
import trio

from edged.dicomweb.event_report import EventKind
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState
from edged.telemetry.live import DestinationState
from tests.support.dicom_samples import read, shipped
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import Reply, Stow, scripted_archive
from tests.support.stow_kit import named

SEARCH = '["search"]'


async def test_held_sent_committed(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        uids = await box.take_made(*(named(n) for n in range(1, 13)))
        await box.until(lambda: box.at() == {"committed": 12})
        assert set(archive.stored) == set(uids)
        assert set(archive.times.values()) == {1}
        for uid in uids:
            delivery = box.delivery(uid)
            assert (delivery.state, delivery.evidence, delivery.proof) == (DeliveryState.COMMITTED, "stored", "search")
            kinds = [event.kind for event in box.events() if event.sop_instance_uid == uid]
            assert kinds == [EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED]
        assert box.condition_names() == set()
        assert box.stands().state is DestinationState.UP


async def test_what_a_store_request_looks_like(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, headers='{X-Site = "north"}')) as box,
    ):
        gate = trio.Event()
        archive.on_store = archive.gated(gate)
        await box.take_made(*(named(n) for n in range(1, 30)), *(named(n, "1.2.826.0.1.2") for n in range(1, 30)))
        gate.set()
        await box.until(lambda: box.at() == {"committed": 58})
        assert len(archive.stows) < 30
        for stow in archive.stows:
            assert stow.asked.all("content-length") == [str(len(stow.asked.body))]
            assert stow.asked.all("transfer-encoding") == []
            assert stow.asked.all("accept") == ["application/dicom+json"]
            assert stow.asked.all("x-site") == ["north"]
            [content_type] = stow.asked.all("content-type")
            assert content_type.startswith('multipart/related; type="application/dicom"; boundary=')
            assert all(head == {"content-type": "application/dicom"} for head, _ in stow.parts)
            assert len(set(stow.uids)) == len(stow.uids)
            assert len({str(each.StudyInstanceUID) for each in stow.data_sets}) == 1


@pytest.mark.parametrize("name", ["rtplan.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "CT_small.dcm"])
async def test_what_leaves_is_explicit_and_equal(tmp_path: Path, name: str) -> None:
    data = shipped(name)
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        [uid] = await box.take(data)
        await box.until(lambda: box.at() == {"committed": 1})
        sent = archive.stored[uid]
    there, here = read(sent), read(data)
    assert there.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    if here.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1":
        assert sent == data
    for element in here:
        other = there[element.tag]
        if element.VR == other.VR and element.tag != 0x7FE00010 and element.VR not in {"OB", "OW", "OB or OW"}:
            assert element.value == other.value, element.tag


async def test_an_outage_passes_and_everything_arrives_once(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, nursery):
        await archive.down()
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.take_made(*(named(n) for n in range(1, 25)))
            await box.until(lambda: box.stands().state is DestinationState.RETRYING)
            assert box.at() == {"held": 24}
            error = box.stands().last_error
            assert error is not None
            assert error.phase == "tcp"
            for _ in range(5):
                await box.pass_time(400)
            assert box.at() == {"held": 24}
            state = await box.state.state(box.conditions)
            assert state["oldest_unsent_s"] == pytest.approx(2000, abs=1)
            await archive.up(nursery)
            await box.until(lambda: box.at() == {"committed": 24}, step_s=10)
            assert set(archive.times.values()) == {1}
            assert box.stands().state is DestinationState.UP
            await box.until(lambda: len(box.events(EventKind.DESTINATION_UP)) == 1)
            assert [event.destination for event in box.events(EventKind.DESTINATION_DOWN)] == ["archive"]
            assert box.condition_names() == set()


async def test_a_day_of_outage_needs_no_hand(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, nursery),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        await archive.down()
        await box.take_made(*(named(n) for n in range(1, 6)))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        for _ in range(24 * 12):
            await box.pass_time(300)
        assert box.at() == {"held": 5}
        await archive.up(nursery)
        await box.until(lambda: box.at() == {"committed": 5}, step_s=60)
        assert set(archive.times.values()) == {1}
        assert box.stands().state is DestinationState.UP


async def test_503_waits_as_long_as_it_is_told(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(503, headers=(("retry-after", "600"),))
        await box.take_made(*(named(n) for n in range(1, 4)))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        before = len(archive.stows)
        archive.on_store = archive.store_all
        for _ in range(59):
            await box.pass_time(10)
        assert len(archive.stows) == before
        await box.until(lambda: box.at() == {"committed": 3}, step_s=10)


async def test_a_reset_in_the_middle_is_sent_again_and_not_lost(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.reset_after_bytes = 100_000
        await box.take_made(*(named(n) for n in range(1, 5)), size=300_000)
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        assert archive.stored == {}
        assert box.at() == {"held": 4}
        archive.reset_after_bytes = None
        await box.until(lambda: box.at() == {"committed": 4}, step_s=100)
        assert set(archive.times.values()) == {1}


async def test_an_answer_that_is_lost_makes_no_second_copy_count(tmp_path: Path) -> None:
    """Stored, and the answer never came: it is sent again, and the archive decides that it is the same."""
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH, parallel="1")) as box,
    ):

        def store_and_break(stow: Stow) -> Reply:
            archive.keep(stow)
            archive.on_store = archive.store_all
            return Reply(reset=True)

        archive.on_store = store_and_break
        [uid] = await box.take_made(named(1))
        await box.until(lambda: box.at() == {"committed": 1}, step_s=10)
        assert archive.times == {uid: 2}
        assert len(archive.stored) == 1


async def test_a_dead_destination_does_not_slow_the_other(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _), scripted_archive() as (dead, _):
        await dead.down()
        config = destination(archive.url, commitment=SEARCH) + destination(dead.url, "dead", commitment=SEARCH)
        async with forwarding(tmp_path, config) as box:
            uids = await box.take_made(*(named(n) for n in range(1, 41)))
            await box.until(lambda: box.at() == {"committed": 40})
            assert box.at("dead") == {"held": 40}
            assert box.stands("dead").state is DestinationState.RETRYING
            assert box.stands().state is DestinationState.UP
            state = await box.state.state(box.conditions)
            store = state["store"]
            assert isinstance(store, dict)
            assert store["instances"]["held"] == len(uids)


async def test_a_destination_for_which_nothing_waits_is_probed_by_a_search(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_store = lambda _: Reply(503)
        archive.on_look = lambda _: Reply(503)
        [uid] = await box.take_made(named(1))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        [number], here = box.numbers(uid), box.routes.ids["archive"]
        held_back = Delivery(state=DeliveryState.ON_HOLD, since=0.0)
        move_it = partial(move, number=number, destination=here, expected=(DeliveryState.HELD,), to=held_back)
        assert await box.store.write(move_it)
        for _ in range(10):
            await box.pass_time(400)
        assert box.stands().state is DestinationState.RETRYING
        assert len(archive.looks) >= 5
        archive.on_look = archive.show
        await box.until(lambda: box.stands().state is DestinationState.UP, step_s=100)


async def test_what_is_sent_is_proven_while_another_one_is_refused(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box,
    ):
        archive.on_look = lambda _: Reply(503)
        archive.on_store = lambda stow: Reply(500) if "9" in stow.uids[0][-1:] else archive.store_all(stow)
        await box.take_made(*(named(n) for n in range(1, 4)))
        await box.until(lambda: box.at() == {"sent": 3})
        [bad] = await box.take_made(named(9, "1.2.826.0.1.9"))
        await box.until(lambda: box.stands().state is DestinationState.RETRYING)
        archive.on_store, archive.on_look = archive.store_all, archive.show
        await box.until(lambda: box.at() == {"committed": 4}, step_s=5)
        assert box.delivery(bad).proof == "search"
