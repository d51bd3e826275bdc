"""Repair from a scripted archive: what it gives back takes the place of what turned, or nothing is changed."""

from functools import partial
from pathlib import Path

import pytest
import trio

from edged.dicom import uids
from edged.dicomweb.event_report import EventKind
from edged.services.repair import MARGIN_BYTES
from edged.services.scrub import Verdict
from edged.store.chunks import chunk_count
from edged.store.eviction import evict_oldest
from edged.store.repair import REPAIR_CHUNKS
from edged.store.schema import CHUNK_BYTES, CHUNKS, UNOWNED, chunk_key
from tests.conftest import ExpectedLogs
from tests.support.dicom_samples import identified, written
from tests.support.forwarding_kit import destination
from tests.support.repair_kit import Scrubbed, instance_at, scrubbed
from tests.support.scripted_archive import Asked, Reply, scripted_archive
from tests.support.stow_kit import MULTIPART, made, multipart, named

STORED = {"commitment": '["stored"]'}
SINGLE = (("content-type", "application/dicom"),)
RELATED = (("content-type", MULTIPART),)
GIVEN = made(named(1))


def part(*parts: bytes) -> Reply:
    """An answer of these parts."""
    return Reply(200, multipart(parts), RELATED)


async def test_what_turned_is_put_right(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    keys = STORED | {"headers": '{ "X-Site" = "7" }'}
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **keys), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        before = instance_at(box.box.store, number)
        await box.damage(number)
        assert await box.repaired(number) == before
        assert await box.stored(number) == GIVEN
        [asked] = archive.retrieves
        assert asked.path == "/dicom-web" + named(1).path
        assert asked.all("accept") == ['multipart/related; type="application/dicom"; transfer-syntax=*']
        assert asked.all("x-site") == ["7"]
        await box.box.pass_time(1.0)
        assert box.hint == ""
        raised, repaired, cleared = box.told()
        assert raised[0] is EventKind.CONDITION_RAISED
        assert repaired == (EventKind.CONDITION_CLEARED, f"Repaired in the store: {named(1).instance}")
        assert cleared[0] is EventKind.CONDITION_CLEARED


async def test_a_large_one_is_put_right_and_its_copy_freed(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    given = made(named(1), size=(2 * REPAIR_CHUNKS + 20) * CHUNK_BYTES)
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
        trio.open_nursery() as nursery,
    ):
        store = box.box.store
        nursery.start_soon(store.keep_swept)
        [number] = await box.committed(given)
        await box.damage(number, 3, REPAIR_CHUNKS + 1, 2 * REPAIR_CHUNKS + 19)
        await store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 7)))
        await box.repaired(number)
        assert await box.stored(number) == given
        await store.wait_swept()
        assert store.read_now(lambda txn: (txn.count(CHUNKS), txn.count(UNOWNED))) == (chunk_count(len(given)), 0)
        nursery.cancel_scope.cancel()


async def test_another_file_of_the_same_data_set_is_taken_with_its_record(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    """Implicit VR leaves as Explicit VR, so that is what the archive has."""
    given = written(identified(), uids.IMPLICIT_VR_LITTLE_ENDIAN)
    async with (
        scripted_archive() as (archive, _),
        scripted_archive() as (second, _),
        scrubbed(
            tmp_path,
            destination(archive.url, **STORED) + destination(second.url, "second", **STORED),
            expected_logs,
        ) as box,
    ):
        second.on_store = lambda _: Reply(503)
        uids_taken = await box.box.take(given)
        await box.box.until(lambda: box.box.at() == {"committed": 1}, step_s=1.0)
        [number] = box.box.numbers(*uids_taken)
        before = instance_at(box.box.store, number)
        await box.damage(number)
        after = await box.repaired(number)
        there = archive.stored[before.sop_instance_uid]
        assert await box.stored(number) == there != given
        assert (after.transfer_syntax_uid, after.size, after.leaves_as_is) == (
            uids.EXPLICIT_VR_LITTLE_ENDIAN,
            len(there),
            True,
        )
        assert (after.dataset_digest, after.attributes) == (before.dataset_digest, before.attributes)
        second.on_store = second.store_all
        await box.box.until(lambda: box.box.at("second") == {"committed": 1}, step_s=60.0)
        assert second.stored[before.sop_instance_uid] == there


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        pytest.param(part(made(named(1), fill=b"\xa5")), "not the same data set", id="other data set"),
        pytest.param(part(made(named(2))), "not the same data set", id="other instance"),
        pytest.param(part(GIVEN[:-100]), "not the same data set", id="cut instance"),
        pytest.param(part(b"no instance"), "not the same data set", id="no instance"),
        pytest.param(part(GIVEN + bytes(MARGIN_BYTES + 1)), "not the same data set", id="too long"),
        pytest.param(Reply(200, GIVEN[:-100], SINGLE), "not the same data set", id="cut single part"),
        pytest.param(Reply(404), "does not have them", id="absent"),
        pytest.param(Reply(410), "does not have them", id="gone"),
        pytest.param(Reply(200, multipart([GIVEN], closing=False), RELATED), "asked for again", id="cut multipart"),
        pytest.param(Reply(200, bytes(4 * MARGIN_BYTES), RELATED), "asked for again", id="endless preamble"),
        pytest.param(Reply(200, b"", RELATED), "asked for again", id="empty"),
        pytest.param(Reply(200, GIVEN, (("content-type", "multipart/related"),)), "asked for again", id="boundary"),
        pytest.param(
            Reply(200, b"<html>log in</html>", (("content-type", "text/html"),)), "asked for again", id="page"
        ),
        pytest.param(Reply(200, GIVEN), "asked for again", id="no type"),
        pytest.param(Reply(503), "asked for again", id="unavailable"),
        pytest.param(Reply(401), "asked for again", id="not let in"),
        pytest.param(Reply(reset=True), "asked for again", id="reset"),
    ],
)
async def test_what_does_not_do_changes_nothing(
    tmp_path: Path, expected_logs: ExpectedLogs, reply: Reply, said: str
) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        await box.damage(number)
        turned, before = await box.stored(number), instance_at(box.box.store, number)
        archive.on_retrieve = lambda _: reply
        for _ in range(2):
            await box.see_to(number)
            assert said in box.hint
            assert named(1).instance in box.hint
        assert len(archive.retrieves) == (3 if reply.reset else 2)  # once more, where a connection ended that was idle
        assert (await box.stored(number), instance_at(box.box.store, number)) == (turned, before)
        assert [kind for kind, _ in box.told()] == [EventKind.CONDITION_RAISED]
        archive.on_retrieve = archive.give
        await box.repaired(number)
        assert box.hint == ""


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(Reply(200, GIVEN, SINGLE), id="single part"),
        pytest.param(part(GIVEN, made(named(2))), id="more parts"),
        pytest.param(part(GIVEN + b"\0\0\0\0\0\0\0\0"), id="padded"),
    ],
)
async def test_other_answers_that_do(tmp_path: Path, expected_logs: ExpectedLogs, reply: Reply) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        await box.damage(number)
        archive.on_retrieve = lambda _: reply
        await box.repaired(number)
        assert (await box.stored(number)).rstrip(b"\0") == GIVEN.rstrip(b"\0")


