"""A store of an older schema: it opens, nothing in it is lost, and it goes on.

`version_1.mdb.gz` is a store as schema 1 wrote it, copied compactly: instances held, sent, committed, parked, stuck,
in conflict and evicted at the required of two destinations, one commitment request open and one answered, and one of
the box's own that is open.
"""

import gzip
from functools import partial
from pathlib import Path

import msgspec
import pytest

from edged.store.commitments import decide, open_requests, references, waiting_for
from edged.store.counters import standing
from edged.store.environment import inspected, opened
from edged.store.errors import StoreUnavailable
from edged.store.history import history_of
from edged.store.instances import find_instance
from edged.store.integrity import check, check_deep
from edged.store.queue import move
from edged.store.records import Check, Delivery, DeliveryState, Happened, Standing
from edged.store.schema import ASKS, EVICTABLE, META, VERSION, u64_key
from edged.store.standings import read_delivery
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from tests.support.store_kit import problems, put

OLD = Path(__file__).with_name("version_1.mdb.gz")
HELD, SENT, COMMITTED, PARKED, STUCK = "1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4", "1.2.3.6"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data directory with a store of schema 1."""
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / "data.mdb").write_bytes(gzip.decompress(OLD.read_bytes()))
    return tmp_path


def schema(txn: Transaction) -> int:
    return msgspec.msgpack.decode(txn.get(META, b"schema") or b"", type=int)


def standings(txn: Transaction) -> list[int]:
    return [txn.counter(standing(value)) for value in Standing]


def delivery(store: Store, uid: str) -> Delivery:
    found = store.read_now(partial(find_instance, sop_instance_uid=uid))
    assert found is not None
    read = store.read_now(partial(read_delivery, number=found[0], destination=1))
    assert read is not None
    return read


async def test_it_opens_and_is_whole(old: Path) -> None:
    async with open_store(old, inline=True) as store:
        assert store.read_now(schema) == VERSION
        assert problems(store) == []
        assert store.read_now(lambda txn: list(check_deep(txn, lambda _: None))) == []
        assert store.read_now(standings) == [2, 1, 1, 1, 1]
        parked = delivery(store, PARKED)
        assert (parked.state, parked.reason, parked.check, parked.resends) == (
            DeliveryState.PARKED,
            0xC122,
            Check.ANSWER,
            0,
        )
        assert store.read_now(lambda txn: txn.count(ASKS)) == 1


async def test_it_goes_on(old: Path) -> None:
    async with open_store(old, inline=True) as store:
        later = Delivery(state=DeliveryState.HELD, since=4000.0, text="again", resends=1)
        number = store.read_now(partial(find_instance, sop_instance_uid=SENT))[0]  # type: ignore[index]
        assert await store.write(partial(move, number=number, destination=1, expected=(DeliveryState.SENT,), to=later))
        assert (await put(store, b"new", "1.2.3.9", destinations=(1, 2))).number > number
        assert problems(store) == []
    async with open_store(old, inline=True) as store:
        assert delivery(store, SENT).resends == 1
        told = store.read_now(partial(history_of, sop_instance_uid=SENT))
        assert [(entry.what, entry.text) for _, entry in told] == [(Happened.HELD, "again")]


async def test_what_open_requests_wait_for_is_found_by_its_uid(old: Path) -> None:
    async with open_store(old, inline=True) as store:
        assert store.read_now(open_requests) == ["2.25.1"]
        assert store.read_now(partial(waiting_for, sop_instance_uid=HELD)) == [("2.25.1", 0)]
        assert store.read_now(partial(waiting_for, sop_instance_uid=COMMITTED)) == [("2.25.1", 1)]
        wanted = store.read_now(partial(references, number=1))
        decided = [(1, msgspec.structs.replace(wanted[1], reason=0))]
        await store.write(partial(decide, transaction_uid="2.25.1", decided=decided, now=5000.0))
        assert store.read_now(partial(waiting_for, sop_instance_uid=COMMITTED)) == []
        assert store.read_now(partial(waiting_for, sop_instance_uid=HELD)) == [("2.25.1", 0)]
        assert problems(store) == []


def test_it_can_be_looked_at_without_being_changed(old: Path) -> None:
    before = (old / "store" / "data.mdb").read_bytes()
    with inspected(old) as environment, environment.reading() as txn:
        assert list(check(txn)) == []
        assert schema(txn) == 1
    assert (old / "store" / "data.mdb").read_bytes() == before


def test_a_step_that_was_cut_off_is_done_again(old: Path) -> None:
    with opened(old, None) as environment, environment.writing() as txn:
        txn.put(META, b"schema", msgspec.msgpack.encode(1))  # as a power cut before the last transaction leaves it
    with opened(old, None) as environment, environment.reading() as txn:
        assert schema(txn) == VERSION
        assert list(check(txn)) == []


async def test_what_an_optional_destination_keeps_parked_is_not_let_go_any_more(old: Path) -> None:
    """Schema 1 let it go."""
    async with open_store(old, inline=True) as store:
        number = store.read_now(partial(find_instance, sop_instance_uid=COMMITTED))[0]  # type: ignore[index]
        before = store.read_now(lambda txn: [bytes(key) for key, _ in txn.rows(EVICTABLE)])
        parked = Delivery(state=DeliveryState.PARKED, since=5000.0)
        await store.write(partial(move, number=number, destination=2, expected=tuple(DeliveryState), to=parked))
        assert store.read_now(lambda txn: txn.count(EVICTABLE)) == len(before) - 1
    with opened(old, None) as environment, environment.writing() as txn:
        for key in before:
            txn.put(EVICTABLE, key, u64_key(1))
        txn.put(META, b"schema", msgspec.msgpack.encode(1))
    async with open_store(old, inline=True) as store:
        assert problems(store) == []
        assert store.read_now(lambda txn: txn.count(EVICTABLE)) == len(before) - 1


def test_a_disk_without_room_is_told_and_the_store_stays_as_it_was(old: Path) -> None:
    with pytest.raises(StoreUnavailable, match="smaller"), opened(old, 1 << 44):
        pass
    with inspected(old) as environment, environment.reading() as txn:
        assert schema(txn) == 1
