"""What is in memory is read when it is taken, without a thread; nothing that the loop does waits for the disk."""

import os
from contextlib import aclosing
from pathlib import Path

import lmdb
import pytest

from edged.store.chunks import READ_CHUNKS, read_chunks
from edged.store.errors import InstanceGone
from edged.store.finder import Finder
from edged.store.readers import Readers
from edged.store.schema import CHUNK_BYTES
from edged.store.store import Store
from edged.store.transaction import Transaction
from tests.support.store_kit import counted_reads, put, stored_bytes

STORED = b"".join(bytes([index]) * CHUNK_BYTES for index in range(READ_CHUNKS + 3))


def all_chunks(txn: Transaction) -> list[bytes]:
    return read_chunks(txn, 1, first=0, count=READ_CHUNKS + 3)


def readers_of(store: Store) -> Readers:
    return store._readers


def forgotten(data: Path) -> None:
    """Have the kernel give back what it holds of a file; a page here and there it keeps."""
    descriptor = os.open(data, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def can_tell(folder: Path) -> bool:
    """Whether this file system says what is in memory."""
    place = folder / "probe"
    place.write_bytes(b"there")
    with place.open("rb") as file:
        try:
            return os.preadv(file.fileno(), [bytearray(5)], 0, os.RWF_NOWAIT) == 5
        except OSError:
            return False


async def test_what_came_just_now_is_read_without_a_thread(store: Store, tmp_path: Path) -> None:
    assert (await put(store, STORED, "1.2")).number == 1
    with counted_reads() as waited:
        assert await stored_bytes(store, 1, len(STORED)) == STORED
    assert (waited.count == 0, store.streams.are_in_memory([1])) == (can_tell(tmp_path), can_tell(tmp_path))
    assert store.read_ahead.held == 0


async def test_what_the_kernel_has_given_back_is_read_by_a_thread(store: Store, tmp_path: Path) -> None:
    assert (await put(store, STORED, "1.2")).number == 1
    forgotten(tmp_path / "box" / "store" / "data.mdb")
    assert readers_of(store).at_once(all_chunks) is None
    with counted_reads() as waited:
        assert await stored_bytes(store, 1, len(STORED)) == STORED
    assert waited.count == 1


async def test_a_stream_that_once_met_the_disk_reads_ahead(store: Store, tmp_path: Path) -> None:
    assert (await put(store, STORED, "1.2")).number == 1
    forgotten(tmp_path / "box" / "store" / "data.mdb")
    async with aclosing(store.stream(1, len(STORED))) as stream:
        got = [await anext(stream)]
        assert store.read_ahead.coming == 3
        got.extend([chunk async for chunk in stream])
    assert b"".join(got) == STORED


@pytest.mark.parametrize("given", [0, 1, CHUNK_BYTES - 1])
async def test_what_is_there_in_part_is_not_in_memory(
    store: Store, monkeypatch: pytest.MonkeyPatch, given: int
) -> None:
    """The kernel gives what it has; the rest is the disk's, and a file that ends early is found by who waits for it."""
    await put(store, STORED, "1.2")
    monkeypatch.setattr(os, "preadv", lambda _, buffers, *__: min(given, len(buffers[0]) - 1))
    assert readers_of(store).at_once(all_chunks) is None
    assert not store.streams.are_in_memory([1])
    assert await stored_bytes(store, 1, len(STORED)) == STORED


async def test_a_damaged_index_is_told_to_who_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise lmdb.CorruptedError("damaged")

    await put(store, STORED, "1.2")
    with monkeypatch.context() as patch:
        patch.setattr(Finder, "find", damaged)
        store.streams.are_in_memory([1])
        with pytest.raises(InstanceGone, match="damaged"):
            await stored_bytes(store, 1, len(STORED))


async def test_where_the_file_system_cannot_tell_threads_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(95, "Operation not supported")

    await put(store, STORED, "1.2")
    monkeypatch.setattr(os, "preadv", refuse)
    with counted_reads() as waited:
        assert await stored_bytes(store, 1, len(STORED)) == STORED
    assert waited.count == 1


async def test_a_chunk_that_is_missing_in_memory_makes_a_suspect(store: Store) -> None:
    await put(store, b"short", "1.2")
    with pytest.raises(InstanceGone):
        await stored_bytes(store, 1, len(STORED))
    assert store.suspects.numbers == {1}
