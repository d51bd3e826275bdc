"""`transcode = "explicit"`: what an archive refuses for its transfer syntax leaves decompressed, or is parked."""

import io
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from edged.dicomweb.event_report import EventKind
from edged.store.history import history_of
from edged.store.queue import move
from edged.store.records import Check, Delivery, DeliveryState, Happened
from edged.upstream import transcoding
from edged.upstream.decoding import Limits
from edged.upstream.leaving import TRANSCODED
from tests.support.archive import rules
from tests.support.forwarding_kit import Forwarding, destination, forwarding
from tests.support.scripted_archive import Reply, ScriptedArchive, StoreRule, Stow, report, scripted_archive
from tests.support.stow_kit import named
from tests.support.transcode_kit import (
    BROKEN,
    COLOUR,
    FILES,
    WAVELETS,
    another,
    children,
    in_sixteen_bits,
    large,
    plain_only,
    shadowed,
    uid_of,
)

EXPLICIT = '"explicit"'
SEARCH = '["search"]'


async def settled(box: Forwarding, uid: str, *states: DeliveryState) -> None:
    """A process takes real time: the clock of the box moves little meanwhile."""
    await box.until(lambda: box.delivery(uid).state in states, step_s=0.1)


@pytest.mark.parametrize("refusal", [None, 415])
async def test_what_is_refused_as_it_is_leaves_decompressed(tmp_path: Path, refusal: int | None) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive, refusal)
        config = destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)
        async with forwarding(tmp_path, config) as box:
            await box.take_made(named(1))
            source = (FILES / COLOUR).read_bytes()
            [uid] = await box.take(source)
            await settled(box, uid, DeliveryState.COMMITTED)
            left = dcmread(io.BytesIO(archive.stored[uid]))
            assert np.array_equal(left.pixel_array, dcmread(io.BytesIO(source)).pixel_array)
            assert box.delivery(uid).answer == TRANSCODED
            assert box.delivery(uid).proof == "search"
            [sent] = [each for each in box.events(EventKind.SENT) if each.sop_instance_uid == uid]
            assert sent.text == f"stored, {TRANSCODED}"
            entries = box.store.read_now(partial(history_of, sop_instance_uid=uid))
            assert [entry.what for _, entry in entries] == [Happened.ANSWERED, Happened.TRANSCODED]
            assert box.store.space._reserved == 0
        assert archive.sent_uids.count(uid) == 2


async def test_as_it_is_where_the_settings_do_not_allow_it(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, commitment=SEARCH)) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.at() == {"committed": 1})
            [uid] = await box.take((FILES / COLOUR).read_bytes())
            await settled(box, uid, DeliveryState.PARKED)
            assert archive.sent_uids.count(uid) == 1


async def parked_for(box: Forwarding, source: bytes) -> str:
    await box.take_made(named(1))
    await box.until(lambda: box.at() == {"committed": 1})
    [uid] = await box.take(source)
    await settled(box, uid, DeliveryState.PARKED)
    assert box.delivery(uid).reason == 0xC122
    assert box.store.space._reserved == 0
    return box.delivery(uid).text


async def test_a_broken_codestream_is_parked_with_the_reason(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            text = await parked_for(box, (FILES / BROKEN).read_bytes())
            assert text == "refused as it is, and the decoders do not understand its pixel data"


async def test_a_worker_that_meets_its_limit_parks_and_hurts_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding.Transcoding.__init__, "__kwdefaults__", {"limits": Limits(memory_bytes=160 << 20)})
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            text = await parked_for(box, large())
            assert text.startswith("refused as it is, and")
            await box.take_made(named(2))
            await box.until(lambda: box.at() == {"committed": 2, "parked": 1})


