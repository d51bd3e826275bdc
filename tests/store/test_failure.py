"""A store that fails: told once and before anybody is answered, read on, never written to again."""

from collections.abc import AsyncIterator
from pathlib import Path

import lmdb
import pytest
import trio

from edged.store.errors import StoreFailed
from edged.store.failure import Failure
from edged.store.schema import META
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from tests.support.store_kit import CAPACITY, put, stored_bytes

DATA = b"\x42" * 3_000_000


@pytest.fixture(params=[True, False], ids=["inline", "thread"])
async def store(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with open_store(tmp_path, CAPACITY, inline=request.param) as opened:
        yield opened


def fail(txn: Transaction) -> None:
    txn.put(META, b"half", b"done")
    raise lmdb.DiskError("input/output error")


def test_only_the_first_reason_counts_and_who_comes_late_hears_it() -> None:
    failure = Failure()
    heard: list[str] = []
    failure.listen(heard.append)
    failure.happened("first")
    failure.happened("second")
    failure.listen(heard.append)
    assert heard == ["first", "first"]
    assert failure.text == "first"


async def test_it_is_told_before_whoever_met_it_is_answered(store: Store) -> None:
    heard: list[str] = []
    store.failure.listen(heard.append)
    with pytest.raises(StoreFailed, match="Check the disk"):
        await store.write(fail)
    assert len(heard) == 1
    with trio.fail_after(1):
        await store.failure.wait()


async def test_reading_goes_on_and_nothing_is_taken(store: Store) -> None:
    number = (await put(store, DATA, "1.1")).number
    with pytest.raises(StoreFailed):
        await store.write(fail)
    with pytest.raises(StoreFailed):
        await store.write(lambda txn: txn.put(META, b"late", b"1"))
    assert await stored_bytes(store, number, len(DATA)) == DATA
    assert store.read_now(lambda txn: txn.get(META, b"half") or txn.get(META, b"late")) is None
    with pytest.raises(StoreFailed):
        store.space.open(1)


async def test_what_was_reserved_can_be_given_back(store: Store) -> None:
    free = store.space.free
    reservation = store.space.open(1000)
    with pytest.raises(StoreFailed):
        await store.write(fail)
    reservation.close()
    assert store.space.free == free
