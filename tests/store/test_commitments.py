"""Commitment requests: decided once, kept, purged, and bounded."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec import structs

from edged.origin.commitment import MAX_REFERENCES
from edged.store import commitments
from edged.store.commitments import (
    COMMITTED,
    LEAST_KEPT,
    MOST_SHARE,
    REFERENCE_BYTES,
    add_request,
    decide,
    most_references,
    purge_request,
    purgeable,
    read_request,
    references,
    undecided,
)
from edged.store.errors import StoreFull
from edged.store.records import CommitmentRequest, Reference
from edged.store.schema import MAX_KEPT_REFERENCES, REQUESTS, uid_key
from edged.store.store import Store, open_store
from tests.support.store_kit import CAPACITY, problems

FRESH = CommitmentRequest(number=0, study_form=False, received=1.0, count=0, digest=b"")


def reference(index: int, reason: int | None = None) -> Reference:
    return Reference(sop_class_uid="1", sop_instance_uid=f"1.{index}", reason=reason)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=True) as opened:
        yield opened
        assert problems(opened) == []


async def ask(store: Store, uid: str, count: int) -> None:
    wanted = [reference(index) for index in range(count)]
    await store.write(lambda txn: add_request(txn, uid, FRESH, references=wanted))


async def answer(store: Store, uid: str, count: int, *, now: float) -> None:
    decided = [(index, reference(index, COMMITTED)) for index in range(count)]
    await store.write(lambda txn: decide(txn, uid, decided, now=now))


async def test_a_result_stands_when_every_reference_is_decided_and_never_changes(store: Store) -> None:
    await ask(store, "2.25.1", 2)
    await store.write(lambda txn: decide(txn, "2.25.1", [(0, reference(0, COMMITTED))], now=5.0))
    request = store.read_now(lambda txn: read_request(txn, "2.25.1"))
    assert request is not None
    assert not request.answered
    await store.write(lambda txn: decide(txn, "2.25.1", [(1, reference(1, 0x0112))], now=6.0))
    await store.write(lambda txn: decide(txn, "2.25.1", [(1, reference(1, COMMITTED))], now=7.0))
    decided = store.read_now(lambda txn: references(txn, request.number))
    assert [each.reason for each in decided] == [COMMITTED, 0x0112]


async def test_what_is_decided_stays_decided_however_often_it_is_decided_again(store: Store) -> None:
    await ask(store, "2.25.1", 2)
    for reason in (0x0110, COMMITTED):
        await store.write(lambda txn: decide(txn, "2.25.1", [(0, reference(0, reason))], now=5.0))  # noqa: B023
    request = store.read_now(lambda txn: read_request(txn, "2.25.1"))
    assert request is not None
    assert (request.answered, request.left, request.failed) == (0.0, 1, 1)
    assert [each.reason for each in store.read_now(lambda txn: references(txn, request.number))] == [0x0110, None]


async def test_a_request_of_an_older_store_is_counted_when_it_is_decided(store: Store) -> None:
    await ask(store, "2.25.1", 3)
    await store.write(lambda txn: decide(txn, "2.25.1", [(0, reference(0, 0x0110))], now=5.0))
    request = store.read_now(lambda txn: read_request(txn, "2.25.1"))
    assert request is not None
    old = structs.replace(request, left=-1, failed=0)
    await store.write(lambda txn: txn.put_record(REQUESTS, uid_key("2.25.1"), old))
    await store.write(lambda txn: decide(txn, "2.25.1", [(2, reference(2, COMMITTED))], now=6.0))
    request = store.read_now(lambda txn: read_request(txn, "2.25.1"))
    assert request is not None
    assert (request.left, request.failed) == (1, 1)


async def test_what_is_not_decided_is_read_in_slices(store: Store) -> None:
    await ask(store, "2.25.1", 5)
    await store.write(lambda txn: decide(txn, "2.25.1", [(1, reference(1, COMMITTED))], now=5.0))
    slices = [store.read_now(lambda txn, at=at: undecided(txn, "2.25.1", first=at, limit=2)) for at in (0, 2, 4)]  # type: ignore[misc]
    assert [[index for index, _ in each.found] for each in slices] == [[0], [2, 3], [4]]
    assert [each.next for each in slices] == [2, 4, None]
    await answer(store, "2.25.1", 5, now=6.0)
    assert store.read_now(lambda txn: undecided(txn, "2.25.1", first=0, limit=2)) == ([], None)
    assert store.read_now(lambda txn: undecided(txn, "2.25.9", first=0, limit=2)) == ([], None)


async def test_results_are_purged_oldest_first_and_the_uid_is_kept(store: Store) -> None:
    for index in range(3):
        await ask(store, f"2.25.{index}", 2)
        await answer(store, f"2.25.{index}", 2, now=10.0 + index)
    assert store.read_now(lambda txn: purgeable(txn, 12.0)) == ["2.25.0", "2.25.1"]
    await store.write(lambda txn: purge_request(txn, "2.25.0"))
    request = store.read_now(lambda txn: read_request(txn, "2.25.0"))
    assert request is not None
    assert request.purged


async def test_the_oldest_uids_are_forgotten_beyond_the_bound(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitments, "MAX_REQUESTS", 2)
    for index in range(4):
        await ask(store, f"2.25.{index}", 1)
        await answer(store, f"2.25.{index}", 1, now=10.0 + index)
        await store.write(lambda txn, index=index: purge_request(txn, f"2.25.{index}"))  # type: ignore[misc]
    known = [store.read_now(lambda txn, index=index: read_request(txn, f"2.25.{index}")) for index in range(4)]  # type: ignore[misc]
    assert [each is not None for each in known] == [False, False, True, True]


async def test_open_requests_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commitments, "MAX_OPEN_REQUESTS", 2)
    await ask(store, "2.25.1", 1)
    await ask(store, "2.25.2", 1)
    with pytest.raises(StoreFull):
        await ask(store, "2.25.3", 1)
    await answer(store, "2.25.1", 1, now=5.0)
    await ask(store, "2.25.3", 1)


async def test_references_are_bounded_and_only_results_make_room(store: Store) -> None:
    async def ask_within(uid: str, count: int) -> None:
        wanted = [reference(index) for index in range(count)]
        await store.write(lambda txn: add_request(txn, uid, FRESH, references=wanted, most=10))

    async def kept() -> list[bool | None]:
        found = [store.read_now(lambda txn, each=each: read_request(txn, f"2.25.{each}")) for each in range(1, 6)]  # type: ignore[misc]
        return [None if each is None else each.purged for each in found]

    await ask_within("2.25.1", 3)
    await ask_within("2.25.2", 3)
    await ask_within("2.25.3", 3)
    await answer(store, "2.25.2", 3, now=5.0)
    await answer(store, "2.25.1", 3, now=6.0)
    await ask_within("2.25.4", 2)
    assert await kept() == [False, True, False, False, None], "the result that stood first, and no more than it takes"
    with pytest.raises(StoreFull):
        await ask_within("2.25.5", 6)
    assert await kept() == [False, True, False, False, None], "nothing is given up for a request that is not taken"
    await ask_within("2.25.5", 5)
    assert await kept() == [True, True, False, False, False]


def test_references_take_a_share_of_the_store_that_one_request_fits_into() -> None:
    assert most_references(0) == LEAST_KEPT == MAX_REFERENCES
    assert most_references(8 << 30) * REFERENCE_BYTES <= (8 << 30) * MOST_SHARE
    assert most_references(1 << 50) == MAX_KEPT_REFERENCES
