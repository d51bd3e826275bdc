"""Deliveries: compare-and-set moves keep queue, counters, standing, eviction order and events together."""

from functools import partial
from pathlib import Path

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.dicomweb.event_report import EventKind
from edged.store.counters import standing
from edged.store.events import read_events
from edged.store.queue import destination_id, figures, move
from edged.store.records import Delivery, DeliveryState, Standing
from edged.store.schema import EVICTABLE
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.store.waiting import waiting
from tests.support.store_kit import CAPACITY, problems, put

UNSENT = (DeliveryState.HELD,)


async def advance(store: Store, number: int, state: DeliveryState, destination: int = 1) -> bool:
    delivery = Delivery(state=state, since=2000.0)
    return await store.write(
        partial(move, number=number, destination=destination, expected=tuple(DeliveryState), to=delivery)
    )


async def test_an_instance_moves_forward_with_its_events(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    assert await advance(store, number, DeliveryState.SENT)
    assert store.read_now(lambda txn: txn.counter(standing(Standing.SENT))) == 1
    assert await advance(store, number, DeliveryState.COMMITTED)
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 1
    events = store.read_now(lambda txn: read_events(txn, 0, 10))
    assert [event.kind for _, event in events] == [EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED]
    assert {event.destination for _, event in events[1:]} == {"archive"}


async def test_a_stale_verdict_is_dropped(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    await advance(store, number, DeliveryState.COMMITTED)
    parked = Delivery(state=DeliveryState.PARKED, since=3000.0)
    assert not await store.write(partial(move, number=number, destination=1, expected=UNSENT, to=parked))
    delivery = store.read_now(lambda txn: read_delivery(txn, number, 1))
    assert delivery is not None
    assert delivery.state is DeliveryState.COMMITTED


async def test_the_least_advanced_required_destination_decides(store: Store) -> None:
    second = await store.write(lambda txn: destination_id(txn, "second"))
    number = (await put(store, b"abc", "1.1", destinations=(1, second), required=(1, second))).number
    await advance(store, number, DeliveryState.COMMITTED)
    assert store.read_now(lambda txn: txn.counter(standing(Standing.HELD))) == 1
    await advance(store, number, DeliveryState.PARKED, second)
    assert store.read_now(lambda txn: txn.counter(standing(Standing.PARKED))) == 1
    await advance(store, number, DeliveryState.COMMITTED, second)
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 1


async def test_without_a_required_destination_nothing_is_ever_evictable(store: Store) -> None:
    number = (await put(store, b"abc", "1.1", required=())).number
    await advance(store, number, DeliveryState.COMMITTED)
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 0
    assert store.read_now(lambda txn: txn.counter(standing(Standing.HELD))) == 1


async def test_a_queue_gives_the_oldest_that_nobody_has_leased(store: Store) -> None:
    numbers = [(await put(store, b"abc", f"1.{index}")).number for index in range(5)]
    found = store.read_now(lambda txn: waiting(txn, 1, DeliveryState.HELD, leased={numbers[0], numbers[2]}, limit=2))
    assert [each.number for each in found] == [numbers[1], numbers[3]]
    counted = store.read_now(lambda txn: figures(txn, 1, DeliveryState.HELD))
    assert (counted.rows, counted.bytes, counted.oldest) == (5, 15, 1000.0)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 2), st.sampled_from(DeliveryState)), max_size=30))
def test_any_sequence_of_moves_leaves_the_store_whole(
    tmp_path_factory: "object", moves: list[tuple[int, int, DeliveryState]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("box")  # type: ignore[attr-defined]

    async def run() -> None:
        async with open_store(folder, CAPACITY, inline=True) as store:
            for name in ("archive", "second"):
                await store.write(partial(destination_id, name=name))
            for index in range(4):
                await put(store, b"abc", f"1.{index}", destinations=(1, 2), required=(1,) if index else (1, 2))
            for number, destination, state in moves:
                assert await advance(store, number, state, destination)
            assert problems(store) == []

    trio.run(run)
