"""What followers are told of themselves, and what is learned of them: sizes, patience, names, the newest event."""

import gc
import weakref
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path

import pytest
import trio
import trio.testing
from msgspec import structs
from trio.testing import MockClock

from edged.dicomweb.close_reason import CloseCode
from edged.dicomweb.data_set import first_of
from edged.dicomweb.event_report import EventKind
from edged.origin.notification_session import IN_FLIGHT
from edged.services.event_reports import Page, View
from edged.services.notifications import Position
from edged.services.subscribers import AWAY_S, PATIENCE_S
from edged.store.records import Event, Subscriber
from edged.store.schema import MAX_SUBSCRIBERS_OF_ONE
from edged.store.subscribers import note_subscribers, subscribers
from edged.store.transaction import Transaction
from edged.telemetry.clock import EARLIEST_POSSIBLE_S
from tests.support.follower_kit import (
    BEGIN,
    EACH,
    QUIET,
    TOKENS,
    Watching,
    note,
    record,
    told,
    watching,
)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Watching]:
    async with watching(tmp_path / "box", TOKENS) as opened:
        yield opened


async def test_a_plain_requester_of_short_connections_gets_on(box: Watching, autojump_clock: MockClock) -> None:
    await box.open(EACH)
    await box.instances_come(IN_FLIGHT + 10)
    follower = await box.open(EACH)
    for _ in range(3):
        assert await told(follower) == [(each,) for each in range(1, IN_FLIGHT + 1)]
        await trio.sleep(PATIENCE_S / 2)
        await follower.close()
        follower = await box.open(EACH)
        if record(box).acknowledges is False:
            break
    assert len(await told(follower)) == IN_FLIGHT + 10
    assert record(box).after == IN_FLIGHT + 10


async def test_what_went_into_a_line_that_was_cut_does_not_count(box: Watching, autojump_clock: MockClock) -> None:
    await box.open(EACH)
    await box.instances_come(1)
    for _ in range(5):
        follower = await box.open(EACH)
        assert await told(follower) == [(1,)]
        await trio.sleep(PATIENCE_S * 0.8)
        await follower.close(1006)
    assert (record(box).acknowledges, record(box).after) == (None, 0)


