"""Finding values without LMDB: the same as LMDB finds, whatever was written; and from a damaged file nothing worse."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.store.creation import DATA, open_environment
from edged.store.finder import Finder, Unreadable

CAPACITY = 64 << 20
PAGE = 4096
TABLE = b"chunks"
SIZES = (0, 1, 100, 1900, 2100, 4096, 65_520)

keys = st.binary(min_size=1, max_size=24)
contents = st.dictionaries(keys, st.sampled_from(SIZES), max_size=300)


def value_of(key: bytes, size: int) -> bytes:
    return (key * (size // len(key) + 1))[:size]


@contextmanager
def written(*contents: Mapping[bytes, int]) -> Iterator[tuple[lmdb.Environment, int]]:
    """A table into which each of the contents was put in turn; keys that it does not have are deleted."""
    with TemporaryDirectory() as folder:
        env = open_environment(Path(folder), CAPACITY)
        table = env.open_db(TABLE)
        known: set[bytes] = set()
        for each in contents:
            with env.begin(write=True, db=table) as txn:
                for key in known - each.keys():
                    txn.delete(key)
                for key, size in each.items():
                    txn.put(key, value_of(key, size))
            known = set(each)
        descriptor = os.open(Path(folder, DATA), os.O_RDWR)
        yield env, descriptor
        os.close(descriptor)
        env.close()


def finder_of(env: lmdb.Environment, descriptor: int) -> Finder:
    return Finder(descriptor, PAGE, snapshot=int(env.info()["last_txnid"]), table=TABLE)


def found(finder: Finder, key: bytes) -> bytes | None:
    extent = finder.find(key)
    return None if extent is None else finder.read(extent)


def run_of(finder: Finder, keys: Iterable[bytes]) -> bytes:
    extents = [extent for key in keys if (extent := finder.find(key)) is not None]
    return b"".join(finder.read_run(extents[at : at + 100]) for at in range(0, len(extents), 100))


@given(contents, contents, keys)
def test_it_finds_what_was_written(before: dict[bytes, int], now: dict[bytes, int], start: bytes) -> None:
    with written(before, now) as (env, descriptor):
        finder = finder_of(env, descriptor)
        assert list(finder.keys(b"")) == sorted(now)
        assert list(finder.keys(start)) == sorted(key for key in now if key >= start)
        for key in (*sorted(now), *before, start):
            assert found(finder, key) == (value_of(key, now[key]) if key in now else None)
        assert run_of(finder, sorted(now)) == b"".join(value_of(key, now[key]) for key in sorted(now))


def test_a_large_table_is_walked_in_order(tmp_path: Path) -> None:
    many = {b"%08d" % number: 300 for number in range(20_000)}
    with written(many) as (env, descriptor):
        finder = finder_of(env, descriptor)
        assert list(finder.keys(b"")) == sorted(many)
        assert all(found(finder, key) == value_of(key, 300) for key in many)


@given(st.lists(st.tuples(st.integers(0, 40 * PAGE), st.binary(min_size=1, max_size=8)), min_size=1, max_size=30))
def test_a_damaged_file_is_an_error_or_a_value(damage: list[tuple[int, bytes]]) -> None:
    with written({b"%04d" % number: SIZES[number % 6] for number in range(200)}) as (env, descriptor):
        for at, data in damage:
            os.pwrite(descriptor, data, at)
        finder = finder_of(env, descriptor)
        looks: list[Callable[[], object]] = [
            lambda: found(finder, b"0101"),
            lambda: found(finder, b"9"),
            lambda: list(finder.keys(b"")),
            lambda: run_of(finder, (b"0005", b"0006", b"0011", b"0012")),
        ]
        for look in looks:
            try:
                look()
            except (lmdb.CorruptedError, Unreadable):
                continue


def test_a_file_that_ends_early_cannot_be_read() -> None:
    with written({b"a": 1}, {b"a": 2}, {b"a": 65_520}) as (env, descriptor):
        finder = finder_of(env, descriptor)
        extent = finder.find(b"a")
        assert extent is not None
        os.ftruncate(descriptor, extent.offset + PAGE)
        finder.require_header(extent)
        with pytest.raises(Unreadable, match="ends before"):
            finder.read(extent)
        with pytest.raises(Unreadable, match="ends before"):
            finder.read_run([extent])
        os.ftruncate(descriptor, extent.offset - 16)
        with pytest.raises(Unreadable, match="ends before"):
            finder.require_header(extent)
        os.ftruncate(descriptor, 2 * PAGE)
        with pytest.raises(Unreadable):
            finder_of(env, descriptor).find(b"a")


def test_neighbours_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that fill their pages, as most chunks do, follow each other in the file."""
    reads = list[int]()
    preadv = os.preadv

    def counted(*asked: Any) -> int:
        reads.append(preadv(*asked))
        return reads[-1]

    monkeypatch.setattr(os, "preadv", counted)
    sizes = {b"%d" % number: 65_520 for number in range(8)}
    with written(sizes) as (env, descriptor):
        assert run_of(finder_of(env, descriptor), sizes) == b"".join(value_of(*each) for each in sizes.items())
    assert reads == [8 * 65_536 - 16]


def test_a_disk_that_gives_nothing_back_is_named() -> None:
    with written({b"a": 1}) as (env, descriptor):
        finder = finder_of(env, descriptor)
        write_only = os.open(os.readlink(f"/proc/self/fd/{descriptor}"), os.O_WRONLY)
        try:
            with pytest.raises(Unreadable, match="Bad file descriptor"):
                Finder(write_only, PAGE, snapshot=1, table=TABLE).find(b"a")
        finally:
            os.close(write_only)
        assert found(finder, b"a") == b"a"
