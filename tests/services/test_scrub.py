"""The scrub finds what turned in the store, says so once, and stays out of the way. Time is virtual."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import lmdb
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from edged.app.background import AGAIN_S, STORE_FAILED, keep_going
from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.services.findings import NAMED
from edged.services.repair import FAILED, Repairer
from edged.services.scrub import BREATH_S, LOOK_AGAIN_S, PASS_S, PATIENCE, REST_S, Scrub, Verdict
from edged.store.errors import StoreFailed
from edged.store.events import read_events
from edged.store.eviction import evict_oldest
from edged.store.queue import destination_id, move, read_instance
from edged.store.records import Delivery, DeliveryState, Instance
from edged.store.schema import CHUNK_BYTES, CHUNKS, chunk_key
from edged.store.store import Store, open_store
from edged.store.transaction import Transaction
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Conditions, Severity
from tests.conftest import ExpectedLogs
from tests.support.store_kit import CAPACITY, put


class Kit:
    """A scrub over a store."""

    def __init__(self, store: Store, expected_logs: ExpectedLogs) -> None:
        self.store = store
        self._logs = expected_logs
        clock = ManualClock()
        self.conditions = Conditions(clock)
        bells = Bells()
        repairer = Repairer(store, clock, bells, holders={})
        self.scrub = Scrub(store, clock, self.conditions, bells=bells, repairer=repairer)

    async def damage(self, number: int) -> None:
        self._logs.expect(f"instance number {number} holds other bytes")
        await self.store.write(lambda txn: txn.put(CHUNKS, chunk_key(number, 0), b"xxx"))

    async def mend(self, number: int) -> None:
        await self.store.write(lambda txn: txn.put(CHUNKS, chunk_key(number, 0), b"abc"))

    async def evict(self, number: int) -> None:
        to = Delivery(state=DeliveryState.COMMITTED, since=1.0)
        await self.store.write(partial(move, number=number, destination=1, expected=tuple(DeliveryState), to=to))
        await self.store.write(partial(evict_oldest, committed_before=9e9, least_bytes=0, now=5.0))

    async def whole_pass(self) -> list[int]:
        """Read everything once; the numbers in the order of reading."""
        seen = [await self.scrub.step(0)]
        while seen[-1]:
            seen.append(await self.scrub.step(seen[-1]))
        return seen[:-1]

    def instance(self, number: int) -> Instance:
        found = self.store.read_now(partial(read_instance, number=number))
        assert found is not None
        return found

    def hint(self) -> str:
        (condition,) = self.conditions.snapshot()
        assert (condition.name, condition.severity) == (FAILED, Severity.CRITICAL)
        return condition.hint

    def told(self) -> list[str]:
        events = self.store.read_now(partial(read_events, after=0, limit=1000))
        return [event.text for _, event in events if event.kind is EventKind.CONDITION_RAISED]


@pytest.fixture
async def kit(tmp_path: Path, expected_logs: ExpectedLogs) -> AsyncIterator[Kit]:
    async with open_store(tmp_path, CAPACITY, inline=True) as store:
        await store.write(lambda txn: destination_id(txn, "archive"))
        yield Kit(store, expected_logs)


async def test_all_that_is_good_is_read_and_nothing_said(autojump_clock: MockClock, kit: Kit) -> None:
    sizes = [0, 3, CHUNK_BYTES, 3 << 20]
    numbers = [(await put(kit.store, bytes(size), f"1.{size}")).number for size in sizes]
    assert await kit.whole_pass() == numbers
    assert kit.conditions.snapshot() == ()
    assert not kit.store.busy()


async def test_each_bad_one_is_named_and_told_of_once(autojump_clock: MockClock, kit: Kit) -> None:
    for index in range(3):
        await put(kit.store, b"abc", f"1.{index}")
    await kit.damage(1)
    await kit.damage(3)
    for _ in range(2):
        await kit.whole_pass()
        assert "no destination has committed to them; send them again from where they came: 1.0, 1.2. " in kit.hint()
        assert kit.told() == ["Damaged in the store: 1.2"]  # of the first the condition's own event tells


async def test_a_lost_chunk_is_bad(autojump_clock: MockClock, kit: Kit) -> None:
    number = (await put(kit.store, bytes(20 * CHUNK_BYTES), "1.1")).number
    await kit.store.write(lambda txn: txn.delete(CHUNKS, chunk_key(number, 17)))
    assert await kit.scrub.verify(number, kit.instance(number)) is Verdict.BAD


async def test_what_was_evicted_meanwhile_is_gone_not_bad(autojump_clock: MockClock, kit: Kit) -> None:
    number = (await put(kit.store, b"abc", "1.1")).number
    instance = kit.instance(number)
    await kit.evict(number)
    assert await kit.scrub.verify(number, instance) is Verdict.GONE


async def test_the_condition_ends_when_none_is_bad_any_more(autojump_clock: MockClock, kit: Kit) -> None:
    for index in range(2):
        await put(kit.store, b"abc", f"1.{index}")
        await kit.damage(index + 1)
    await kit.whole_pass()
    await kit.mend(1)
    await kit.evict(2)
    await kit.whole_pass()
    assert not kit.conditions.stands(FAILED)


async def test_many_bad_ones_make_a_short_hint(autojump_clock: MockClock, kit: Kit) -> None:
    for index in range(NAMED + 5):
        await put(kit.store, b"abc", f"1.{index}")
        await kit.damage(index + 1)
    await kit.whole_pass()
    assert " and 5 more. " in kit.hint()


async def test_a_full_store_takes_about_a_week(autojump_clock: MockClock, kit: Kit) -> None:
    size = kit.store.space.soft_cap // 20
    for index in range(10):
        await put(kit.store, bytes(size), f"1.{index}")
    began = trio.current_time()
    await kit.whole_pass()
    took = trio.current_time() - began - REST_S
    assert took == pytest.approx(PASS_S / 2, rel=0.01)


async def test_it_waits_while_others_read_but_not_for_ever(autojump_clock: MockClock, kit: Kit) -> None:
    number = (await put(kit.store, b"abc", "1.1")).number
    began = trio.current_time()
    await kit.scrub.verify(number, kit.instance(number))
    assert trio.current_time() - began == pytest.approx(BREATH_S)
    with kit.store.pinned(99):
        began = trio.current_time()
        await kit.scrub._wait_quiet()
        assert trio.current_time() - began == pytest.approx(PATIENCE * LOOK_AGAIN_S)


async def test_it_goes_round_and_round(autojump_clock: MockClock, kit: Kit, nursery: trio.Nursery) -> None:
    await put(kit.store, b"abc", "1.1")
    await kit.damage(1)
    nursery.start_soon(kit.scrub.keep)
    await trio.sleep(2 * (PASS_S + REST_S))
    assert "1.1" in kit.hint()
    nursery.cancel_scope.cancel()


async def test_a_suspect_is_read_without_waiting_for_a_quiet_time(
    autojump_clock: MockClock, kit: Kit, nursery: trio.Nursery
) -> None:
    number = (await put(kit.store, bytes(3 << 20), "1.1")).number
    await kit.damage(number)
    nursery.start_soon(kit.scrub.keep_judging)
    began = trio.current_time()
    with kit.store.pinned(99):
        kit.store.suspects.note(number)
        await trio.testing.wait_all_tasks_blocked()
    assert "1.1" in kit.hint()
    assert trio.current_time() == began
    nursery.cancel_scope.cancel()


async def test_a_suspect_stays_one_while_somebody_else_looks_after_it(
    autojump_clock: MockClock, kit: Kit, nursery: trio.Nursery
) -> None:
    number = (await put(kit.store, b"abc", "1.1")).number
    nursery.start_soon(kit.scrub.keep_judging)
    with kit.scrub._alone(number):
        kit.store.suspects.note(number)
        await trio.sleep(5 * LOOK_AGAIN_S)
        assert kit.scrub.doubted == {number}
    await trio.sleep(2 * LOOK_AGAIN_S)
    assert kit.scrub.doubted == set()
    nursery.cancel_scope.cancel()


async def test_one_that_is_cut_off_while_it_is_read_stays_a_suspect(autojump_clock: MockClock, kit: Kit) -> None:
    number = (await put(kit.store, b"abc", "1.1")).number
    kit.store.suspects.note(number)
    with trio.CancelScope() as scope:
        scope.cancel()
        await kit.scrub.see_to(number, kit.instance(number), pause=False)
    assert kit.scrub.doubted == {number}
    assert await kit.scrub.see_to(number, kit.instance(number), pause=False)
    assert kit.scrub.doubted == set()


async def test_more_bad_ones_than_are_kept_are_left_to_the_next_pass(
    autojump_clock: MockClock, kit: Kit, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edged.services.findings.KEPT", 1)
    for index in range(2):
        await put(kit.store, b"abc", f"1.{index}")
    await kit.damage(1)
    nursery.start_soon(kit.scrub.keep_judging)
    with kit.scrub._alone(2):  # not even asked for
        for number in (1, 2):
            kit.store.suspects.note(number)
            await trio.testing.wait_all_tasks_blocked()
        assert kit.scrub.doubted == {1}
    nursery.cancel_scope.cancel()


async def test_a_store_that_cannot_write_does_not_end_it(
    autojump_clock: MockClock, kit: Kit, nursery: trio.Nursery
) -> None:
    for index in range(2):
        await put(kit.store, b"abc", f"1.{index}")
        await kit.damage(index + 1)
    with pytest.raises(StoreFailed):
        await kit.store.write(_fail)
    nursery.start_soon(keep_going, kit.scrub.keep_judging, kit.conditions)
    for number in (1, 2):
        kit.store.suspects.note(number)
    await trio.sleep(3 * AGAIN_S)
    assert kit.scrub.doubted == kit.scrub.bad == {1, 2}
    assert kit.store.suspects.numbers == set()
    assert {each.name for each in kit.conditions.snapshot()} == {FAILED, STORE_FAILED}
    nursery.cancel_scope.cancel()


def _fail(txn: Transaction) -> None:
    raise lmdb.DiskError("input/output error")
