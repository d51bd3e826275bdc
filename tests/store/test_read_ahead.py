"""What is read ahead of readers: bounded in all, dropped where it stands still, and never missed."""

from contextlib import AsyncExitStack, ExitStack, aclosing

from hypothesis import given
from hypothesis import strategies as st

from edged.store.chunks import READ_CHUNKS
from edged.store.read_ahead import Batch, ReadAhead
from edged.store.schema import CHUNK_BYTES
from edged.store.store import Store
from tests.support.store_kit import put, stored_bytes

CHUNK_COUNT = 2 * READ_CHUNKS + 3
STORED = b"".join(bytes([index]) * CHUNK_BYTES for index in range(CHUNK_COUNT))


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
