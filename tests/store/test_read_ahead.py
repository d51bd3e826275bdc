"""What is read ahead of readers where the disk is slow: bounded in all, dropped where it stands still, never missed."""

from contextlib import AsyncExitStack, ExitStack, aclosing

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.store.chunks import BLOCK_CHUNKS, READ_CHUNKS
from edged.store.errors import InstanceGone
from edged.store.read_ahead import Batch, ReadAhead
from edged.store.schema import CHUNK_BYTES
from edged.store.store import Store
from edged.upstream.shares import MOST_READING, Shares
from tests.support.store_kit import counted_reads, put, stored_bytes, wait_for_the_disk

CHUNK_COUNT = 2 * READ_CHUNKS + 3
STORED = b"".join(bytes([index]) * CHUNK_BYTES for index in range(CHUNK_COUNT))


@pytest.fixture(autouse=True)
def nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_the_disk(monkeypatch)


@given(st.integers(0, 40), st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60))
def test_every_stream_gets_its_chunks_in_order(most: int, steps: list[tuple[int, bool]]) -> None:
    """Whoever fills or takes when: chunks are counted, and bounded but for the batch that was filled last."""
    ahead = ReadAhead(most)
    with ExitStack() as stack:
        batches = [stack.enter_context(ahead.batch()) for _ in range(5)]
        at = [0] * len(batches)
        for index, fills in steps:
            step(batches[index], at, index, fills=fills)
            held = [len(batch.chunks) for batch in batches]
            assert ahead.held == sum(held)
            assert ahead.held <= max(most, held[index], READ_CHUNKS)
    assert ahead.held == 0


def step(batch: Batch, at: list[int], index: int, *, fills: bool) -> None:
    """One stream takes what is next, or reads it."""
    chunk = batch.take()
    if chunk is None and fills:
        batch.fill([b"%d" % (at[index] + each) for each in range(READ_CHUNKS)])
        chunk = batch.take()
        assert chunk is not None
    if chunk is not None:
        assert chunk == b"%d" % at[index]
        at[index] += 1


async def test_readers_that_stall_keep_nothing(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    store.read_ahead.most = 2 * READ_CHUNKS
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(aclosing(store.stream(number, len(STORED)))) for _ in range(20)]
        got = [[await anext(stream)] for stream in streams]
        assert READ_CHUNKS < store.read_ahead.held <= 2 * READ_CHUNKS
        assert await stored_bytes(store, number, len(STORED)) == STORED
        for chunks, stream in zip(got, streams, strict=True):
            chunks.extend([chunk async for chunk in stream])
            assert b"".join(chunks) == STORED
    assert store.read_ahead.held == 0


async def test_who_reads_on_keeps_what_was_read(store: Store) -> None:
    """One that stalls is dropped before one that moves, though it began later."""
    number = (await put(store, STORED, "1.2")).number
    store.read_ahead.most = 2 * READ_CHUNKS - 1
    async with AsyncExitStack() as stack:
        moving, stalled, third = [
            await stack.enter_async_context(aclosing(store.stream(number, len(STORED)))) for _ in range(3)
        ]
        for stream in (moving, stalled, moving, third):
            await anext(stream)
        assert store.read_ahead.held == (READ_CHUNKS - 2) + (READ_CHUNKS - 1)


async def test_the_next_batch_is_read_while_the_last_one_is_taken(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    async with aclosing(store.stream(number, len(STORED))) as stream:
        got = [await anext(stream)]
        assert store.read_ahead.coming == READ_CHUNKS
        with counted_reads() as waited:
            got.extend([chunk async for chunk in stream])
    assert b"".join(got) == STORED
    assert waited.count == 0
    assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, 4 * CHUNK_BYTES, 4 * CHUNK_BYTES + 1, 527_000, len(STORED)])
