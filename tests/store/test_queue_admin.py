"""What a person may decide about an entry, by every action and state; the store is whole after each."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.config.choices import Duplicate
from edged.dicomweb.event_report import EventKind
from edged.store.chunks import has_chunk
from edged.store.counters import standing
from edged.store.events import read_events
from edged.store.history import history_of
from edged.store.instances import find_instance
from edged.store.queue import destination_id, move, read_instance
from edged.store.queue_admin import STARTS, Action
from edged.store.queue_walk import NOWHERE, EntryState, Place, Selection
from edged.store.records import Check, Delivery, DeliveryState, Happened, Standing
from edged.store.schema import EVICTABLE, UNOWNED
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.store.sweeper import sweep
from tests.support.queue_kit import ARCHIVE, SECOND, bring, decided, decision, entry_in, found
from tests.support.store_kit import CAPACITY, problems, put

BECOMES = {
    Action.RETRY: DeliveryState.HELD,
    Action.HOLD: DeliveryState.ON_HOLD,
    Action.RELEASE: DeliveryState.HELD,
    Action.DISCARD: None,
    Action.MOVE: None,
}
TOLD = {
    Action.RETRY: Happened.HELD,
    Action.HOLD: Happened.ON_HOLD,
    Action.RELEASE: Happened.HELD,
    Action.DISCARD: Happened.DISCARDED,
    Action.MOVE: Happened.MOVED,
}


def delivery_of(store: Store, number: int, destination: int = ARCHIVE) -> Delivery | None:
    return store.read_now(partial(read_delivery, number=number, destination=destination))


def told(store: Store, uid: str = "1.1") -> list[tuple[Happened, str]]:
    return [(entry.what, entry.text) for _, entry in store.read_now(partial(history_of, sop_instance_uid=uid))]


def events(store: Store) -> list[tuple[EventKind, str]]:
    return [(event.kind, event.text) for _, event in store.read_now(lambda txn: read_events(txn, 0, 100))]


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("state", [each for each in EntryState if each is not EntryState.CONFLICT])
async def test_every_action_on_every_state(store: Store, action: Action, state: EntryState) -> None:
    place = await entry_in(store, state)
    before, history = delivery_of(store, place.number), told(store)
    done = await decided(store, place, decision(action, target=SECOND))
    after = delivery_of(store, place.number)
    assert problems(store) == []
    assert done.done is (state in STARTS[action])
    if not done.done:
        assert after == before
        assert told(store) == history
        assert f"it is {state}" in done.text
        return
    assert (None if after is None else after.state) is BECOMES[action]
    if after == before:
        assert (action, state) == (Action.RETRY, EntryState.PENDING), "tried at once, which is in memory alone"
        return
    what, text = told(store)[-1]
    assert what is TOLD[action]
    assert "by uid 0: because" in text


async def test_what_moved_meanwhile_stays_where_it_is(store: Store) -> None:
    place = await entry_in(store, EntryState.PARKED)
    await bring(store, place.number, DeliveryState.HELD, DeliveryState.SENT, DeliveryState.COMMITTED)
    done = await decided(store, place, decision(Action.DISCARD))
    assert (done.done, done.text) == (False, "it is committed, or gone from this destination")
    assert delivery_of(store, place.number) is not None


async def test_what_is_gone_is_said_to_be(store: Store) -> None:
    done = await decided(store, Place(77, ARCHIVE, EntryState.PARKED), decision(Action.RETRY))
    assert (done.done, done.text) == (False, "it is not here any more")


async def test_a_verdict_that_comes_after_a_hold_is_dropped(store: Store) -> None:
    place = await entry_in(store, EntryState.PENDING)
    await decided(store, place, decision(Action.HOLD))
    late = Delivery(state=DeliveryState.SENT, since=2500.0)
    late_move = partial(move, number=place.number, destination=ARCHIVE, expected=(DeliveryState.HELD,), to=late)
    assert not await store.write(late_move)


async def test_a_retry_forgets_what_counted_against_it(store: Store) -> None:
    place = await entry_in(store, EntryState.PENDING)
    parked = Delivery(state=DeliveryState.PARKED, since=2000.0, resends=3, reason=0xC000, check=Check.DIGEST)
    held = (DeliveryState.HELD,)
    await store.write(partial(move, number=place.number, destination=ARCHIVE, expected=held, to=parked))
    await decided(store, place, decision(Action.RETRY))
    after = delivery_of(store, place.number)
    assert after is not None
    assert (after.resends, after.reason, after.check) == (0, None, Check.DIGEST)


async def test_a_hold_keeps_what_is_committed_elsewhere_from_being_let_go(store: Store) -> None:
    place = await entry_in(store, EntryState.PENDING)
    await bring(store, place.number, DeliveryState.COMMITTED)
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 1
    await decided(store, Place(place.number, SECOND, EntryState.PENDING), decision(Action.HOLD))
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 0
    assert problems(store) == []


async def test_what_is_left_after_a_discard_gates_eviction(store: Store) -> None:
    place = await entry_in(store, EntryState.PARKED)
    await decided(store, place, decision(Action.DISCARD))
    left = store.read_now(partial(read_instance, number=place.number))
    assert left is not None
    assert (left.destinations, left.required) == ((SECOND,), (SECOND,))
    await bring(store, place.number, DeliveryState.COMMITTED, destination=SECOND)
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 1


async def test_with_its_last_entry_an_instance_goes_and_is_still_told_of(store: Store) -> None:
    place = await entry_in(store, EntryState.SENT)
    await decided(store, Place(place.number, SECOND, EntryState.PENDING), decision(Action.DISCARD))
    await decided(store, place, decision(Action.DISCARD))
    assert store.read_now(partial(read_instance, number=place.number)) is None
    assert told(store)[-1] == (Happened.DISCARDED, "sent at archive, discarded by uid 0: because")
    assert events(store)[-1] == (EventKind.EVICTED, "sent at archive, discarded by uid 0: because")
    assert problems(store) == []
    await swept(store)
    assert not store.read_now(lambda txn: has_chunk(txn, place.number, 0))


async def test_a_move_takes_the_place_of_the_destination_that_is_gone(store: Store) -> None:
    place = await entry_in(store, EntryState.SENT)
    third = await store.write(partial(destination_id, name="third"))
    await decided(store, place, decision(Action.MOVE, target=third))
    moved = store.read_now(partial(read_instance, number=place.number))
    assert moved is not None
    assert (moved.destinations, moved.required) == ((third, SECOND), (third,))
    begun = delivery_of(store, place.number, third)
    assert begun is not None
    assert (begun.state, begun.ask_first) == (DeliveryState.HELD, True)
    assert told(store)[-1][1] == "sent at archive, moved to third by uid 0: because"


async def test_a_move_to_where_it_is_already_keeps_what_is_there(store: Store) -> None:
    place = await entry_in(store, EntryState.PARKED)
    await bring(store, place.number, DeliveryState.SENT, DeliveryState.COMMITTED, destination=SECOND)
    await decided(store, place, decision(Action.MOVE, target=SECOND))
    left = store.read_now(partial(read_instance, number=place.number))
    assert left is not None
    assert (left.destinations, left.required) == ((SECOND,), (SECOND,))
    assert store.read_now(lambda txn: txn.count(EVICTABLE)) == 1
    assert problems(store) == []


async def test_what_is_on_hold_is_so_at_the_other_destination(store: Store) -> None:
    place = await entry_in(store, EntryState.ON_HOLD)
    third = await store.write(partial(destination_id, name="third"))
    await decided(store, place, decision(Action.MOVE, target=third, gates=True))
    begun = delivery_of(store, place.number, third)
    assert begun is not None
    assert begun.state is DeliveryState.ON_HOLD


async def test_a_released_conflict_takes_the_place_of_what_was_sent_nowhere(store: Store) -> None:
    conflict = await entry_in(store, EntryState.CONFLICT)
    first = conflict.number - 1
    assert (await decided(store, conflict, decision(Action.RELEASE))).done
    addressed = store.read_now(lambda txn: find_instance(txn, "1.1"))
    assert addressed is not None
    assert addressed[0] == conflict.number
    released, aside = delivery_of(store, conflict.number), store.read_now(partial(read_instance, number=first))
    assert released is not None
    assert (released.state, released.check) == (DeliveryState.HELD, Check.DIGEST)
    assert aside is not None
    assert aside.conflict
    assert [kind for kind, _ in events(store)][-2:] == [EventKind.CONFLICT, EventKind.CONFLICT]
    assert problems(store) == []
    assert (await decided(store, Place(first, NOWHERE, EntryState.CONFLICT), decision(Action.RELEASE))).done
    assert problems(store) == []


async def test_a_conflict_is_not_released_while_the_first_is_being_proven(store: Store) -> None:
    conflict = await entry_in(store, EntryState.CONFLICT)
    first = conflict.number - 1
    await bring(store, first, DeliveryState.SENT)
    done = await decided(store, conflict, decision(Action.RELEASE))
    assert not done.done
    assert f"number {first}, was sent and is not committed yet" in done.text
    await bring(store, first, DeliveryState.COMMITTED)
    assert (await decided(store, conflict, decision(Action.RELEASE))).done
    assert store.read_now(partial(read_instance, number=first)) is None
    assert store.read_now(lambda txn: txn.counter(standing(Standing.CONFLICT))) == 0
    assert problems(store) == []


async def test_a_discarded_conflict_frees_its_bytes(store: Store) -> None:
    conflict = await entry_in(store, EntryState.CONFLICT)
    assert (await decided(store, conflict, decision(Action.DISCARD))).done
    assert problems(store) == []
    await swept(store)
    assert store.read_now(lambda txn: txn.count(UNOWNED)) == 0
    assert not store.read_now(lambda txn: has_chunk(txn, conflict.number, 0))
    assert told(store)[-1] == (Happened.DISCARDED, f"conflict-{conflict.number} discarded by uid 0: because")


@pytest.mark.parametrize("action", [Action.RETRY, Action.HOLD, Action.MOVE])
async def test_a_conflict_is_released_or_discarded_and_nothing_else(store: Store, action: Action) -> None:
    conflict = await entry_in(store, EntryState.CONFLICT)
    assert not (await decided(store, conflict, decision(action, target=SECOND))).done
    assert problems(store) == []


async def swept(store: Store) -> None:
    while await store.write(lambda txn: sweep(txn, set(), 1 << 60)):
        pass


DECISIONS = st.tuples(st.sampled_from(Action), st.integers(0, 30), st.sampled_from([ARCHIVE, SECOND]))
ARRIVALS = st.tuples(st.just("put"), st.integers(1, 3), st.sampled_from([b"a", b"b", b"c"]))
VERDICTS = st.tuples(st.just("move"), st.integers(0, 30), st.sampled_from(DeliveryState))


@settings(max_examples=40)
@given(st.lists(st.one_of(ARRIVALS, ARRIVALS, DECISIONS, VERDICTS), max_size=30))
def test_whatever_is_decided_in_whichever_order_the_store_is_whole(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[Any, int, Any]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("box")

    async def run() -> None:
        async with open_store(folder, CAPACITY, inline=True) as store:
            for name in ("archive", "second"):
                await store.write(partial(destination_id, name=name))
            for what, which, how in steps:
                await step(store, what, which, how)
                assert problems(store) == []

    trio.run(run)


async def step(store: Store, what: Any, which: int, how: Any) -> None:
    """An arrival, a verdict on one of the entries, or a decision about one."""
    if what == "put":
        destinations = (ARCHIVE, SECOND) if how != b"c" else (SECOND,)
        await put(
            store, how, f"1.{which}", destinations=destinations, required=destinations, duplicate=Duplicate.KEEP_BOTH
        )
        return
    places = found(store, Selection())
    if not places:
        return
    place = places[which % len(places)]
    if what == "move":
        if place.destination != NOWHERE:
            await bring(store, place.number, how, destination=place.destination)
        return
    target = SECOND if place.destination == ARCHIVE else ARCHIVE
    await decided(store, place, decision(what, target=target))


async def test_a_third_data_set_stays_a_conflict(store: Store) -> None:
    conflict = await entry_in(store, EntryState.CONFLICT)
    await put(store, b"third", "1.1", destinations=(ARCHIVE,), duplicate=Duplicate.KEEP_BOTH)
    await decided(store, conflict, decision(Action.RELEASE))
    assert store.read_now(lambda txn: txn.counter(standing(Standing.CONFLICT))) == 2
    assert problems(store) == []