async def test_a_full_store_holds_up_nothing_that_is_to_leave(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            [uid] = await box.take((FILES / COLOUR).read_bytes())
            full = box.store.space.open(box.store.space.free - (40 << 10))
            await settled(box, uid, DeliveryState.COMMITTED)
            full.close()


async def test_a_full_disk_waits_parks_nothing_and_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            with monkeypatch.context() as patched:
                patched.setattr(transcoding, "KEPT_FREE", 1 << 60)
                [uid] = await box.take((FILES / COLOUR).read_bytes())
                await box.until(lambda: box.condition_names() == {"not-transcoded:archive"}, step_s=1.0)
                assert box.delivery(uid).state is DeliveryState.HELD
            await box.until(lambda: box.delivery(uid).state is DeliveryState.COMMITTED, step_s=50.0)
            assert box.condition_names() == set()
            assert archive.sent_uids.count(uid) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_worker_that_is_ended_from_outside_parks_nothing(tmp_path: Path, number: int) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            [uid] = await box.take((FILES / COLOUR).read_bytes())
            process = await running(box)
            with suppress(ProcessLookupError):
                os.kill(process, number)
            await settled(box, uid, DeliveryState.COMMITTED, DeliveryState.PARKED)
            assert box.delivery(uid).state is DeliveryState.COMMITTED
            assert box.condition_names() == set()


async def running(box: Forwarding) -> int:
    """A worker that runs."""
    found: list[int] = []

    def seen() -> bool:
        found.extend(children())
        return bool(found)

    await box.until(seen)
    return found[0]


async def test_a_worker_that_ends_so_again_and_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    monkeypatch.setenv("PYTHONPATH", shadowed(shadows, "import os; os.kill(os.getpid(), 9)"))
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            [uid] = await box.take((FILES / WAVELETS).read_bytes())
            await box.until(lambda: box.condition_names() == {"not-transcoded:archive"}, step_s=60.0)
            assert box.delivery(uid).state is DeliveryState.HELD
            monkeypatch.delenv("PYTHONPATH")
            await box.until(lambda: box.delivery(uid).state is DeliveryState.COMMITTED, step_s=60.0)
            assert box.condition_names() == set()


async def test_a_worker_that_meets_its_limit_of_the_processor_parks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    monkeypatch.setenv("PYTHONPATH", shadowed(shadows, "while True: pass"))
    monkeypatch.setattr(transcoding.Transcoding.__init__, "__kwdefaults__", {"limits": Limits(processor_s=1)})
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            text = await parked_for(box, (FILES / WAVELETS).read_bytes())
            assert text == "refused as it is, and decompressing it takes more than 1 s of the processor"


async def test_missing_plug_ins_are_told_and_park(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    monkeypatch.setenv("PYTHONPATH", shadowed(shadows, "raise ImportError"))
    monkeypatch.setattr(transcoding, "_PLUG_INS", ("numpy", "no_such_plug_in"))
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            [told] = [each for each in box.conditions.snapshot() if each.name == "no-codecs:archive"]
            assert "no_such_plug_in missing" in told.hint
            text = await parked_for(box, (FILES / WAVELETS).read_bytes())
            assert text.startswith("refused as it is, and no plug-in for its transfer syntax is installed")


async def test_what_the_program_keeps_out_of_its_own_process_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("gdcm", "openjpeg"):
        monkeypatch.setitem(sys.modules, name, None)
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT)) as box,
    ):
        assert box.condition_names() == set()