async def test_destinations_are_asked_in_turn(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    async with (
        scripted_archive() as (first, _),
        scripted_archive() as (second, _),
        scrubbed(
            tmp_path, destination(first.url, **STORED) + destination(second.url, "second", **STORED), expected_logs
        ) as box,
    ):
        [number] = await box.committed(GIVEN)
        await box.damage(number)
        first.on_retrieve = lambda _: Reply(404)
        await box.repaired(number)
        assert (len(first.retrieves), len(second.retrieves)) == (1, 1)


async def test_a_destination_that_is_down_is_not_asked(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        archive.on_store = lambda _: Reply(401)
        await box.box.take_made(named(2))
        await box.box.until(lambda: box.box.stands().state == "auth-fault")
        await box.damage(number)
        await box.see_to(number)
        assert "asked for again" in box.hint
        assert archive.retrieves == []


async def test_what_nobody_committed_to_is_not_asked_for(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, commitment='["dicomweb"]'), expected_logs) as box,
    ):
        uids_taken = await box.box.take(GIVEN)
        await box.box.until(lambda: box.box.at() == {"sent": 1})
        [number] = box.box.numbers(*uids_taken)
        await box.damage(number)
        await box.see_to(number)
        assert "no destination has committed to them" in box.hint
        assert archive.retrieves == []


async def test_what_is_evicted_meanwhile_is_let_go(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        await box.damage(number)

        def evicting(asked: Asked) -> Reply:
            gone = partial(evict_oldest, committed_before=9e12, least_bytes=0, now=5.0)
            box.box.store.writer.submit(gone, 0, lambda _: None)
            return archive.give(asked)

        archive.on_retrieve = evicting
        await box.see_to(number)
        assert box.box.numbers(named(1).instance) == []
        assert box.hint == ""
        assert box.box.store.read_now(lambda txn: txn.count(CHUNKS)) == 0


async def test_without_room_it_is_repaired_later(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    async with (
        scripted_archive() as (archive, _),
        scrubbed(tmp_path, destination(archive.url, **STORED), expected_logs) as box,
    ):
        [number] = await box.committed(GIVEN)
        await box.damage(number)
        space = box.box.store.space
        full = space.open(space.free - 20_000)
        await box.see_to(number)
        assert "asked for again" in box.hint
        full.close()
        await box.repaired(number)


async def test_a_crash_in_between_leaves_what_the_scrub_finds_again(
    tmp_path: Path, expected_logs: ExpectedLogs
) -> None:
    given = made(named(1), size=(REPAIR_CHUNKS + 20) * CHUNK_BYTES)
    async with scripted_archive() as (archive, _):
        config = destination(archive.url, **STORED)
        async with scrubbed(tmp_path, config, expected_logs, keep=True) as box:
            [number] = await box.committed(given)
            await box.damage(number, *range(REPAIR_CHUNKS + 5))
            await _cut_off_after(box, number, transactions=1)
        async with scrubbed(tmp_path, config, expected_logs) as box:
            instance = instance_at(box.box.store, number)
            assert await box.scrub.verify(number, instance) is Verdict.BAD
            assert (await box.stored(number))[:CHUNK_BYTES] == given[:CHUNK_BYTES]
            await box.repaired(number)
            assert await box.stored(number) == given


async def _cut_off_after(box: Scrubbed, number: int, *, transactions: int) -> None:
    """Begin a repair and end it after so many of its own transactions."""
    store, cut = box.box.store, trio.CancelScope()
    put, written = store.writer.run, 0

    async def counted(apply: partial[object], size: int = 0) -> object:
        nonlocal written
        if written == transactions and size:
            cut.cancel()
        written += bool(size)
        return await put(apply, size)

    store.writer.run = counted  # type: ignore[method-assign, assignment]
    with cut:
        await box.see_to(number)
    assert cut.cancelled_caught
    store.writer.run = put  # type: ignore[method-assign]
