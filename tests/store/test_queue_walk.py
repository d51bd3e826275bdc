"""Walking the queues page by page: everything once, whatever the size of a page and whatever is done on the way."""

from functools import partial

import pytest

from edged.store.queue_admin import USUAL, Action
from edged.store.queue_walk import NOWHERE, CursorError, EntryState, Place, Selection, read_entries, sums, walk
from edged.store.store import Store
from tests.support.queue_kit import ARCHIVE, SECOND, WAYS, bring, conflict_with, decided, decision, entry_in, found
from tests.support.store_kit import problems

PENDING = EntryState.PENDING


async def one_of_each(store: Store) -> dict[EntryState, Place]:
    """An instance in each state at the archive, pending at the second destination; and a conflict with the first."""
    entries = {state: await entry_in(store, state, f"1.{index}") for index, state in enumerate(WAYS)}
    return {**entries, EntryState.CONFLICT: await conflict_with(store, "1.0")}


@pytest.mark.parametrize("limit", [1, 2, 7, 500])
async def test_every_entry_comes_once(store: Store, limit: int) -> None:
    entries = await one_of_each(store)
    places = found(store, Selection(), limit=limit)
    assert len(places) == len(set(places)) == 2 * len(WAYS) + 1
    assert set(entries.values()) <= set(places)


@pytest.mark.parametrize("limit", [1, 500])
@pytest.mark.parametrize("state", EntryState)
async def test_by_state_and_destination(store: Store, state: EntryState, limit: int) -> None:
    entries = await one_of_each(store)
    selection = Selection(destinations=(ARCHIVE,), states=frozenset({state}))
    assert found(store, selection, limit=limit) == [entries[state]]


@pytest.mark.parametrize("limit", [1, 500])
async def test_by_study(store: Store, limit: int) -> None:
    entries = await one_of_each(store)
    places = found(store, Selection(study="1.2.3", states=frozenset({EntryState.STUCK, PENDING})), limit=limit)
    assert entries[EntryState.STUCK] in places
    assert len(places) == 1 + 1 + len(WAYS)
    assert found(store, Selection(study="9.9")) == []
    assert found(store, Selection(study="1.2.3", states=frozenset({EntryState.CONFLICT}))) == [
        entries[EntryState.CONFLICT]
    ]


async def test_by_uid_and_conflict_id(store: Store) -> None:
    entries = await one_of_each(store)
    conflict = entries[EntryState.CONFLICT]
    selection = Selection(uids=("1.2", "9.9", f"conflict-{conflict.number}", "conflict-1"), states=frozenset({PENDING}))
    page = store.read_now(partial(walk, selection=selection))
    assert page.places == (Place(entries[EntryState.STUCK].number, SECOND, PENDING), conflict)
    assert page.unknown == ("9.9", "conflict-1")


async def test_what_came_later_is_not_meant(store: Store) -> None:
    first = await entry_in(store, PENDING, "1.0")
    await entry_in(store, PENDING, "1.1")
    places = found(store, Selection(last=first.number))
    assert {place.number for place in places} == {first.number}


@pytest.mark.parametrize("action", [each for each in Action if each is not Action.MOVE])
async def test_a_walk_never_meets_what_it_has_moved(store: Store, action: Action) -> None:
    for index, state in enumerate(list(WAYS) * 3):
        await entry_in(store, state, f"1.{index}")
    selection = Selection(destinations=(ARCHIVE,), states=USUAL[action])
    expected, after, seen = found(store, selection), "", list[Place]()
    while True:
        page = store.read_now(partial(walk, selection=selection, after=after, limit=2))
        for place in page.places:
            assert (await decided(store, place, decision(action))).done
        seen += page.places
        if not (after := page.after):
            break
    assert seen == expected
    assert problems(store) == []


@pytest.mark.parametrize("after", ["x", "q", "qzz", "q0", "s1", "u", "c-1", "c" + "9" * 40])
async def test_a_cursor_of_no_page_is_said_to_be_none(store: Store, after: str) -> None:
    with pytest.raises(CursorError):
        store.read_now(partial(walk, selection=Selection(), after=after))


async def test_the_sums_are_those_of_the_walk(store: Store) -> None:
    await one_of_each(store)
    total = store.read_now(partial(sums, selection=Selection()))
    assert total is not None
    assert total.rows.total() == len(found(store, Selection()))
    assert total.rows[NOWHERE, EntryState.CONFLICT] == 1
    assert store.read_now(partial(sums, selection=Selection(study="1.2.3"))) is None


async def test_what_is_gone_meanwhile_is_left_out(store: Store) -> None:
    place = await entry_in(store, EntryState.PARKED)
    assert len(store.read_now(partial(read_entries, places=(place,)))) == 1
    await bring(store, place.number)
    await decided(store, place, decision(Action.DISCARD))
    assert store.read_now(partial(read_entries, places=(place,))) == []
