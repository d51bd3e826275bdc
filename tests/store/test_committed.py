"""Walking through what was committed to: everything once a round, a bounded part at a time, nobody else's."""

from functools import partial

import pytest

from edged.store.commit_memory import mark_lost
from edged.store.committed import (
    BEGINNING,
    committed_before_eviction,
    committed_here,
    count_here,
    count_remembered,
    somewhere_here,
    somewhere_remembered,
)
from edged.store.eviction import evict, evict_oldest, next_to_go
from edged.store.queue import destination_id, move
from edged.store.records import Delivery, DeliveryState
from edged.store.store import Store
from tests.support.store_kit import put

COUNT = 10


async def committed(store: Store, count: int = COUNT, *, first: int = 0) -> list[int]:
    """Instances that destination 1 has committed to; each third one is only held."""
    await store.write(partial(destination_id, name="archive"))
    numbers = []
    for index in range(first, first + count):
        number = (await put(store, b"abc", f"1.{index}")).number
        if index % 3 != 2:
            done = Delivery(state=DeliveryState.COMMITTED, since=100.0 + index, proof="dicomweb")
            await store.write(partial(move, number=number, destination=1, expected=(DeliveryState.HELD,), to=done))
            numbers.append(number)
    return numbers


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_round_through_what_is_here_shows_each_once(store: Store, limit: int) -> None:
    numbers = await committed(store)
    found: list[int] = []
    after = BEGINNING
    for _ in range(COUNT // limit + 1):
        some, after = store.read_now(partial(committed_here, destination=1, after=after, limit=limit))
        assert len(some) <= limit
        found += some
    assert after == BEGINNING
    assert found == numbers
    assert store.read_now(partial(committed_here, destination=2, after=BEGINNING, limit=100)) == ({}, BEGINNING)
    assert store.read_now(count_here) == COUNT


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_a_round_through_what_is_remembered_shows_each_once(store: Store, limit: int) -> None:
    numbers = await committed(store)
    await store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5000.0))
    await store.write(partial(mark_lost, sop_instance_uid="1.0"))
    found: list[int] = []
    after = BEGINNING
    for _ in range(len(numbers) // limit + 1):
        some, after = store.read_now(partial(committed_before_eviction, destination=1, after=after, limit=limit))
        found += [each.number for each in some.values()]
        assert all(each.lost == (uid == "1.0") for uid, each in some.items())
    assert after == BEGINNING
    assert found == numbers
    assert store.read_now(count_remembered) == len(numbers)
    nobodys = store.read_now(partial(committed_before_eviction, destination=2, after=BEGINNING, limit=100))
    assert nobodys == ({}, BEGINNING)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
async def test_a_walk_may_begin_anywhere(store: Store, share: float) -> None:
    for find in (somewhere_here, partial(somewhere_remembered, now=6000.0)):
        assert store.read_now(partial(find, share=share)) is not None
    await committed(store)
    place = store.read_now(partial(somewhere_here, share=share))
    found, _ = store.read_now(partial(committed_here, destination=1, after=place, limit=100))
    assert len(found) == sum(number > round(1 + share * (COUNT - 1)) - 1 for number in found)
    await store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5000.0))
    place = store.read_now(partial(somewhere_remembered, share=share, now=6000.0))
    before, _ = store.read_now(partial(committed_before_eviction, destination=1, after=place, limit=100))
    assert (share > 0) == (before == {})


async def test_what_is_spared_stays_and_the_next_go_instead(store: Store) -> None:
    numbers = await committed(store)
    spared = {numbers[0], numbers[2]}
    going = store.read_now(partial(next_to_go, committed_before=9e9, least_bytes=0, spared=spared))
    assert [each.number for each in going] == [number for number in numbers if number not in spared]
    need = store.read_now(partial(next_to_go, committed_before=0.0, least_bytes=4, spared=spared))
    assert [each.number for each in need] == [numbers[1], numbers[3]]


async def test_what_was_taken_back_meanwhile_is_not_evicted(store: Store) -> None:
    numbers = await committed(store)
    going = store.read_now(partial(next_to_go, committed_before=9e9, least_bytes=0))
    held = Delivery(state=DeliveryState.HELD, since=200.0)
    back = partial(move, number=numbers[0], destination=1, expected=(DeliveryState.COMMITTED,), to=held)
    assert await store.write(back)
    evicted = await store.write(partial(evict, going=going, now=5000.0))
    assert set(evicted) == set(numbers[1:])
    assert await store.write(partial(evict, going=going, now=5000.0)) == {}
