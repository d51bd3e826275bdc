"""What is sent again while its stored bytes are known to be damaged takes their place, and is never just "there"."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from edged.dicom.reasons import FailureReason
from edged.services.routing import Source
from edged.services.scrub import Verdict
from edged.services.store_instance import Accepted, Refused
from edged.store.repair import REPAIR_CHUNKS
from edged.store.schema import CHUNK_BYTES
from edged.store.upload import SPOOL_BYTES, upload
from tests.conftest import ExpectedLogs
from tests.support.forwarding_kit import destination
from tests.support.repair_kit import Scrubbed, instance_at, scrubbed
from tests.support.scripted_archive import Reply, scripted_archive
from tests.support.stow_kit import made, named

LARGE = (2 * REPAIR_CHUNKS + 20) * CHUNK_BYTES


@pytest.fixture
async def box(tmp_path: Path, expected_logs: ExpectedLogs) -> AsyncIterator[Scrubbed]:
    async with scripted_archive() as (archive, _):
        archive.on_store = lambda _: Reply(503)
        async with scrubbed(tmp_path, destination(archive.url), expected_logs) as opened:
            opened.box.door.mender = opened.scrub
            yield opened


async def damaged(box: Scrubbed, data: bytes) -> int:
    """An instance that no destination has, damaged and found out."""
    [number] = box.box.numbers(*await box.box.take(data))
    await box.damage(number)
    await box.see_to(number)
    assert list(box.scrub.bad) == [number]
    return number


async def sent(box: Scrubbed, data: bytes) -> Accepted | Refused:
    reservation = box.box.store.space.open()
    receiving = box.box.door.receive(Source("test"), reservation)
    for at in range(0, len(data), 1 << 20):
        await receiving.feed(data[at : at + (1 << 20)])
    told = await receiving.admit()
    reservation.close()
    return told


@pytest.mark.parametrize("size", [2000, LARGE])
async def test_what_is_sent_again_takes_the_place_of_what_is_damaged(
    box: Scrubbed, expected_logs: ExpectedLogs, size: int
) -> None:
    data = made(named(1), size=size)
    number = await damaged(box, data)
    expected_logs.expect(f"instance number {number} is repaired: it was sent again")
    told = await sent(box, data)
    assert isinstance(told, Accepted)
    assert (told.number, told.again) == (number, True)
    assert await box.stored(number) == data
    assert await box.scrub.verify(number, instance_at(box.box.store, number)) is Verdict.GOOD
    assert not box.scrub.bad
    assert box.hint == ""
    assert box.box.store.budget.free == box.box.store.budget.total


async def test_another_file_of_the_same_data_set_may_take_its_place(box: Scrubbed, expected_logs: ExpectedLogs) -> None:
    data = made(named(1))
    number = await damaged(box, data)
    expected_logs.expect(f"instance number {number} is repaired: it was sent again")
    other_head = b"edged" + data[5:]  # another preamble
    assert isinstance(await sent(box, other_head), Accepted)
    assert await box.stored(number) == other_head


async def test_what_cannot_be_put_in_place_is_refused(box: Scrubbed, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(named(1))
    number = await damaged(box, data)
    monkeypatch.setattr("edged.services.repair.MARGIN_BYTES", -1)
    told = await sent(box, data)
    assert isinstance(told, Refused)
    assert (told.reason, told.passing) == (FailureReason.OUT_OF_RESOURCES, True)
    assert list(box.scrub.bad) == [number]
    assert box.box.store.budget.free == box.box.store.budget.total


async def test_another_data_set_is_a_duplicate_as_ever(box: Scrubbed) -> None:
    await damaged(box, made(named(1)))
    told = await sent(box, made(named(1), patient=b"OTHER"))
    assert isinstance(told, Refused)
    assert told.reason is FailureReason.DUPLICATE_SOP_INSTANCE


async def test_whatever_else_is_sent_meanwhile_is_stored(box: Scrubbed) -> None:
    await damaged(box, made(named(1)))
    with trio.fail_after(20):
        assert isinstance(await sent(box, made(named(2))), Accepted)


async def test_only_one_copy_is_put_in_place_at_a_time(box: Scrubbed, expected_logs: ExpectedLogs) -> None:
    data = made(named(1), size=LARGE)
    number = await damaged(box, data)
    expected_logs.expect(f"instance number {number} is repaired: it was sent again")
    told: list[Accepted | Refused] = []

    async def send(copy: bytes) -> None:
        told.append(await sent(box, copy))

    copies = [data, b"another" + data[7:], b"a third" + data[7:]]
    async with trio.open_nursery() as nursery:
        for copy in copies:
            nursery.start_soon(send, copy)
    accepted = [each for each in told if isinstance(each, Accepted)]
    assert accepted
    assert await box.stored(number) in copies
    assert await box.scrub.verify(number, instance_at(box.box.store, number)) is Verdict.GOOD
    assert box.box.store.budget.free == box.box.store.budget.total


async def test_a_copy_that_waits_to_be_put_in_place_holds_up_nobody(box: Scrubbed) -> None:
    reservation = box.box.store.space.open()
    async with upload(box.box.store, reservation) as begun:
        await begun.add(bytes(SPOOL_BYTES - 1))
        await begun.rest()
        with trio.fail_after(20):
            async with trio.open_nursery() as senders:
                for each in range(2, 14):
                    senders.start_soon(sent, box, made(named(each), size=6 << 20))
    reservation.close()
    assert box.box.store.budget.free == box.box.store.budget.total
