"""Whoever streams an instance and cannot makes it a suspect: the numbers are bounded, and wake who waits for them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.store.errors import InstanceGone, InstanceUnreadable
from edged.store.queue import destination_id
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key
from edged.store.store import MOST_SUSPECTS, Store, Suspects, open_store
from tests.faulty_disk.pages import cut_under
from tests.support.store_kit import CAPACITY, put, stored_bytes

FILL = b"\xd5"
SIZE = 40 * CHUNK_BYTES
SMALL = 70_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store of a few instances, the seventh of which is large."""
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        for number in range(6):
            await put(opened, b"\x11" * SMALL, f"1.{number}")
        await put(opened, FILL * SIZE, "1.7")
        yield opened


async def test_what_the_disk_cannot_give_back_is_a_suspect_and_nothing_else(store: Store, tmp_path: Path) -> None:
    cut_under(tmp_path / "store/data.mdb", FILL)
    await stored_bytes(store, 1, SMALL)
    assert store.suspects.numbers == set()
    with pytest.raises(InstanceUnreadable):
        await stored_bytes(store, 7, SIZE)
    assert store.suspects.numbers == {7}
    assert not store.busy()


async def test_what_lacks_a_chunk_is_a_suspect(store: Store) -> None:
    await store.write(lambda txn: txn.delete(CHUNKS, chunk_key(7, 39)))
    with pytest.raises(InstanceGone):
        await stored_bytes(store, 7, SIZE)
    assert store.suspects.numbers == {7}


async def test_a_reader_that_is_cut_off_makes_no_suspect(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await stored_bytes(store, 7, SIZE)
    assert store.suspects.numbers == set()


async def test_they_are_bounded() -> None:
    suspects = Suspects()
    for number in range(MOST_SUSPECTS + 1):
        suspects.note(number)
    assert len(suspects.numbers) == MOST_SUSPECTS
    suspects.discard(0)
    suspects.note(MOST_SUSPECTS)
    assert MOST_SUSPECTS in suspects.numbers


async def test_they_wake_who_waits_for_them(nursery: trio.Nursery) -> None:
    suspects = Suspects()
    woken: list[set[int]] = []

    async def wait() -> None:
        await suspects.wait()
        woken.append(set(suspects.numbers))

    for number in (1, 2):
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        suspects.note(number)
        await trio.testing.wait_all_tasks_blocked()
        suspects.discard(number)
    assert woken == [{1}, {2}]
