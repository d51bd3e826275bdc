"""The event log: numbers without gaps, in the transaction that makes an event true, and cheap however long it is."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edged.dicomweb.event_report import EventKind
from edged.services.event_reports import Place, View, page_of
from edged.services.event_windows import MOST_EVENTS
from edged.store.events import TRIM_EVENTS, append_event, first_event, last_event, read_events, trim_events
from edged.store.instances import find_instance
from edged.store.queue import move
from edged.store.records import Delivery, DeliveryState, Event
from edged.store.schema import EVENTS, Table
from edged.store.store import Store, open_store
from edged.store.transaction import Row, Transaction
from tests.support.store_kit import CAPACITY, problems, put

LONG, SHORT = 20_000, 2_000


def event(number: int) -> Event:
    return Event(kind=EventKind.RECEIVED, time=float(number), sop_instance_uid=f"1.{number}", study_instance_uid="1")


async def filled(store: Store, events: int) -> None:
    def write(txn: Transaction) -> None:
        for number in range(1, events + 1):
            append_event(txn, event(number))

    await store.write(write)


class Touched:
    """A transaction that counts the rows of the log that are looked at."""

    def __init__(self, txn: Transaction) -> None:
        self._txn = txn
        self.rows_of_the_log = 0

    def rows(self, table: Table, prefix: bytes = b"", *, start: bytes | None = None) -> Iterator[Row]:
        for row in self._txn.rows(table, prefix, start=start):
            self.rows_of_the_log += table is EVENTS
            yield row

    def __getattr__(self, name: str) -> Any:
        return getattr(self._txn, name)


def touched(view: Callable[[Any], object], txn: Transaction) -> int:
    counting = Touched(txn)
    view(counting)
    return counting.rows_of_the_log


WORK: dict[str, Callable[[Any], object]] = {
    "a page": partial(page_of, view=View(Place("EDGED", "http://box")), after=1000, until=SHORT, most=MOST_EVENTS),
    "nothing new": partial(read_events, after=LONG, limit=10),
    "the ends": lambda txn: (first_event(txn), last_event(txn)),
    "nothing to trim": partial(trim_events, before=0.0),
}


@pytest.mark.parametrize("work", WORK)
async def test_what_is_looked_at_does_not_grow_with_the_log(tmp_path: Path, work: str) -> None:
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await filled(store, SHORT)
        short = await store.write(partial(touched, WORK[work]))
        await filled(store, LONG - SHORT)
        assert await store.write(partial(touched, WORK[work])) == short <= MOST_EVENTS + 1


async def test_trimming_goes_in_steps(tmp_path: Path) -> None:
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await filled(store, SHORT)
        trim = partial(trim_events, before=1500.0)
        assert await store.write(partial(touched, trim)) <= TRIM_EVENTS + 1
        assert await store.write(trim) == 499
        assert (store.read_now(first_event), store.read_now(last_event)) == (1500, SHORT)
        assert await store.write(partial(trim_events, before=0.0, keep=100)) == 401
        assert store.read_now(first_event) == SHORT - 99
        assert await store.write(partial(append_event, event=event(0))) == SHORT + 1
        assert problems(store) == []


async def test_an_emptied_log_goes_on_counting(tmp_path: Path) -> None:
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await filled(store, 10)
        await store.write(partial(trim_events, before=100.0))
        assert (store.read_now(first_event), store.read_now(last_event)) == (11, 10)
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        assert await store.write(partial(append_event, event=event(0))) == 11
        assert problems(store) == []


async def test_what_is_undone_was_no_event(tmp_path: Path) -> None:
    """A transaction that is aborted leaves neither the state nor the event."""
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await put(store, bytes(1000), "1.2.3.4.5")
        found = store.read_now(partial(find_instance, sop_instance_uid="1.2.3.4.5"))
        assert found is not None
        before = store.read_now(last_event)

        def sent_and_failed(txn: Transaction) -> None:
            to = Delivery(state=DeliveryState.SENT, since=1.0, evidence="stored")
            assert move(txn, found[0], 1, expected=(DeliveryState.HELD,), to=to)
            assert last_event(txn) == before + 1
            raise RuntimeError("the power goes")

        with pytest.raises(RuntimeError):
            await store.write(sent_and_failed)
        assert store.read_now(last_event) == before
        assert [number for number, _ in store.read_now(partial(read_events, after=0, limit=10))] == [before]


async def test_what_is_told_together_is_not_cut(tmp_path: Path) -> None:
    async with open_store(tmp_path / "box", CAPACITY, inline=True) as store:
        await filled(store, SHORT)
        trim = partial(trim_events, before=1000.0, step=MOST_EVENTS)
        assert await store.write(trim) == 1000 - MOST_EVENTS
        assert await store.write(trim) == 0
        assert store.read_now(first_event) % MOST_EVENTS == 1
