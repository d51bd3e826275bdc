"""What goes into one request, and with what a held destination is tried."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from edged.store.records import Instance
from edged.store.waiting import Waiting
from edged.upstream.batch import PART_BYTES, choose_batch, choose_probe, first_of_each
from edged.upstream.batch_size import BatchLimits, BatchSize
from edged.upstream.notes import Note, Notebook
from tests.support.store_kit import instance_of


def row(number: int, study: str = "A", *, size: int = 100, urgent: bool = False, ask_first: bool = False) -> Waiting:
    return Waiting(number, study, size, 0.0, ask_first, urgent)


def size(instances: int = 8, size_bytes: int = 1 << 20) -> BatchSize:
    return BatchSize.first(BatchLimits(max_instances=instances, max_bytes=size_bytes))


def chosen(*rows: Waiting, notebook: Notebook | None = None, limit: BatchSize | None = None) -> list[int]:
    return [each.number for each in choose_batch(rows, notebook or Notebook(), limit or size())]


def test_it_is_of_the_study_of_the_first() -> None:
    assert chosen(row(1), row(2, "B"), row(3)) == [1, 3]
    assert chosen() == []


def test_urgent_and_other_ones_never_share_a_request() -> None:
    assert chosen(row(5, urgent=True), row(6, urgent=True), row(1)) == [5, 6]
    assert chosen(row(1), row(5, urgent=True)) == [1]


def test_it_ends_where_it_is_full() -> None:
    assert chosen(*(row(number) for number in range(1, 6)), limit=size(3)) == [1, 2, 3]
    assert chosen(row(1), row(2), row(3), limit=size(8, 2 * (100 + PART_BYTES))) == [1, 2]
    assert chosen(row(1, size=1 << 30), row(2)) == [1]


def test_hermits_go_alone() -> None:
    notebook = Notebook()
    notebook.keep(2, Note(alone=True))
    assert chosen(row(1), row(2), row(3), notebook=notebook) == [1, 3]
    assert chosen(row(2), row(3), notebook=notebook) == [2]
    assert chosen(row(1, ask_first=True), row(3)) == [1]


@dataclass(frozen=True, slots=True)
class Known:
    """A form of which only this is asked."""

    number: int
    instance: Instance
    length: int = 3

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        yield b"abc"


def test_two_of_one_uid_never_share_a_request() -> None:
    """As when an instance in conflict was released while the one before it still waits."""
    forms = [Known(number, instance_of(b"abc", uid)) for number, uid in [(1, "1.1"), (2, "1.2"), (3, "1.1")]]
    assert [form.number for form in first_of_each(forms)] == [1, 2]


@given(st.sets(st.integers(1, 50), min_size=1), st.sets(st.integers(1, 50)))
def test_probes_rotate_through_all_of_them_urgent_or_not(numbers: set[int], urgent: set[int]) -> None:
    rows = [row(each, urgent=each in urgent) for each in sorted(numbers, key=lambda each: (each not in urgent, each))]
    probed, last = [], 0
    for _ in numbers:
        [probe] = choose_probe(rows, last)
        last = probe.number
        probed.append(last)
    assert probed == sorted(numbers)
    assert choose_probe([], last) == []
