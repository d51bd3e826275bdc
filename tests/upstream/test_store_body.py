"""The payload of a Store request: read ahead, and no more in memory than that, however long it is."""

import tracemalloc
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from edged.services.retrieve import WebForm
from edged.store.queue import read_instance
from edged.store.store import Store, open_store
from edged.store.streams import Streams
from edged.upstream.stow import EARLY_BYTES, EARLY_FORMS, store_body
from tests.support.forwarding_kit import destination, forwarding
from tests.support.scripted_archive import scripted_archive
from tests.support.store_kit import CAPACITY, put, wait_for_the_disk
from tests.support.stow_kit import named

MOST_BYTES = 5 * EARLY_BYTES


async def forms_of(store: Store, count: int, size: int) -> list[WebForm]:
    """Instances that leave as they are."""
    numbers = [(await put(store, bytes([index]) * size, f"1.{index}")).number for index in range(count)]
    forms = []
    for number in numbers:
        instance = store.read_now(lambda txn, number=number: read_instance(txn, number))  # type: ignore[misc]
        assert instance is not None
        forms.append(WebForm(store, number, instance))
    return forms


@pytest.mark.parametrize(("count", "size"), [(30, EARLY_BYTES), (60, EARLY_BYTES // 2), (6, 5 * EARLY_BYTES), (100, 9)])
@pytest.mark.parametrize("in_memory", [True, False])
async def test_it_is_read_ahead_within_bounds_and_given_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, size: int, *, in_memory: bool
) -> None:
    if not in_memory:
        wait_for_the_disk(monkeypatch)
    async with open_store(tmp_path / "box", CAPACITY) as store:
        forms = await forms_of(store, count, size)
        early = list[int]()

        def note(run: object) -> object:
            assert isinstance(run, list)
            early.append(len(run))
            return store.early({form.number: form.instance.size for form in run})

        body = store_body(forms, early=note)  # type: ignore[arg-type]
        tracemalloc.start()
        given = 0
        async for piece in body.pieces():
            given += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert given == body.length
        assert peak < MOST_BYTES
        assert sum(early) == count
        assert max(early) <= EARLY_FORMS
        assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)


@pytest.mark.parametrize("in_memory", [True, False])
async def test_what_leaves_next_is_begun_where_the_disk_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    if not in_memory:
        wait_for_the_disk(monkeypatch)
    monkeypatch.setattr(Streams, "are_in_memory", lambda *_: in_memory)
    begun = list[int]()
    early = Store.early

    def noted(store: Store, sizes: Mapping[int, int], **how: Any) -> AbstractContextManager[None]:
        begun.extend(sizes)
        return early(store, sizes, **how)

    monkeypatch.setattr(Store, "early", noted)
    async with scripted_archive() as (archive, _), forwarding(tmp_path, destination(archive.url)) as box:
        await box.take_made(named(1), named(2))
        await box.until(lambda: len(archive.stored) == 2)
    assert set(begun) == (set() if in_memory else {1, 2})


async def test_a_request_that_is_cut_off_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_the_disk(monkeypatch)
    async with open_store(tmp_path / "box", CAPACITY) as store:
        forms = await forms_of(store, 4, EARLY_BYTES // 2)
        pieces = store_body(forms, early=lambda run: store.early({each.number: 9 for each in run})).pieces()
        for _ in range(4):
            await anext(pieces)
        assert store.read_ahead.coming > 0
        await pieces.aclose()
        assert (store.read_ahead.held, store.read_ahead.coming) == (0, 0)
