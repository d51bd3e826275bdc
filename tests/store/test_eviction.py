"""Eviction: only what is committed, oldest first, whole; what was evicted is remembered and never replaces storing."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edged.dicomweb.event_report import EventKind
from edged.store.admission import Outcome
from edged.store.commit_memory import recall
from edged.store.counters import queue_rows, standing
from edged.store.events import read_events
from edged.store.eviction import evict_oldest, forget_oldest
from edged.store.instances import find_instance
from edged.store.queue import destination_id, move
from edged.store.records import Check, Delivery, DeliveryState, Standing
from edged.store.schema import CHUNK_BYTES, CHUNKS, REMEMBERED, STUDIES, UNOWNED
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.store.waiting import waiting
from tests.support.store_kit import CAPACITY, problems, put

HELD, COMMITTED = DeliveryState.HELD, DeliveryState.COMMITTED
ANY = (DeliveryState.HELD, DeliveryState.SENT)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        yield opened
        assert problems(opened) == []


async def commit(store: Store, number: int, *, at: float) -> None:
    done = Delivery(state=COMMITTED, since=at, proof="dicomweb")
    await store.write(lambda txn: move(txn, number, 1, expected=ANY, to=done))


async def evict(store: Store, *, before: float = 0.0, least: int = 0) -> list[int]:
    return list(
        await store.write(lambda txn: evict_oldest(txn, committed_before=before, least_bytes=least, now=5000.0))
    )


async def test_only_what_is_committed_goes_oldest_commitment_first(store: Store) -> None:
    numbers = [(await put(store, b"abc", f"1.{index}")).number for index in range(4)]
    await commit(store, numbers[2], at=2000.0)
    await commit(store, numbers[0], at=3000.0)
    assert await evict(store, before=2500.0) == [numbers[2]]
    assert await evict(store, before=2500.0) == []
    assert await evict(store, least=1) == [numbers[0]]
    assert await evict(store, before=9e9, least=1 << 40) == []
    assert store.read_now(lambda txn: txn.counter(standing(Standing.HELD))) == 2
    assert store.read_now(lambda txn: txn.counter(queue_rows(1, COMMITTED))) == 2
    kinds = [event.kind for _, event in store.read_now(lambda txn: read_events(txn, 0, 100))]
    assert kinds.count(EventKind.EVICTED) == 2


async def test_nothing_of_an_evicted_instance_is_left(store: Store) -> None:
    await commit(store, (await put(store, bytes(3 * CHUNK_BYTES), "1.1")).number, at=1.0)
    await evict(store, before=9e9)
    assert store.read_now(lambda txn: find_instance(txn, "1.1")) is None
    tables = (CHUNKS, UNOWNED, STUDIES)
    assert store.read_now(lambda txn: [txn.count(table) for table in tables]) == [0, 0, 0]


async def test_a_large_one_goes_in_bounded_transactions(store: Store) -> None:
    await commit(store, (await put(store, bytes(40 << 20), "1.1")).number, at=1.0)
    await evict(store, before=9e9)
    assert store.read_now(lambda txn: txn.count(UNOWNED)) == 1
    assert store.read_now(lambda txn: txn.count(CHUNKS)) > 0


async def test_an_optional_destination_does_not_hold_an_instance(store: Store) -> None:
    second = await store.write(lambda txn: destination_id(txn, "second"))
    number = (await put(store, b"abc", "1.1", destinations=(1, second))).number
    await commit(store, number, at=1.0)
    assert await evict(store, before=9e9) == [number]
    assert store.read_now(lambda txn: waiting(txn, second, HELD)) == []


@pytest.mark.parametrize("state", [DeliveryState.PARKED, DeliveryState.ON_HOLD])
@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_parked_or_on_hold_anywhere_stays(store: Store, state: DeliveryState, is_first: bool) -> None:
    """At an optional destination too, whichever came first, and until a person decides (DESIGN §1.4, §6)."""
    second = await store.write(lambda txn: destination_id(txn, "second"))
    number = (await put(store, b"abc", "1.1", destinations=(1, second))).number
    kept, held = Delivery(state=state, since=1.0), Delivery(state=HELD, since=2.0)
    if is_first:
        await store.write(lambda txn: move(txn, number, second, expected=ANY, to=kept))
    await commit(store, number, at=1.0)
    if not is_first:
        await store.write(lambda txn: move(txn, number, second, expected=ANY, to=kept))
    assert problems(store) == []
    assert await evict(store, before=9e9, least=1 << 40) == []
    await store.write(lambda txn: move(txn, number, second, expected=(state,), to=held))
    assert await evict(store, before=9e9) == [number]


async def test_who_had_committed_is_remembered_in_the_transaction_that_evicts(store: Store) -> None:
    second = await store.write(lambda txn: destination_id(txn, "second"))
    third = await store.write(lambda txn: destination_id(txn, "third"))
    places = (1, second, third)
    number = (await put(store, b"abc", "1.1", destinations=places, required=(1, second))).number
    for destination, proof in zip(places, ("dicomweb", "search", "stored"), strict=True):
        done = Delivery(state=COMMITTED, since=10.0 * destination, proof=proof)
        await store.write(lambda txn: move(txn, number, destination, expected=ANY, to=done))  # noqa: B023
    assert store.read_now(lambda txn: recall(txn, "1.1")) is None
    await evict(store, before=9e9)
    known = store.read_now(lambda txn: recall(txn, "1.1"))
    assert known is not None
    assert (known.number, known.study_instance_uid, known.evicted) == (number, "1.2.3", 5000.0)
    assert (known.proofs, known.committed) == ({1: "dicomweb", second: "search"}, 10.0 * second)


async def test_of_a_uid_the_newest_commitment_is_remembered(store: Store) -> None:
    for data in (b"abc", b"xyz"):
        await commit(store, (await put(store, data, "1.1")).number, at=1.0)
        await evict(store, before=9e9)
    known = store.read_now(lambda txn: recall(txn, "1.1"))
    assert known is not None
    assert known.number == 2


async def test_the_same_again_after_eviction_is_stored_and_asks_first(store: Store) -> None:
    await commit(store, (await put(store, b"abc", "1.1")).number, at=1.0)
    await evict(store, before=9e9)
    again = await put(store, b"abc", "1.1")
    assert again.outcome is Outcome.STORED
    other = await put(store, b"xyz", "1.2")
    rows = store.read_now(lambda txn: waiting(txn, 1, HELD))
    assert {row.number: row.ask_first for row in rows} == {again.number: True, other.number: False}


async def test_another_data_set_after_eviction_is_new(store: Store) -> None:
    await commit(store, (await put(store, b"abc", "1.1")).number, at=1.0)
    await evict(store, before=9e9)
    assert (await put(store, b"xyz", "1.1")).outcome is Outcome.STORED
    assert [row.ask_first for row in store.read_now(lambda txn: waiting(txn, 1, HELD))] == [False]


@pytest.mark.parametrize("forgotten", [False, True])
async def test_another_data_set_under_a_uid_that_was_committed_is_compared_before_it_counts(
    store: Store, forgotten: bool
) -> None:
    """The archive has the first, and may say "stored" and keep that; known from the long memory as well."""
    await commit(store, (await put(store, b"abc", "1.1")).number, at=1.0)
    await evict(store, before=9e9)
    if forgotten:
        await store.write(lambda txn: forget_oldest(txn, keep=0))
    other = (await put(store, b"xyz", "1.1")).number
    unknown = (await put(store, b"xyz", "1.2")).number
    deliveries = [store.read_now(lambda txn, each=each: read_delivery(txn, each, 1)) for each in (other, unknown)]  # type: ignore[misc]
    assert [delivery and delivery.check for delivery in deliveries] == [Check.DIGEST, Check.ANSWER]


async def test_the_oldest_digests_are_forgotten(store: Store) -> None:
    for index in range(5):
        await commit(store, (await put(store, b"abc", f"1.{index}")).number, at=float(index))
    await evict(store, before=9e9)
    assert await store.write(lambda txn: forget_oldest(txn, keep=2)) == 3
    assert store.read_now(lambda txn: txn.count(REMEMBERED)) == 2