async def test_a_syntax_that_was_refused_is_not_tried_with_each(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            await box.take((FILES / COLOUR).read_bytes())
            await box.until(lambda: box.at() == {"committed": 1}, step_s=0.1)
            uids = await box.take(*(another(COLOUR, last) for last in (1, 2)))
            await box.until(lambda: box.at() == {"committed": 3}, step_s=0.1)
            assert [archive.sent_uids.count(uid) for uid in uids] == [1, 1]
            assert {box.delivery(uid).answer for uid in uids} == {TRANSCODED}
            await box.pass_time(transcoding.REMEMBERED_S)
            [late] = await box.take(another(COLOUR, 3))
            await settled(box, late, DeliveryState.COMMITTED)
            assert archive.sent_uids.count(late) == 2


async def test_what_cannot_be_decompressed_is_refused_itself_before_it_is_parked(tmp_path: Path) -> None:
    """Another of its class and syntax was refused; this one the archive may well take."""
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            broken = (FILES / BROKEN).read_bytes()
            await parked_for(box, broken)
            [refused, taken] = [another(BROKEN, last) for last in (1, 2)]
            [uid] = await box.take(refused)
            await settled(box, uid, DeliveryState.PARKED)
            archive.on_store = archive.store_all
            [uid] = await box.take(taken)
            await settled(box, uid, DeliveryState.COMMITTED)
            assert archive.sent_uids.count(uid) == 1
            assert box.delivery(uid).answer == ""


@pytest.mark.parametrize("answered", [True, False])
async def test_an_attribute_that_decompression_changes_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    monkeypatch.setattr(rules, "_SHOWN", (*rules._SHOWN, "BitsAllocated", "BitsStored"))
    async with scripted_archive() as (archive, _):
        stores = plain_only(archive)

        def rule(stow: Stow) -> Reply:
            reply = stores(stow)
            assert {each.BitsAllocated for each in stow.data_sets} == {8 if reply.status == 200 else 16}
            return reply if answered or reply.status != 200 else Reply(200)

        archive.on_store = rule
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            [uid] = await box.take(in_sixteen_bits())
            await settled(box, uid, DeliveryState.COMMITTED)
            looks = len(archive.looks)
            await box.pass_time(24 * 3600.0)
            await box.archive.prove_again(box.numbers(uid), within_s=10.0)
            assert len(archive.looks) > looks
            assert box.condition_names() == set()


def already_there(archive: ScriptedArchive) -> StoreRule:
    """A rule that says of what is there that it is, before it looks at the syntax."""
    picky = plain_only(archive)

    def rule(stow: Stow) -> Reply:
        there = [uid for uid in stow.uids if uid in archive.stored]
        return report([], dict.fromkeys(there, 0x0111)) if there else picky(stow)

    return rule


async def test_what_left_decompressed_before_a_restart_is_proven(tmp_path: Path) -> None:
    """Its answer was lost, and the note that it left so with the restart."""
    config = {"transcode": EXPLICIT, "commitment": SEARCH}
    async with scripted_archive() as (archive, _):
        picky = plain_only(archive)

        def lose(stow: Stow) -> Reply:
            reply = picky(stow)
            return Reply(reset=True) if archive.stored else reply

        archive.on_store = lose
        async with forwarding(tmp_path, destination(archive.url, **config), keep=True) as box:
            [uid] = await box.take((FILES / COLOUR).read_bytes())
            await box.until(lambda: bool(archive.stored), step_s=0.1)
            clock = box.clock
        archive.on_store = already_there(archive)
        async with forwarding(tmp_path, destination(archive.url, **config), clock) as box:
            await box.until(lambda: box.at() == {"committed": 1}, step_s=60.0)
            assert (box.delivery(uid).evidence, box.delivery(uid).proof) == ("found", "search")
            assert box.condition_names() == set()


async def checked(box: Forwarding, archive: ScriptedArchive) -> str:
    """Admit one in place of another that may have been sent already; the archive takes it decompressed."""
    archive.on_store = lambda _: Reply(503)
    [uid] = await box.take((FILES / COLOUR).read_bytes())
    [number] = box.numbers(uid)
    held = Delivery(state=DeliveryState.HELD, since=box.clock.wall(), check=Check.DIGEST)
    there = box.routes.ids["archive"]
    await box.store.write(partial(move, number=number, destination=there, expected=(DeliveryState.HELD,), to=held))
    archive.on_store = plain_only(archive)
    return uid


async def test_what_cannot_be_compared_since_it_left_decompressed_is_told_truly(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box,
    ):
        uid = await checked(box, archive)
        await box.until(lambda: uid in archive.stored, step_s=0.1)
        await box.until(lambda: box.condition_names() == {"cannot-prove:archive"}, step_s=60.0)
        [told] = box.conditions.snapshot()
        assert "edged queue discard" in told.hint
        assert box.delivery(uid).state is DeliveryState.HELD
        assert archive.times[uid] == 1


async def test_what_is_not_there_although_it_left_decompressed_is_sent_again(tmp_path: Path) -> None:
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box,
    ):
        uid = await checked(box, archive)
        await box.until(lambda: uid in archive.stored, step_s=0.1)
        archive.lose(uid)
        await box.until(lambda: archive.times[uid] == 2, step_s=5.0)
        assert box.delivery(uid).resends == 1


async def test_who_is_cut_off_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    async with scripted_archive() as (archive, _):
        archive.on_store = plain_only(archive)
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT), keep=True) as box:
            await box.take((FILES / COLOUR).read_bytes())
            await box.until(lambda: bool(children()))
        assert not children()
        async with forwarding(tmp_path, destination(archive.url, transcode=EXPLICIT, commitment=SEARCH)) as box:
            await settled(box, uid_of(COLOUR), DeliveryState.COMMITTED)
            folder = box.store.allocation.data.parent
            assert {each.name for each in folder.iterdir()} == {"data.mdb", "lock.mdb"}


async def test_where_data_sets_should_be_compared_the_attributes_are(tmp_path: Path) -> None:
    """`verify = "retrieve"`: what comes back decompressed has another digest than what is here."""
    config = {"transcode": EXPLICIT, "commitment": SEARCH, "verify": '"retrieve"'}
    async with (
        scripted_archive() as (archive, _),
        forwarding(tmp_path, destination(archive.url, **config)) as box,
    ):
        picky = plain_only(archive)
        archive.on_store = lambda stow: Reply(200) if picky(stow).status == 200 else report([], {stow.uids[0]: 0xC122})
        [uid] = await box.take((FILES / COLOUR).read_bytes())
        await settled(box, uid, DeliveryState.COMMITTED)
        assert len(archive.retrieves) == 1
        assert box.delivery(uid).answer == TRANSCODED
