"""Turns to read: bounded, fair by destination, fewer while instances arrive, and never lost."""

import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.shares import MOST_READING, MOST_WHILE_BUSY, Lane, Shares


async def crowd(nursery: trio.Nursery, lane: Lane, count: int, order: list[str], name: str) -> None:
    """So many workers that take a turn and never end it."""

    async def worker() -> None:
        await lane.take()
        order.append(name)

    for _ in range(count):
        nursery.start_soon(worker)
    await trio.testing.wait_all_tasks_blocked()


async def test_one_with_many_workers_gets_no_more_than_one_with_few() -> None:
    shares, order = Shares(lambda: False), list[str]()
    many, few = shares.lane(), shares.lane()
    async with trio.open_nursery() as nursery:
        await crowd(nursery, many, 40, order, "many")
        await crowd(nursery, few, 2, order, "few")
        assert order == ["many"] * MOST_READING
        for _ in range(3):
            many.give()
            await trio.testing.wait_all_tasks_blocked()
        assert order[MOST_READING:] == ["few", "few", "many"]
        nursery.cancel_scope.cancel()


async def test_alone_it_gets_all_and_fewer_while_instances_arrive() -> None:
    arriving = False
    shares, order = Shares(lambda: arriving), list[str]()
    lane = shares.lane()
    async with trio.open_nursery() as nursery:
        await crowd(nursery, lane, 2 * MOST_READING, order, "all")
        assert lane.reading == MOST_READING
        arriving = True
        for _ in range(MOST_READING - MOST_WHILE_BUSY):
            lane.give()
        assert lane.reading == MOST_WHILE_BUSY
        lane.give()
        assert lane.reading == MOST_WHILE_BUSY
        nursery.cancel_scope.cancel()


async def test_who_goes_away_leaves_its_turn_to_the_next() -> None:
    shares, order = Shares(lambda: False), list[str]()
    lane, other = shares.lane(), shares.lane()
    for _ in range(MOST_READING):
        assert lane.take_nowait()
    assert not other.take_nowait()
    async with trio.open_nursery() as gone:
        await crowd(gone, other, 1, order, "gone")
        gone.cancel_scope.cancel()
        lane.give()  # granted before it knows that it is cancelled
        assert other.reading == 1
    assert (shares.reading, other.reading) == (MOST_READING - 1, 0)
    async with trio.open_nursery() as nursery:
        assert lane.take_nowait()
        async with trio.open_nursery() as gone:
            await crowd(gone, other, 1, order, "gone")
            await crowd(nursery, other, 1, order, "next")
            gone.cancel_scope.cancel()
        lane.give()
    assert order == ["next"]


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60), st.booleans())
def test_never_more_than_there_are_and_none_is_lost(steps: list[tuple[int, bool]], busy: bool) -> None:
    shares = Shares(lambda: busy)
    lanes = [shares.lane() for _ in range(3)]
    for index, takes in steps:
        if takes:
            lanes[index].take_nowait()
        elif lanes[index].reading:
            lanes[index].give()
        assert shares.reading == sum(lane.reading for lane in lanes) <= (MOST_WHILE_BUSY if busy else MOST_READING)
