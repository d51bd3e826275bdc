"""Making, owning and opening a store."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb
import msgspec
import pytest

from edged.store.creation import HATCH, create, open_environment
from edged.store.environment import Environment, opened, owned
from edged.store.errors import StoreDamaged, StoreFailed, StoreLocked, StoreTooNew, StoreUnavailable
from edged.store.schema import ASKS, INSTANCES, META, u64_key
from edged.store.writer import InlineWriter
from tests.support.store_kit import CAPACITY

DATA = Path("store/data.mdb")


def test_a_new_store_is_preallocated_and_private(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY):
        status = (tmp_path / DATA).stat()
    assert status.st_size == CAPACITY + HATCH
    assert status.st_blocks * 512 >= CAPACITY
    assert status.st_mode & 0o077 == 0


def test_a_half_made_store_is_made_again(tmp_path: Path) -> None:
    create(tmp_path, CAPACITY)
    (tmp_path / "store").rename(tmp_path / "store.new")
    (tmp_path / "store.new" / "data.mdb").write_bytes(b"cut")
    with opened(tmp_path, CAPACITY) as environment, environment.reading() as txn:
        assert txn.count(INSTANCES) == 0


def test_two_owners_are_told_apart(tmp_path: Path) -> None:
    with owned(tmp_path), pytest.raises(StoreLocked, match=str(os.getpid())), owned(tmp_path):
        pass
    with owned(tmp_path):
        pass


def test_a_capacity_below_the_least_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="the least is 256 MiB"), opened(tmp_path, 1 << 20):
        pass


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="smaller \\[store\\] capacity"), opened(tmp_path, 1 << 44):
        pass
    assert not (tmp_path / "store").exists()


def test_capacity_grows_and_never_shrinks(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY):
        pass
    with opened(tmp_path, 2 * CAPACITY) as environment:
        assert environment.capacity == 2 * CAPACITY
    with opened(tmp_path, CAPACITY) as environment:
        assert environment.capacity == 2 * CAPACITY
    assert (tmp_path / DATA).stat().st_size == 2 * CAPACITY + HATCH


@contextmanager
def raw(folder: Path) -> Iterator[lmdb.Environment]:
    """The store's environment, past every check."""
    env = open_environment(folder / "store", CAPACITY)
    try:
        yield env
    finally:
        env.close()


def test_a_missing_table_is_named_and_a_newer_schema_is_told_first(tmp_path: Path) -> None:
    create(tmp_path, CAPACITY)
    with raw(tmp_path) as env, env.begin(write=True) as txn:
        txn.drop(env.open_db(ASKS.name.encode(), txn=txn))
    with pytest.raises(StoreDamaged, match="lacks the tables asks"), opened(tmp_path, CAPACITY):
        pass
    with raw(tmp_path) as env, env.begin(write=True) as txn:
        txn.put(b"schema", msgspec.msgpack.encode(99), db=env.open_db(META.name.encode(), txn=txn))
    with pytest.raises(StoreTooNew, match="schema 99"), opened(tmp_path, CAPACITY):
        pass


@pytest.mark.parametrize("damage", ["foreign", "empty", "missing", "tables"])
def test_a_damaged_store_is_never_written_to(tmp_path: Path, damage: str) -> None:
    create(tmp_path, CAPACITY)
    data = tmp_path / DATA
    if damage == "foreign":
        data.write_bytes(b"not a store" * 10_000)
    elif damage == "empty":
        data.write_bytes(b"")
    elif damage == "missing":
        data.unlink()
    else:
        with opened(tmp_path, CAPACITY) as environment:
            InlineWriter(environment).run_now(lambda txn: txn.put(INSTANCES, u64_key(7), b"lost"))
    before = data.read_bytes()[: 1 << 20] if data.exists() else None
    with pytest.raises(StoreDamaged, match="Nothing was changed"), opened(tmp_path, CAPACITY):
        pass
    assert (data.read_bytes()[: 1 << 20] if data.exists() else None) == before


def test_the_engine_is_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMDB_DEFAULT_LIB_VERSION", "1")
    with opened(tmp_path, CAPACITY):
        pass
    env = lmdb.open(str(tmp_path / "store"), lib_version=0, max_dbs=40, map_size=CAPACITY)
    assert env.stat()["entries"] > 10
    env.close()


def test_it_is_closed_when_those_who_read_have_ended(tmp_path: Path) -> None:
    closed = threading.Event()

    def close(environment: Environment) -> None:
        environment.close()
        closed.set()

    create(tmp_path, CAPACITY)
    with opened(tmp_path, CAPACITY) as environment:
        with environment.reading() as txn:
            closing = threading.Thread(target=close, args=(environment,))
            closing.start()
            assert not closed.wait(0.05)
            assert txn.get(META, b"schema")
        closing.join()
        with pytest.raises(StoreFailed), environment.reading():
            pass


def test_it_stays_open_while_it_is_written(tmp_path: Path) -> None:
    """As at the end of a daemon whose disk does not answer; what that thread does is sound, whenever it ends."""
    begun, closed = threading.Event(), threading.Event()

    def write(environment: Environment) -> None:
        with environment.writing() as txn:
            begun.set()
            assert closed.wait(10.0)
            txn.put(META, b"late", b"1")

    create(tmp_path, CAPACITY)
    with opened(tmp_path, CAPACITY) as environment:
        writing = threading.Thread(target=write, args=(environment,))
        writing.start()
        assert begun.wait(10.0)
        environment.close()
        closed.set()
        writing.join()
        with environment.reading() as txn:
            assert txn.get(META, b"late") == b"1"
