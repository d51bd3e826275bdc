"""What a reader trips over is looked after at once, once; sent again it is never taken for stored unread."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import outcome
import pytest
import trio

from edged.dicom.reasons import FailureReason
from edged.services.routing import Source
from edged.services.store_instance import Accepted, Refused
from edged.store.errors import InstanceGone
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key
from tests.conftest import ExpectedLogs
from tests.support.forwarding_kit import destination
from tests.support.repair_kit import Scrubbed, scrubbed
from tests.support.scripted_archive import Reply, ScriptedArchive, scripted_archive
from tests.support.store_kit import stored_bytes
from tests.support.stow_kit import made, named

BUSY = Reply(503)
COMMITTED = destination("{url}", commitment='["stored"]')


@pytest.fixture
async def archive() -> AsyncIterator[ScriptedArchive]:
    """One that behaves."""
    async with scripted_archive() as (opened, _):
        yield opened


@pytest.fixture
async def box(tmp_path: Path, archive: ScriptedArchive, expected_logs: ExpectedLogs) -> AsyncIterator[Scrubbed]:
    """A box before that archive, with a scrub that only a suspect or a test wakes."""
    async with scrubbed(tmp_path, COMMITTED.format(url=archive.url), expected_logs) as opened:
        opened.box.door.mender = opened.scrub
        yield opened


@pytest.fixture
async def judging(box: Scrubbed, nursery: trio.Nursery) -> AsyncIterator[Scrubbed]:
    """That box; its scrub looks at suspects."""
    nursery.start_soon(box.scrub.keep_judging)
    yield box
    nursery.cancel_scope.cancel()


async def broken(box: Scrubbed, data: bytes) -> int:
    """An instance that lacks its first chunk, which nobody knows."""
    [number] = box.box.numbers(*await box.box.take(data))
    await box.box.store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 0)))
    return number


async def tripped_over(box: Scrubbed, number: int) -> None:
    """Somebody reads it in vain."""
    with pytest.raises(InstanceGone):
        await stored_bytes(box.box.store, number, 1)


async def sent(box: Scrubbed, data: bytes) -> Accepted | Refused:
    reservation = box.box.store.space.open()
    receiving = box.box.door.receive(Source("test"), reservation)
    await receiving.feed(data)
    told = await receiving.admit()
    reservation.close()
    return told


def require_refused_for_now(told: Accepted | Refused) -> None:
    assert isinstance(told, Refused)
    assert (told.reason, told.passing) == (FailureReason.OUT_OF_RESOURCES, True)


async def test_what_the_forwarder_trips_over_is_told_and_mended_and_sent(
    judging: Scrubbed, archive: ScriptedArchive, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("holds other bytes")
    archive.on_store = lambda _: BUSY
    data = made(named(1))
    number = await broken(judging, data)
    archive.on_store = archive.store_all
    await judging.box.until(lambda: judging.hint != "", step_s=1.0)
    assert named(1).instance in judging.hint
    assert list(judging.scrub.bad) == [number]
    expected_logs.expect("is repaired: it was sent again")
    assert isinstance(await sent(judging, data), Accepted)
    await judging.box.until(lambda: judging.box.at() == {"committed": 1}, step_s=1.0)
    assert archive.stored[named(1).instance] == data
    assert judging.box.condition_names() == set()


async def test_what_a_destination_committed_to_comes_back_at_once(
    judging: Scrubbed, archive: ScriptedArchive, expected_logs: ExpectedLogs
) -> None:
    data = made(named(1), size=3 * CHUNK_BYTES)
    [number] = await judging.committed(data)
    expected_logs.expect("holds other bytes")
    expected_logs.expect("is repaired: archive gave it back")
    await judging.box.store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 1)))
    with pytest.raises(InstanceGone):
        await judging.stored(number)
    await judging.box.until(lambda: len(judging.told()) == 3)
    assert await judging.stored(number) == data
    assert not judging.scrub.doubted


async def test_what_is_known_to_be_bad_is_not_read_and_asked_for_again(
    judging: Scrubbed, archive: ScriptedArchive, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("holds other bytes")
    archive.on_retrieve = lambda _: BUSY
    [number] = await judging.committed(made(named(1)))
    await judging.box.store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 0)))
    for _ in range(3):
        await tripped_over(judging, number)
        await judging.box.until(lambda: not judging.box.store.suspects.numbers)
    assert len(archive.retrieves) == 1
    assert len(judging.told()) == 1
    archive.on_retrieve = archive.give
    await judging.repaired(number)
    assert len(archive.retrieves) == 2


async def test_what_is_good_or_gone_is_forgotten(judging: Scrubbed) -> None:
    numbers = judging.box.numbers(*await judging.box.take_made(named(1)))
    for number in (*numbers, 99):
        judging.box.store.suspects.note(number)
        await judging.box.until(lambda: not judging.scrub.doubted)
    assert judging.told() == []


async def test_sent_again_before_anybody_looked_it_is_read_and_mended(
    box: Scrubbed, archive: ScriptedArchive, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("holds other bytes")
    expected_logs.expect("is repaired: it was sent again")
    archive.on_store = lambda _: BUSY
    data = made(named(1))
    number = await broken(box, data)
    await tripped_over(box, number)
    told = await sent(box, data)
    assert isinstance(told, Accepted)
    assert (told.number, told.again) == (number, True)
    assert await box.stored(number) == data
    assert not box.scrub.doubted
    assert box.hint == ""


async def test_sent_again_a_suspect_that_is_good_stays_as_it_is(box: Scrubbed) -> None:
    data = made(named(1))
    [number] = box.box.numbers(*await box.box.take(data))
    box.box.store.suspects.note(number)
    told = await sent(box, b"edged" + data[5:])
    assert isinstance(told, Accepted)
    assert (told.number, told.again) == (number, True)
    assert await box.stored(number) == data
    assert not box.scrub.doubted


async def test_sent_again_while_somebody_looks_it_is_refused_for_now(
    box: Scrubbed, archive: ScriptedArchive, nursery: trio.Nursery, expected_logs: ExpectedLogs
) -> None:
    expected_logs.expect("holds other bytes")
    expected_logs.expect("is repaired: archive gave it back")
    data = made(named(1))
    [number] = await box.committed(data)
    given = trio.Event()
    archive.on_retrieve = lambda asked: replace(archive.give(asked), after=given)
    await box.box.store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 0)))
    await tripped_over(box, number)
    nursery.start_soon(box.scrub.keep_judging)
    await box.box.until(lambda: len(archive.retrieves) == 1)
    require_refused_for_now(await sent(box, data))
    given.set()
    await box.box.until(lambda: not box.scrub.doubted)
    assert isinstance(await sent(box, data), Accepted)
    nursery.cancel_scope.cancel()


async def test_what_becomes_a_suspect_before_its_duplicate_is_answered_is_not_taken_for_stored(
    tmp_path: Path, archive: ScriptedArchive, expected_logs: ExpectedLogs
) -> None:
    async with scrubbed(tmp_path, COMMITTED.format(url=archive.url), expected_logs, inline=False) as box:
        box.box.door.mender = box.scrub
        data = made(named(1))
        [number] = await box.committed(data)
        told: list[outcome.Outcome[Accepted | Refused]] = []
        reservation = box.box.store.space.open()
        receiving = box.box.door.receive(Source("test"), reservation)
        await receiving.feed(data)
        await receiving.hand_over(told.append)
        assert told == []
        box.box.store.suspects.note(number)
        await box.box.until(lambda: told != [])
        require_refused_for_now(told[0].unwrap())
        reservation.close()
