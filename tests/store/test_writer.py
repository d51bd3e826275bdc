"""The writer: groups are replayed alone after an error, nobody is answered from an aborted group."""

import threading
from collections.abc import Callable
from pathlib import Path

import lmdb
import outcome
import pytest
import trio

from edged.store.environment import opened
from edged.store.errors import StoreFailed, StoreFull
from edged.store.linger import Linger
from edged.store.schema import META
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.store.writer import Group, InlineWriter, ThreadWriter
from tests.support.store_kit import CAPACITY


def putting(name: bytes, value: bytes = b"1") -> Callable[[Transaction], None]:
    return lambda txn: txn.put(META, name, value)


async def test_one_failing_member_does_not_touch_the_others(store: Store) -> None:
    results: dict[str, outcome.Outcome[None]] = {}

    def fail(txn: Transaction) -> None:
        txn.put(META, b"half", b"done")
        raise ValueError("mine alone")

    async def run(name: str, apply: Callable[[Transaction], None]) -> None:
        results[name] = await outcome.acapture(store.write, apply)

    async with trio.open_nursery() as nursery:
        for index in range(20):
            nursery.start_soon(run, f"good{index}", putting(b"good%d" % index))
        nursery.start_soon(run, "bad", fail)
    assert isinstance(results.pop("bad"), outcome.Error)
    assert all(isinstance(result, outcome.Value) for result in results.values())
    assert store.read_now(lambda txn: txn.get(META, b"half")) is None
    assert store.read_now(lambda txn: all(txn.get(META, b"good%d" % index) for index in range(20)))


def test_a_full_map_is_about_one_operation(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY) as environment:
        writer = InlineWriter(environment)
        with pytest.raises(StoreFull):
            writer.run_now(lambda txn: txn.put(META, b"huge", bytes(CAPACITY)), CAPACITY)
        writer.run_now(lambda txn: txn.put(META, b"small", b"1"))


def test_a_key_that_lmdb_refuses_hurts_only_its_own_operation(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY) as environment:
        writer = InlineWriter(environment)
        with pytest.raises(lmdb.BadValsizeError):
            writer.run_now(lambda txn: txn.put(META, bytes(600), b"1"))
        writer.run_now(lambda txn: txn.put(META, b"small", b"1"))


def test_after_an_error_of_the_device_nothing_is_acknowledged(tmp_path: Path) -> None:
    def broken(_: Transaction) -> None:
        raise lmdb.DiskError("input/output error")

    with opened(tmp_path, CAPACITY) as environment:
        writer = InlineWriter(environment)
        with pytest.raises(StoreFailed, match="Check the disk"):
            writer.run_now(broken)
        with pytest.raises(StoreFailed):
            writer.run_now(lambda txn: txn.put(META, b"small", b"1"))


def test_a_device_error_in_a_group_answers_no_member_yes(tmp_path: Path) -> None:
    results: list[outcome.Outcome[None]] = []

    def broken(_: Transaction) -> None:
        raise lmdb.DiskError("input/output error")

    with opened(tmp_path, CAPACITY) as environment:
        group = Group(environment)
        operations = [group.operation(apply, 0, results.append) for apply in (putting(b"a"), broken, putting(b"b"))]
        group.commit(operations)
        assert all(isinstance(each.result, outcome.Error) for each in operations)


async def test_a_cancelled_write_is_still_waited_for(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write(putting(b"late"))
    assert store.read_now(lambda txn: txn.get(META, b"late")) == b"1"


def fill(writer: InlineWriter, size: int) -> None:
    """Take pages until there are no more for a value of this size, behind the soft cap's back."""
    for number in range(1 << 20):
        name = b"%d %d" % (size, number)
        try:
            writer.run_now(lambda txn, name=name: txn.put(META, name, bytes(size)), size)  # type: ignore[misc]
        except StoreFull:
            return


def test_a_full_map_still_has_room_to_delete(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY) as environment:
        writer = InlineWriter(environment)
        for size in (1 << 20, 1 << 12, 1):
            fill(writer, size)
        for number in range(100):
            writer.run_now(lambda txn, name=b"1048576 %d" % number: txn.delete(META, name))  # type: ignore[misc]
        writer.run_now(lambda txn: txn.put(META, b"again", bytes(1 << 20)), 1 << 20)
    with opened(tmp_path, CAPACITY) as environment, environment.reading() as txn:
        assert txn.get(META, b"again") is not None


async def test_the_reserve_is_opened_only_while_nobody_reads(tmp_path: Path) -> None:
    with opened(tmp_path, CAPACITY) as environment:
        done = threading.Event()
        with environment.reading() as txn:

            def open_and_tell() -> None:
                environment.open_hatch()
                done.set()

            thread = threading.Thread(target=open_and_tell)
            thread.start()
            assert txn.get(META, b"schema") is not None
            assert not done.is_set()
        await trio.to_thread.run_sync(thread.join)
        assert done.is_set()
        assert not environment.open_hatch()


class Listening(Linger):
    """Remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.senders = 0
        self.commits = 0

    def answered(self, senders: int, *, waiting: int, seconds: float, now: float) -> None:
        super().answered(senders, waiting=waiting, seconds=seconds, now=now)
        assert senders > 0
        self.senders += senders
        self.commits += 1


async def test_the_linger_is_told_of_those_alone_who_bring_bytes(tmp_path: Path) -> None:
    """A commit of nothing takes no flush: taken for one, it made the writer wait too short for all others."""
    with opened(tmp_path, CAPACITY) as environment:
        linger = Listening()
        writer = ThreadWriter(environment, linger)
        writer.start()
        try:
            for index in range(4):
                await writer.run(lambda _: None)
                await writer.run(putting(b"sent%d" % index), size=1)
        finally:
            await writer.stop(10.0)
    assert (linger.senders, linger.commits) == (4, 4)