@pytest.mark.parametrize("first", [0, 1, BLOCK_CHUNKS + 1])
@pytest.mark.parametrize("begun", [None, False, True])
async def test_blocks_are_the_same_bytes(store: Store, size: int, first: int, begun: bool | None) -> None:
    """From any chunk on, and whether the beginning was begun in blocks, in chunks or not."""
    number = (await put(store, STORED[:size], "1.2")).number
    with ExitStack() as stack:
        if begun is not None:
            stack.enter_context(store.early({number: size}, blocks=begun))
        blocks = [each async for each in store.stream(number, size, first=first, blocks=True)]
    assert b"".join(blocks) == STORED[first * CHUNK_BYTES : size]
    if not begun and begun is not None:
        return
    assert all(len(each) <= BLOCK_CHUNKS * CHUNK_BYTES for each in blocks)
    assert len(blocks) <= -(-len(b"".join(blocks)) // (BLOCK_CHUNKS * CHUNK_BYTES)) + 1
    assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)


async def test_a_block_counts_as_its_chunks(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    async with aclosing(store.stream(number, len(STORED), blocks=True)) as stream:
        got = [await anext(stream)]
        assert (store.read_ahead.held, store.read_ahead.coming) == (READ_CHUNKS - BLOCK_CHUNKS, READ_CHUNKS)
        store.read_ahead.most = 0
        assert await stored_bytes(store, number, len(STORED)) == STORED  # what is held is dropped, and read again
        assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)
        got.extend([block async for block in stream])
    assert b"".join(got) == STORED
    assert store.read_ahead.held == 0


async def test_the_beginnings_of_several_come_with_one_read_before_they_are_asked_for(store: Store) -> None:
    numbers = [(await put(store, bytes([each]) * 100_000, f"1.{each}")).number for each in range(4)]
    with store.early(dict.fromkeys(numbers, 100_000)):
        assert store.read_ahead.coming == 8
        with counted_reads() as waited:
            for each in range(3):
                assert await stored_bytes(store, numbers[each], 100_000) == bytes([each]) * 100_000
        assert (waited.count, store.read_ahead.coming) == (0, 2)
    assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)
    assert await stored_bytes(store, numbers[3], 100_000) == bytes([3]) * 100_000


async def test_what_comes_goes_before_what_is_being_taken_and_is_read_again(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    other = (await put(store, STORED, "1.3")).number
    store.read_ahead.most = 2 * READ_CHUNKS
    with store.early({number: len(STORED)}):
        async with aclosing(store.stream(other, len(STORED))) as stream:
            await anext(stream)
            assert store.read_ahead.coming == READ_CHUNKS
            async with aclosing(store.stream(other, len(STORED))) as third:
                await anext(third)
                assert (store.read_ahead.coming, store.read_ahead.held) == (0, 2 * READ_CHUNKS - 2)
        assert await stored_bytes(store, number, len(STORED)) == STORED


async def test_what_cannot_be_read_before_is_told_when_it_is_asked_for(store: Store) -> None:
    whole = (await put(store, b"whole", "1.2")).number
    with store.early({whole: 5, 999: 5}):
        assert await stored_bytes(store, whole, 5) == b"whole"
        with pytest.raises(InstanceGone):
            await stored_bytes(store, 999, 5)
    assert store.suspects.numbers == {999}


async def test_what_is_read_before_takes_a_turn_and_gives_it_back(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    lane = Shares(lambda: False).lane()
    async with aclosing(store.stream(number, len(STORED), lane=lane)) as stream:
        await anext(stream)
        assert lane.reading == 1
        async for _ in stream:
            pass
    assert lane.reading == 0


async def test_what_is_read_when_it_is_asked_for_waits_for_a_turn(store: Store) -> None:
    number = (await put(store, STORED, "1.2")).number
    lane = Shares(lambda: False).lane()
    store.read_ahead.most = READ_CHUNKS
    async with aclosing(store.stream(number, len(STORED), lane=lane)) as stream:
        await anext(stream)
        for _ in range(MOST_READING):
            assert lane.take_nowait()
        got = 1
        with trio.move_on_after(0):
            async for _ in stream:
                got += 1
    assert got == READ_CHUNKS
    assert lane.reading == MOST_READING
