"""Which pages are a snapshot, and that what is known of one is what looking at it again would say."""

import os
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.store.finder import Finder, Unreadable
from tests.powercut.cut import choose, laid_out
from tests.powercut.disk import Disk
from tests.powercut.known import AUDIT, ForgottenError, Known
from tests.powercut.pages import newest_meta, pages_of
from tests.powercut.test_powercut_disk import disk_after, recorded
from tests.powercut.verify import Found

PAGE = 4096
TABLES = (b"rows", b"table", b"values")
COMMITS = """
import lmdb, os, random, sys
rng = random.Random(7)
env = lmdb.open(sys.argv[1], map_size=4 << 20, max_dbs=4, lib_version=0, **{{{flags}}})
for commit in range(30):
    with env.begin(write=True) as txn:
        table = env.open_db(b"table", txn=txn)
        for _ in range(rng.randrange(1, 12)):
            key = b"%d" % rng.randrange(40)
            if rng.random() < 0.3:
                txn.delete(key, db=table)
            else:
                txn.put(key, rng.randbytes(rng.choice([30, 300, 9000])), db=table)
    if commit == 0:
        file = os.open(sys.argv[1] + "/data.mdb", os.O_RDWR)
        os.ftruncate(file, 4 << 20)
        os.fsync(file)
        os.fsync(os.open(sys.argv[1], os.O_RDONLY))
"""


def filled(folder: Path, seed: int) -> Path:
    """A store with several trees, values that have pages of their own, and free pages; return its file."""
    rng = random.Random(seed)
    with closing(opened(folder)) as environment:
        for _ in range(20):
            with environment.begin(write=True) as txn:
                for _ in range(20):
                    table = environment.open_db(rng.choice(TABLES), txn=txn)
                    key = b"%d" % rng.randrange(300)
                    if rng.random() < 0.3:
                        txn.delete(key, db=table)
                    else:
                        txn.put(key, rng.randbytes(rng.choice([30, 300, 9000])), db=table)
    return folder / "data.mdb"


def opened(folder: Path) -> lmdb.Environment:
    return lmdb.open(str(folder), map_size=32 << 20, max_dbs=4, lib_version=0, sync=False)


def everything(folder: Path) -> list[list[tuple[bytes, bytes]]]:
    """All rows; and a write must find free pages."""
    with closing(opened(folder)) as environment:
        tables = [environment.open_db(name) for name in TABLES]
        with environment.begin() as txn:
            rows = [list(txn.cursor(db=table)) for table in tables]
        with environment.begin(write=True) as txn:
            for number in range(30):
                txn.put(b"new %d" % number, bytes(9000), db=tables[0])
            txn.abort()
        return rows


@contextmanager
def descriptor(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR)
    try:
        yield file
    finally:
        os.close(file)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_not_of_the_snapshot_makes_no_difference(tmp_path: Path, seed: int) -> None:
    path = filled(tmp_path, seed)
    before = everything(tmp_path)
    with descriptor(path) as file:
        meta = newest_meta(file)
        assert meta is not None
        pages = pages_of(file, meta)
        assert pages is not None
        spare = [
            number for number in range(2, meta.last_page + 1) if not pages.touched(number * PAGE, number * PAGE + 1)
        ]
        assert spare
        for number in spare:
            os.pwrite(file, b"\xff" * PAGE, number * PAGE)
    assert everything(tmp_path) == before


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("store"), 1)


@given(
    st.lists(st.tuples(st.integers(0, 40 * PAGE), st.binary(min_size=1, max_size=8)), max_size=6), st.integers(0, 200)
)
def test_of_a_damaged_file_there_is_a_snapshot_or_none(
    store: Path, damage: list[tuple[int, bytes]], length: int
) -> None:
    copy = store.with_name("copy")
    copy.write_bytes(store.read_bytes()[: length * PAGE])
    with descriptor(copy) as file:
        for at, content in damage:
            os.pwrite(file, content, at)
        meta = newest_meta(file)
        if meta is not None and (pages := pages_of(file, meta)) is not None:
            assert len(pages.used) == meta.last_page + 1


def seen(disk: Disk, node: int) -> Found:
    """What is in the table, as the file is now."""
    file = disk.file(node)
    meta = newest_meta(file)
    assert meta is not None
    finder = Finder(file, PAGE, snapshot=meta.snapshot, table=b"table")
    rows: list[str] = []
    try:
        for key in finder.keys(b""):
            extent = finder.find(key)
            rows.append(f"{key!r} {extent and finder.read(extent)!r}")
    except (lmdb.CorruptedError, Unreadable) as error:
        rows.append(str(error))
    return Found(tuple(rows), frozenset(), {}, {}, {})


@pytest.mark.parametrize("flags", ["", "'metasync': False", "'sync': False"])
def test_what_is_known_is_what_is_there(tmp_path: Path, flags: str) -> None:
    root = tmp_path / "disk"
    records = recorded(tmp_path, "-c", COMMITS.format(flags=flags), str(root))
    states = 0
    with closing(disk_after([], tmp_path)) as disk:
        known = Known(disk)
        for place, record in enumerate(records):
            disk.apply(record)
            for number in range(4):
                with laid_out(disk, choose(disk, random.Random(f"{place} {number}")), tmp_path / "laid") as laid:
                    layer = laid.layers.get(laid.root / "data.mdb")
                    if layer is None or newest_meta(disk.file(layer.node)) is None:
                        continue
                    states += 1
                    look = partial(seen, disk, layer.node)
                    assert known.found(layer, look) == look()
    assert states > 200
    assert flags or known.looked < states / 3


def test_a_snapshot_that_is_not_what_it_was_is_noticed(tmp_path: Path) -> None:
    records = recorded(tmp_path, "-c", COMMITS.format(flags=""), str(tmp_path / "disk"))
    numbers = count()
    with closing(disk_after(records, tmp_path)) as disk:
        known = Known(disk)
        with laid_out(disk, choose(disk, random.Random(1)), tmp_path / "laid") as laid:
            (layer,) = laid.layers.values()
            for _ in range(AUDIT):
                known.found(layer, lambda: Found((f"{next(numbers)}",), frozenset(), {}, {}, {}))
            with pytest.raises(ForgottenError):
                known.found(layer, lambda: Found((f"{next(numbers)}",), frozenset(), {}, {}, {}))
