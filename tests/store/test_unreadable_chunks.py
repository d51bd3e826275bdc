"""Chunks that the disk cannot give back: reading says so, and nothing is freed for which LMDB would touch them.

The file is cut off under them while it is open. Nothing here may make LMDB look at them: that would end the process.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.store.chunks import Rest, delete_chunks, read_blocks, read_chunks
from edged.store.errors import InstanceUnreadable
from edged.store.integrity import check, check_deep
from edged.store.queue import destination_id
from edged.store.records import Unowned, UnownedKind
from edged.store.schema import CHUNK_BYTES, CHUNKS, UNOWNED, chunk_key, u64_key
from edged.store.store import Store, open_store
from edged.store.sweeper import Swept, sweep
from edged.store.transaction import Transaction
from tests.faulty_disk.pages import cut_under
from tests.support.store_kit import CAPACITY, put

FILL = b"\xd5"
CHUNKS_LOST = 40
DATA = Path("store/data.mdb")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    """A store whose seventh instance is lost in its second half."""
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        for number in range(6):
            await put(opened, b"\x11" * 70_000, f"1.{number}")
        await put(opened, FILL * (CHUNKS_LOST * CHUNK_BYTES), "1.7")
        cut_under(tmp_path / DATA, FILL)
        yield opened


async def test_what_is_left_can_be_read_and_the_rest_is_named(store: Store) -> None:
    with pytest.raises(InstanceUnreadable, match=r"chunk .. of instance number 7: the data file ends"):
        store.read_now(lambda txn: read_chunks(txn, 7, first=0, count=CHUNKS_LOST))
    with pytest.raises(InstanceUnreadable, match=r"chunk .. of instance number 7: the data file ends"):
        store.read_now(lambda txn: read_blocks(txn, 7, first=0, count=CHUNKS_LOST))
    assert store.read_now(lambda txn: read_blocks(txn, 7, first=3, count=2)) == [2 * FILL * CHUNK_BYTES]
    assert store.read_now(lambda txn: read_chunks(txn, 7, first=3, count=1)) == [FILL * CHUNK_BYTES]
    assert b"".join(store.read_now(lambda txn: read_chunks(txn, 6, first=0, count=2))) == b"\x11" * 70_000


async def test_the_check_reads_no_chunk_and_the_deep_one_goes_on(store: Store) -> None:
    assert store.read_now(lambda txn: list(check(txn))) == []
    told: list[int] = []
    [problem] = store.read_now(lambda txn: list(check_deep(txn, told.append)))
    assert "instance 7 (1.7) cannot be read: the disk cannot give back chunk" in problem
    assert len(told) == 7


async def test_what_cannot_be_read_is_not_freed(store: Store) -> None:
    unowned = Unowned(kind=UnownedKind.EVICTING, since=1.0)
    await store.write(lambda txn: txn.put_record(UNOWNED, u64_key(7), unowned))
    assert await store.write(lambda txn: sweep(txn, {1, 2, 3, 4, 5, 6}, 100)) == Swept(7, Rest.UNREADABLE)
    left = store.read_now(lambda txn: len(list(txn.chunk_keys(u64_key(7)))))
    assert 0 < left < CHUNKS_LOST
    assert await store.write(lambda txn: sweep(txn, {1, 2, 3, 4, 5, 6}, 100)) == Swept(7, Rest.UNREADABLE)
    assert store.read_now(lambda txn: txn.get(UNOWNED, u64_key(7))) is not None


async def test_a_transaction_sees_its_own_chunks(store: Store) -> None:
    def change(txn: Transaction) -> tuple[list[tuple[bytes, bytes]], list[bytes], bytes | memoryview | None]:
        txn.put(CHUNKS, chunk_key(5, 1), b"other")
        txn.put(CHUNKS, chunk_key(5, 2), b"new")
        assert read_blocks(txn, 5, first=0, count=3) == [b"\x11" * CHUNK_BYTES + b"other" + b"new"]
        txn.delete(CHUNKS, chunk_key(5, 0))
        seen = [(bytes(key), bytes(value)) for key, value in txn.rows(CHUNKS, u64_key(5))]
        assert delete_chunks(txn, 5) is Rest.NONE
        return seen, list(txn.chunk_keys(u64_key(5))), txn.get(CHUNKS, chunk_key(5, 1))

    seen, after, gone = await store.write(change)
    assert seen == [(chunk_key(5, 1), b"other"), (chunk_key(5, 2), b"new")]
    assert (after, gone) == ([], None)
