"""What is taken next from a queue: oldest first, studies in turn, urgent first, and nothing hidden by a long study.

The queue's rows are written as they are, without instances: nothing else is looked at.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.store import waiting as module
from edged.store.records import DeliveryState, Queued, pack
from edged.store.schema import QUEUE, queue_key
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from edged.store.waiting import HEAD_ROWS, SCAN_ROWS, Round, Turn, waiting_in_turn
from tests.support.store_kit import CAPACITY

Row = tuple[int, str, int]
"""Instance number, study, urgency."""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as opened:
        yield opened


def _write(txn: Transaction, rows: Sequence[Row]) -> None:
    for number, study, urgency in rows:
        key = queue_key(1, DeliveryState.HELD, urgency, number)
        txn.put(QUEUE, key, pack(Queued(study=study, size=1, since=0.0)))


def _remove(txn: Transaction, rows: Sequence[Row]) -> None:
    for number, _, urgency in rows:
        txn.delete(QUEUE, queue_key(1, DeliveryState.HELD, urgency, number))


async def taken(
    store: Store,
    rows: Sequence[Row],
    *,
    most: int = 64,
    rounds: int | None = None,
    leased: frozenset[int] = frozenset(),
) -> list[list[Row]]:
    """Take from a queue of these rows what is due, sent at once, until it is empty or so many times; then empty it."""
    await store.write(partial(_write, rows=rows))
    turn, left = Turn(), set(rows)
    batches: list[list[Row]] = []
    while rounds is None or len(batches) < rounds:
        look = partial(waiting_in_turn, destination=1, leased=leased, turn=turn, most=most)
        found, turn = store.read_now(look)
        if not found:
            break
        batch = [(each.number, each.study, 0 if each.urgent else 1) for each in found]
        await store.write(partial(_remove, rows=batch))
        batches.append(batch)
        assert left.issuperset(batch)
        left.difference_update(batch)
    await store.write(partial(_remove, rows=list(left)))
    return batches


def long(count: int, study: str = "A", begin: int = 1) -> list[Row]:
    return [(number, study, 1) for number in range(begin, begin + count)]


def studies(batches: list[list[Row]]) -> list[str]:
    assert all(len({study for _, study, _ in batch}) == 1 for batch in batches)
    return [batch[0][1] for batch in batches]


async def test_two_studies_go_in_turn_and_the_oldest_of_each_first(store: Store) -> None:
    batches = await taken(store, [*long(4), *long(4, "B", 5)], most=2)
    assert studies(batches) == ["A", "B", "A", "B"]
    assert [number for batch in batches for number, _, _ in batch] == [1, 2, 5, 6, 3, 4, 7, 8]


async def test_however_many_studies_all_go_in_turn(store: Store) -> None:
    """Longer than a look each, one behind the other: the third is served as often as the first."""
    length = 3 * HEAD_ROWS
    rows = [row for index, study in enumerate("ABCD") for row in long(length, study, 1 + index * length)]
    order = "".join(studies(await taken(store, rows, most=100, rounds=40)))
    assert all(set(order[at : at + 4]) == set("ABCD") for at in range(20, 37)), order
    short = [*long(9), *long(9, "B", 10), *long(9, "C", 19)]
    assert "".join(studies(await taken(store, short, most=3))) == "ABC" * 3


async def test_what_came_back_of_a_study_goes_before_the_rest_of_it(store: Store) -> None:
    rows = [*long(6), *long(6, "B", 7)]
    await store.write(partial(_write, rows=rows))
    turn, took = Turn(), list[int]()
    for leased in (set[int](), {1, 2}, {7, 8}):
        look = partial(waiting_in_turn, destination=1, leased=leased, turn=turn, most=2)
        found, turn = store.read_now(look)
        took += [row.number for row in found]
    assert took == [1, 2, 7, 8, 1, 2]


async def test_one_study_goes_alone_when_no_other_waits(store: Store) -> None:
    batches = await taken(store, long(5), most=2)
    assert [len(batch) for batch in batches] == [2, 2, 1]


async def test_a_study_of_three_thousand_hides_no_other(store: Store) -> None:
    batches = await taken(store, [*long(3000), *long(128, "B", 3001)], rounds=8)
    assert Counter(studies(batches)) == {"A": 6, "B": 2}
    assert studies(batches)[-1] == "A"


async def test_behind_whatever_length_the_other_comes_to_light_by_bounded_looks(store: Store) -> None:
    """Each look goes on where the last one stopped, and once found the other one is not searched again."""
    length = 5 * SCAN_ROWS
    batches = await taken(store, [*long(length), *long(40, "B", length + 1)], most=10, rounds=24)
    first = studies(batches).index("B")
    assert first <= length // (SCAN_ROWS // 2) + 1
    assert studies(batches)[first : first + 8] == ["B", "A"] * 4


async def test_what_comes_back_before_the_place_where_a_look_stopped_is_found_too(store: Store) -> None:
    """Its number is old: it was sent, and is to be sent again."""
    rows = [*long(2 * HEAD_ROWS), (2 * HEAD_ROWS + 1, "B", 1), *long(2 * HEAD_ROWS, begin=2 * HEAD_ROWS + 2)]
    turn = Turn().after(1, Round((("A", 1),), beyond=3 * HEAD_ROWS))
    await store.write(partial(_write, rows=rows))
    met = []
    for _ in range(8):
        found, turn = store.read_now(partial(waiting_in_turn, destination=1, leased=(), turn=turn, most=4))
        met.append(found[0].study)
    assert "B" in met


async def test_urgent_ones_go_first_and_among_themselves(store: Store) -> None:
    urgent = [(10, "A", 0), (11, "A", 0), (12, "C", 0)]
    batches = await taken(store, [*long(4), *long(4, "B", 5), *urgent], most=2)
    assert batches[:2] == [[(10, "A", 0), (11, "A", 0)], [(12, "C", 0)]]
    assert all(urgency == 1 for batch in batches[2:] for _, _, urgency in batch)


async def test_what_is_leased_is_passed_by(store: Store) -> None:
    batches = await taken(store, long(4), leased=frozenset({1, 3}))
    assert batches == [[(2, "A", 1), (4, "A", 1)]]


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from([1, 1, 0]), st.integers(1, 9)), max_size=9),
    st.integers(1, 5),
)
def test_everything_is_taken_once_the_urgent_first(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[str, int, int]], most: int
) -> None:
    """With looks so short that most of the queue lies behind them."""
    rows: list[Row] = []
    for study, urgency, count in runs:
        rows += [(len(rows) + 1 + index, study, urgency) for index in range(count)]
    folder = tmp_path_factory.mktemp("box")

    async def run() -> list[list[Row]]:
        async with open_store(folder, CAPACITY, inline=True) as store:
            return await taken(store, rows, most=most)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "HEAD_ROWS", 5)
        patched.setattr(module, "BEHIND_ROWS", 3)
        batches = trio.run(run)
    flat = [row for batch in batches for row in batch]
    assert sorted(flat) == sorted(rows)
    assert all(len({row[1:] for row in batch}) == 1 and len(batch) <= most for batch in batches)
    assert [urgency for _, _, urgency in flat] == sorted(urgency for _, _, urgency in flat)
