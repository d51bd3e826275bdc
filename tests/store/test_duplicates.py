"""Another data set under a UID: refused, held aside as a conflict, or put in the place of what was sent nowhere."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from edged.config.choices import Duplicate
from edged.dicomweb.event_report import EventKind
from edged.store.admission import Admitted, Outcome
from edged.store.counters import standing
from edged.store.events import read_events
from edged.store.eviction import evict_oldest
from edged.store.instances import find_instance, instances_of
from edged.store.queue import destination_id, move, read_instance
from edged.store.records import Check, Delivery, DeliveryState, Standing
from edged.store.schema import CHUNK_BYTES, CHUNKS, DELIVERIES, INSTANCES, UNOWNED, delivery_key, u64_key
from edged.store.standings import NOT_SENT, read_delivery
from edged.store.store import Store, open_store
from edged.store.waiting import waiting
from tests.support.store_kit import CAPACITY, problems, put, stored_bytes

HELD, SENT, COMMITTED = DeliveryState.HELD, DeliveryState.SENT, DeliveryState.COMMITTED
KEEP_BOTH, REPLACE = Duplicate.KEEP_BOTH, Duplicate.REPLACE


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        await opened.write(lambda txn: destination_id(txn, "archive"))
        yield opened
        assert problems(opened) == []


async def moved(store: Store, number: int, state: DeliveryState) -> None:
    to = Delivery(state=state, since=2000.0, proof="dicomweb")
    assert await store.write(partial(move, number=number, destination=1, expected=tuple(DeliveryState), to=to))


def addressed(store: Store, uid: str) -> int | None:
    found = store.read_now(partial(find_instance, sop_instance_uid=uid))
    return found and found[0]


def count(store: Store, value: Standing) -> int:
    return store.read_now(lambda txn: txn.counter(standing(value)))


def told(store: Store) -> list[tuple[EventKind, int, str]]:
    events = store.read_now(lambda txn: read_events(txn, 0, 100))
    return [(event.kind, event.instance, event.text) for _, event in events]


async def test_both_are_kept(store: Store) -> None:
    first = await put(store, b"abc", "1.1")
    second = await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH)
    assert second == Admitted(Outcome.CONFLICT, second.number, addressed=False)
    assert addressed(store, "1.1") == first.number
    assert await stored_bytes(store, second.number, 3) == b"xyz"
    assert (count(store, Standing.HELD), count(store, Standing.CONFLICT)) == (1, 1)
    assert told(store)[-1] == (EventKind.CONFLICT, second.number, f"held beside number {first.number}")


async def test_a_conflict_goes_nowhere_and_is_in_no_study(store: Store) -> None:
    first = await put(store, b"abc", "1.1")
    await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH, study_instance_uid="1.9")
    assert [row.number for row in store.read_now(lambda txn: waiting(txn, 1, HELD))] == [first.number]
    assert store.read_now(lambda txn: txn.count(DELIVERIES)) == 1
    assert store.read_now(lambda txn: list(instances_of(txn, "1.2.3"))) == [first.number]
    assert store.read_now(lambda txn: list(instances_of(txn, "1.9"))) == []


@pytest.mark.parametrize("duplicate", Duplicate)
async def test_what_is_held_in_conflict_is_a_success_without_a_third_copy(store: Store, duplicate: Duplicate) -> None:
    await put(store, b"abc", "1.1")
    second = await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH)
    again = await put(store, b"xyz", "1.1", duplicate=duplicate)
    assert again == Admitted(Outcome.SAME, second.number, addressed=False)
    assert store.read_now(lambda txn: txn.count(CHUNKS)) == 2


async def test_a_conflict_stays_when_the_first_is_evicted(store: Store) -> None:
    first = await put(store, b"abc", "1.1")
    second = await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH)
    await moved(store, first.number, COMMITTED)
    evict = partial(evict_oldest, committed_before=9e9, least_bytes=1 << 40, now=5000.0)
    assert list(await store.write(evict)) == [first.number]
    assert addressed(store, "1.1") is None
    assert await stored_bytes(store, second.number, 3) == b"xyz"
    assert (await put(store, b"abc", "1.1")).outcome is Outcome.STORED


@pytest.mark.parametrize("state", sorted(NOT_SENT))
async def test_what_was_sent_nowhere_is_replaced(store: Store, state: DeliveryState) -> None:
    first = await put(store, b"abc", "1.1")
    await moved(store, first.number, state)
    second = await put(store, b"xyz", "1.1", duplicate=REPLACE)
    assert second == Admitted(Outcome.REPLACED, second.number)
    assert addressed(store, "1.1") == second.number
    assert [row.number for row in store.read_now(lambda txn: waiting(txn, 1, HELD))] == [second.number]
    assert store.read_now(lambda txn: read_delivery(txn, first.number, 1)) is None
    delivery = store.read_now(lambda txn: read_delivery(txn, second.number, 1))
    assert delivery is not None
    assert delivery.check is Check.DIGEST  # the first may be on its way: an answer alone proves nothing of this one
    assert told(store)[-2:] == [
        (EventKind.RECEIVED, second.number, "test"),
        (EventKind.CONFLICT, second.number, f"replaces number {first.number}"),
    ]
    assert problems(store) == []


async def test_the_chunks_of_the_replaced_one_are_left_to_who_reads_them_and_then_swept(store: Store) -> None:
    first = await put(store, bytes(3 * CHUNK_BYTES), "1.1")
    with store.pinned(first.number):
        await put(store, b"xyz", "1.1", duplicate=REPLACE)
        assert await store._sweep_once() is False
        assert await stored_bytes(store, first.number, 3 * CHUNK_BYTES) == bytes(3 * CHUNK_BYTES)
    assert await store._sweep_once() is True
    assert store.read_now(lambda txn: (txn.count(CHUNKS), txn.count(UNOWNED))) == (1, 0)


@pytest.mark.parametrize("state", [SENT, COMMITTED])
async def test_what_was_sent_somewhere_is_not_replaced(store: Store, state: DeliveryState) -> None:
    first = await put(store, b"abc", "1.1")
    await moved(store, first.number, state)
    assert (await put(store, b"xyz", "1.1", duplicate=REPLACE)).outcome is Outcome.CONFLICT
    assert addressed(store, "1.1") == first.number
    assert await stored_bytes(store, first.number, 3) == b"abc"


async def test_a_stale_verdict_on_the_replaced_one_changes_nothing(store: Store) -> None:
    first = await put(store, b"abc", "1.1")
    await put(store, b"xyz", "1.1", duplicate=REPLACE)
    to = Delivery(state=SENT, since=2000.0)
    assert not await store.write(partial(move, number=first.number, destination=1, expected=(HELD,), to=to))


async def test_a_store_with_conflicts_is_opened_again(tmp_path: Path) -> None:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        await put(store, b"abc", "1.1")
        await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH)
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        assert count(store, Standing.CONFLICT) == 1


async def test_damage_around_a_conflict_is_found(tmp_path: Path) -> None:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        await put(store, b"abc", "1.1")
        conflict = (await put(store, b"xyz", "1.1", duplicate=KEEP_BOTH)).number
        record = store.read_now(lambda txn: read_instance(txn, conflict))
        assert record is not None
        freed = structs.replace(record, conflict=False)
        await store.write(lambda txn: txn.put_record(INSTANCES, u64_key(conflict), freed))
        assert "2 instances are addressed by 1.1" in problems(store)
        await store.write(lambda txn: txn.put_record(INSTANCES, u64_key(conflict), record))
        assert problems(store) == []
        queued = Delivery(state=HELD, since=1.0)
        await store.write(lambda txn: txn.put_record(DELIVERIES, delivery_key(conflict, 1), queued))
        assert problems(store) != []


@dataclass
class Model:
    """What must be true of the UIDs: the data set that each addresses, and all that are held under it."""

    addressed: dict[str, bytes] = field(default_factory=dict)
    held: dict[str, set[bytes]] = field(default_factory=dict)
    numbers: dict[int, str] = field(default_factory=dict)

    def admitted(self, step: "HandIn", *, sent: bool) -> Outcome:
        """What an admission must come to; `sent` says that the addressed one was sent somewhere."""
        held, present = self.held.setdefault(step.uid, set()), self.addressed.get(step.uid)
        if step.data in held:
            return Outcome.SAME
        if present is not None and step.duplicate is Duplicate.REFUSE:
            return Outcome.DIFFERENT
        held.add(step.data)
        if present is not None and (step.duplicate is KEEP_BOTH or sent):
            return Outcome.CONFLICT
        self.addressed[step.uid] = step.data
        held.discard(present or b"")
        return Outcome.STORED if present is None else Outcome.REPLACED

    def evicted(self, number: int) -> None:
        uid = self.numbers[number]
        self.held[uid].discard(self.addressed.pop(uid))


@dataclass(frozen=True)
class HandIn:
    uid: str
    data: bytes
    duplicate: Duplicate


@dataclass(frozen=True)
class Move:
    number: int
    destination: int
    state: DeliveryState


@dataclass(frozen=True)
class Evict:
    pass


Step = HandIn | Move | Evict
HAND_IN = st.builds(
    HandIn, st.sampled_from(["1.1", "1.2"]), st.sampled_from([b"a", b"b", b"c"]), st.sampled_from(Duplicate)
)
MOVE = st.builds(Move, st.integers(1, 8), st.integers(1, 2), st.sampled_from(DeliveryState))


class Run:
    """A store beside its model."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.model = Model()

    async def step(self, step: Step) -> None:
        match step:
            case HandIn():
                await self.hand_in(step)
            case Move():
                to = Delivery(state=step.state, since=2000.0)
                expected = tuple(DeliveryState)
                moves = partial(move, number=step.number, destination=step.destination, expected=expected, to=to)
                await self.store.write(moves)
            case Evict():
                await self.evict()
        self.require_agreement()

    async def hand_in(self, step: HandIn) -> None:
        first = addressed(self.store, step.uid) or 0
        deliveries = [self.store.read_now(partial(read_delivery, number=first, destination=each)) for each in (1, 2)]
        sent = any(delivery is not None and delivery.state not in NOT_SENT for delivery in deliveries)
        expected = self.model.admitted(step, sent=sent)
        got = await put(self.store, step.data, step.uid, duplicate=step.duplicate, destinations=(1, 2), required=(1,))
        assert got.outcome is expected
        self.model.numbers[got.number] = step.uid

    async def evict(self) -> None:
        evict = partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5000.0)
        for number in await self.store.write(evict):
            self.model.evicted(number)

    def require_agreement(self) -> None:
        assert problems(self.store) == []
        for uid in ("1.1", "1.2"):
            found = self.store.read_now(partial(find_instance, sop_instance_uid=uid))
            data = self.model.addressed.get(uid)
            assert (found and found[1].dataset_digest) == (data and sha256(data).digest())
        conflicts = sum(len(held) for held in self.model.held.values()) - len(self.model.addressed)
        assert count(self.store, Standing.CONFLICT) == conflicts


@settings(max_examples=25)
@given(st.lists(st.one_of(HAND_IN, HAND_IN, MOVE, st.builds(Evict)), min_size=1, max_size=30))
def test_any_sequence_keeps_the_addressed_one_and_the_store_whole(steps: list[Step]) -> None:
    folder = Path(mkdtemp())

    async def run() -> None:
        async with open_store(folder, CAPACITY, inline=True) as store:
            for name in ("archive", "second"):
                await store.write(partial(destination_id, name=name))
            beside = Run(store)
            for step in steps:
                await beside.step(step)

    try:
        trio.run(run)
    finally:
        shutil.rmtree(folder)