async def test_who_says_that_it_acknowledges_is_waited_for(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(f"{EACH}&acknowledge=yes")
    await box.instances_come(1)
    await trio.sleep(2 * PATIENCE_S)
    await follower.close()
    assert (record(box).acknowledges, record(box).after) == (True, 0)
    assert await told(await box.open(EACH)) == [(1,)]


async def test_who_says_that_it_never_acknowledges_is_served(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(f"{EACH}&acknowledge=no")
    await box.instances_come(2 * IN_FLIGHT)
    assert len(await told(follower)) == 2 * IN_FLIGHT
    assert record(box).after == 2 * IN_FLIGHT


@pytest.mark.parametrize("query", ["StudyUID=1.2", "acknowledge=maybe", "acknowledge=yes&acknowledge=no"])
async def test_a_mistyped_parameter_is_named(box: Watching, autojump_clock: MockClock, query: str) -> None:
    assert (await box.open(f"/?{query}")).status == 400


async def test_content_type_decides_where_anything_is_accepted(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open("/", {"accept": "*/*", "content-type": "application/dicom+xml"})
    assert follower.headers["content-type"] == "application/dicom+xml"
    assert (await box.open("/", {"accept": "*/*"})).headers["content-type"] == "application/dicom+json"


async def test_single_events_are_read_many_at_once(box: Watching, autojump_clock: MockClock) -> None:
    time = box.clock.wall()
    await box.happen(*(Event(kind=EventKind.CONFLICT, time=time, destination=str(each)) for each in range(1000)))
    await trio.sleep(QUIET)
    before = box.mortal.reads
    follower = await box.open(BEGIN)
    await trio.testing.wait_all_tasks_blocked()
    assert [each.numbers for each in follower.told] == [(each,) for each in range(1, 1001)]
    assert box.mortal.reads - before < 20


async def test_who_stands_still_holds_one_report(
    box: Watching, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that come after it in its page, which nobody else asks for any more."""
    monkeypatch.setattr("edged.services.notifications.KEPT_BYTES", 0)
    pages: list[weakref.ref[Page]] = []
    made = box.service._keep_page

    def noted(key: tuple[View, Position], page: Page) -> None:
        made(key, page)
        pages.append(weakref.ref(page))

    monkeypatch.setattr(box.service, "_keep_page", noted)
    await box.instances_come(100, studies=10)
    follower = await box.open(BEGIN, room=0)
    await trio.sleep(QUIET)
    gc.collect()
    assert [page() for page in pages] == [None]
    follower.read(100)
    await trio.testing.wait_all_tasks_blocked()
    assert sorted(number for each in follower.told for number in each.numbers) == list(range(1, 101))


async def test_a_log_that_ends_before_its_end_is_waited_for(box: Watching, autojump_clock: MockClock) -> None:
    """As where what was read is not there any more: no page is kept that would be wrong soon, and nobody spins."""
    follower = await box.open("/")
    box.service._closed_to += 1
    with trio.fail_after(2 * QUIET):
        await trio.sleep(QUIET)
    await box.instances_come(2)
    assert sorted(number for each in await told(follower) for number in each) == [1, 2]


async def test_a_report_that_is_too_big_is_passed_at_last(box: Watching, autojump_clock: MockClock) -> None:
    """It is the second one: the first was only on its way at the same time."""
    follower = await box.open(EACH)
    await box.instances_come(4)
    assert await told(follower) == [(1,), (2,), (3,), (4,)]
    await follower.close(1009)
    follower = await box.open(EACH)
    assert await told(follower) == [(1,)]
    follower.say("1")
    assert await told(follower) == [(1,), (2,), (3,), (4,)]
    for _ in range(3):
        assert (record(box).after, record(box).refused) == (1, 0)
        await follower.close(CloseCode.MESSAGE_TOO_BIG)
        await box.restart()
        follower = await box.open(EACH)
        await trio.sleep(QUIET)
    assert [each.numbers for each in follower.told] == [(3,), (4,)]
    assert (record(box).refused, record(box).refuses, record(box).choked) == (1, True, 0)
    assert "too big" in record(box).refusal
    assert box.conditions.stands("report-refused:MONITOR")


async def test_a_refusal_is_text_for_a_line(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await box.instances_come(1)
    await told(follower)
    follower.say("failure text/plain\r\n\x1b[2Jno\x00 room\r\n")
    await trio.sleep(1)
    assert record(box).refusal.split() == ["[2Jno", "room"]


async def test_one_credential_does_not_take_all_names(box: Watching, autojump_clock: MockClock) -> None:
    one, two, chief = ({"authorization": f"Bearer {name}"} for name in ("one", "two", "chief"))
    now = box.clock.wall()
    taken = Subscriber(after=0, since=now, seen=now, owner="one")
    await note(box, **{f"R{each}": taken for each in range(MAX_SUBSCRIBERS_OF_ONE)})
    assert (await box.open("/subscribers/another", one)).status == 503
    assert (await box.open("/subscribers/R7", one)).status == 101
    assert (await box.open("/subscribers/another", two)).status == 101
    assert (await box.open("/subscribers/boss", chief)).status == 101
    await note(box, R0=structs.replace(taken, seen=now - AWAY_S - 60))
    assert (await box.open("/subscribers/a-third", one)).status == 101
    assert "R0" not in box.store.read_now(subscribers)


async def test_the_newest_event_and_its_time_are_said(box: Watching, autojump_clock: MockClock) -> None:
    await box.instances_come(3)
    follower = await box.open("/")
    assert follower.headers["edged-event"] == "3"
    await box.happen(Event(kind=EventKind.CONFLICT, time=EARLIEST_POSSIBLE_S + 0.5))
    await told(follower)
    [report] = [each.report for each in follower.told]
    said = datetime.strptime(str(first_of(report.data_set, "00991007")), "%Y%m%d%H%M%S.%f%z")
    assert said.timestamp() == EARLIEST_POSSIBLE_S + 0.5


async def test_what_is_noted_while_a_newcomer_waits_is_not_overlooked(box: Watching, autojump_clock: MockClock) -> None:
    """The place of the old connection moves, and is written, between the admission and its answer."""
    old = await box.open(EACH)
    await box.instances_come(3)
    await told(old)
    write = box.mortal.write

    async def slow(apply: Callable[[Transaction], object], size: int = 0) -> object:
        answer = await write(apply, size)
        if getattr(apply, "func", None) is not note_subscribers:
            await trio.sleep(2)
        return answer

    box.mortal.write = slow  # type: ignore[assignment, method-assign]
    new = await box.open(EACH)
    old.say("1")
    await trio.sleep(3)
    assert await told(new) == [(2,), (3,)]
