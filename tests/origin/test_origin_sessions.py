"""Sessions of followers in virtual time: who acknowledges and who does not, what is shared, what they leave behind."""

import io
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pydicom
import pytest
import trio
import trio.testing
from msgspec import structs
from trio.testing import MockClock

from edged.dicomweb.close_reason import CloseCode
from edged.dicomweb.event_report import EventKind
from edged.origin.notification_session import IN_FLIGHT, STALLED_S
from edged.services.followers import MOST_NAMED, followers
from edged.services.refusals import EVERY_S
from edged.services.subscribers import AWAY_S, PATIENCE_S
from edged.store.events import trim_events
from edged.store.records import Event, Subscriber
from edged.store.schema import MAX_SUBSCRIBERS
from edged.store.subscribers import subscribers
from edged.telemetry.clock import EARLIEST_POSSIBLE_S
from tests.support.follower_kit import BEGIN, EACH, MONITOR, QUIET, TOKENS, Watching, note, record, told, watching


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Watching]:
    async with watching(tmp_path / "box", TOKENS) as opened:
        yield opened


async def test_a_plain_requester_is_served_and_its_place_moves(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await box.instances_come(IN_FLIGHT + 10)
    assert await told(follower) == [(each,) for each in range(1, IN_FLIGHT + 1)]
    await trio.sleep(PATIENCE_S)
    assert len(follower.messages) == IN_FLIGHT + 10
    await follower.close()
    assert (record(box).acknowledges, record(box).after) == (False, IN_FLIGHT + 10)
    again = await box.open(EACH)
    assert await told(again) == []
    await box.instances_come(2 * IN_FLIGHT)
    assert len(await told(again)) == 2 * IN_FLIGHT


async def test_patience_begins_with_the_first_report(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await trio.sleep(PATIENCE_S - 0.1)
    await box.instances_come(1)
    await trio.sleep(PATIENCE_S / 2)
    assert follower.messages
    await follower.close()
    assert (record(box).acknowledges, record(box).after) == (None, 0)


async def test_who_acknowledges_late_answers_the_first_report_first(box: Watching, autojump_clock: MockClock) -> None:
    """What it was sent as a plain requester counts as taken, and none of its answers counts for a later report."""
    follower = await box.open(EACH)
    await box.instances_come(5)
    await trio.sleep(PATIENCE_S + 1)
    await box.instances_come(1)
    await told(follower)
    assert record(box).acknowledges is False
    follower.say("1")
    await trio.sleep(1)
    assert record(box).acknowledges is True
    await box.instances_come(3)
    await told(follower)
    for _ in range(6):
        follower.say("1")
    await trio.sleep(1)
    assert record(box).after == 7
    await follower.close()
    assert await told(await box.open(EACH)) == [(8,), (9,)]


async def test_one_that_does_not_acknowledge_any_more_is_let_go(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await box.instances_come(IN_FLIGHT + 2)
    await told(follower)
    follower.say("1")
    await trio.sleep(STALLED_S - 10)
    assert (follower.code, len(follower.messages)) == (0, IN_FLIGHT + 1)
    await trio.sleep(20)
    assert follower.code == CloseCode.POLICY_VIOLATION
    assert "acknowledge" in follower.reason
    assert record(box).after == 1


async def test_answers_that_nothing_was_asked_for_count_for_nothing(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    for _ in range(3):
        follower.say("success application/json\r\n")
    await box.instances_come(2)
    assert await told(follower) == [(1,), (2,)]
    await follower.close()
    assert (record(box).acknowledges, record(box).after) == (True, 0)


async def test_a_refusal_is_kept_and_shown_and_not_sent_again(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await box.instances_come(2)
    await told(follower)
    follower.say(b"2 failure application/dicom+json\r\n" + b"no room" * 200)
    await trio.sleep(1)
    [named] = box.notifications()["named"]
    assert (named["after"], named["refused"], named["refuses"], named["acknowledges"]) == (1, 1, True, True)
    assert named["refusal"].startswith("no room")
    assert len(named["refusal"]) == 500
    assert box.conditions.stands("report-refused:MONITOR")
    await box.restart()
    await trio.testing.wait_all_tasks_blocked()
    assert box.conditions.stands("report-refused:MONITOR")
    follower = await box.open(EACH)
    assert await told(follower) == [(2,)]
    follower.say("1")
    await trio.sleep(EVERY_S)
    assert not box.conditions.stands("report-refused:MONITOR")
    [named] = box.notifications()["named"]
    assert (named["after"], named["refused"], named["refuses"]) == (2, 1, False)


async def test_a_message_that_has_begun_ends_before_the_connection_does(
    box: Watching, autojump_clock: MockClock
) -> None:
    old = await box.open(EACH, room=0)
    await box.instances_come(3)
    await trio.sleep(QUIET)
    await box.open(EACH)
    assert old.code == 0
    old.read(1)
    await old.wait_ended()
    assert (old.code, len(old.messages)) == (CloseCode.REPLACED, 1)


async def test_one_that_does_not_read_is_cut_all_the_same(box: Watching, autojump_clock: MockClock) -> None:
    old = await box.open(EACH, room=0)
    await box.instances_come(3)
    await trio.sleep(QUIET)
    new = await box.open(EACH)
    await old.wait_ended()
    assert await told(new) == [(1,), (2,), (3,)]


async def test_a_gap_in_a_window_that_was_half_taken(box: Watching, autojump_clock: MockClock) -> None:
    """The gap is a report of a window that happens to end where the half-taken one did: it must not be passed over."""
    follower = await box.open(MONITOR)
    await box.instances_come(4, studies=2)
    assert await told(follower) == [(1, 3), (2, 4)]
    follower.say("1")
    await follower.close()
    await box.instances_come(1)
    await box.store.write(partial(trim_events, before=0.0, keep=1))
    again = await box.open(MONITOR)
    assert await told(again) == [(1, 2, 3, 4), (5,)]
    assert [each.is_gap for each in again.told] == [True, False]


async def test_no_gap_is_told_where_there_is_none(box: Watching, autojump_clock: MockClock) -> None:
    await box.instances_come(10)
    await trio.sleep(QUIET)
    await box.store.write(partial(trim_events, before=0.0, keep=4))
    assert [each.is_gap for each in (await box.open("/?after=6")).told] == [False]
    assert [each.is_gap for each in (await box.open("/?after=5")).told] == [True, False]
    everything = await box.open(BEGIN)
    assert [(each.report.first, each.report.last, each.resume) for each in everything.told] == [(1, 6, 6), (7, 10, 10)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kinds=condition-raised", [(3,)]),
        ("kinds=received,sent", [(1, 4), (2,)]),
        ("kinds=received&kinds=condition-raised", [(1,), (2,), (3,), (4,)]),
        ("StudyInstanceUID=1.2.2", [(1,), (4,)]),
        ("0020000D=1.2.2,1.2.9", [(1,), (4,)]),
        ("SOPInstanceUID=1.2.1.1.2", [(2,)]),
        ("StudyInstanceUID=1.2.1&granularity=instance", [(2,)]),
        ("SeriesInstanceUID=1.2.2.1&SOPClassUID=1.2.840.10008.5.1.4.1.1.7", [(1,), (4,)]),
        ("destination=archive", [(3,)]),
        ("TransactionUID=1.2.3", []),
        ("StudyInstanceUID=1.2.2&kinds=condition-raised", []),
    ],
)
async def test_what_is_asked_for(
    box: Watching, autojump_clock: MockClock, query: str, expected: list[tuple[int, ...]]
) -> None:
    condition = Event(kind=EventKind.CONDITION_RAISED, time=box.clock.wall(), destination="archive")
    await box.happen(box.about(1, study=2), box.about(2), condition, box.about(4, study=2))
    if query == "kinds=received,sent":  # a window of its own lies between
        expected = [(1,), (2,), (4,)]
    assert await told(await box.open(f"{BEGIN}&{query}")) == expected


async def test_what_was_passed_over_is_not_looked_at_again(box: Watching, autojump_clock: MockClock) -> None:
    query = f"{MONITOR}?kinds=condition-raised"
    follower = await box.open(query)
    await box.instances_come(10)
    await told(follower)
    await follower.close()
    assert record(box).after == 10
    other = await box.open(f"{MONITOR}?kinds=received")
    assert await told(other) == []


async def test_a_thousand_followers_share_one_reading_and_one_text(box: Watching, autojump_clock: MockClock) -> None:
    crowd = [await box.open("/") for _ in range(20)]
    crowd += [await box.open("/", {"accept": "application/dicom+xml"}) for _ in range(20)]
    async with trio.open_nursery() as nursery:
        for number in range(960):
            nursery.start_soon(box.open, f"/subscribers/{number}")
    crowd = box.followers
    before = box.mortal.reads
    await box.instances_come(200, studies=2)
    await trio.sleep(QUIET)
    assert {len(each.messages) for each in crowd} == {2}
    for index in range(2):
        assert len({id(each.messages[index]) for each in crowd}) == 2  # JSON and XML
    assert box.mortal.reads - before < 20
    assert box.live.followers.connected == 1000
    state = box.notifications()
    assert (state["connected"], state["named_total"], len(state["named"])) == (1000, 960, MOST_NAMED)


async def test_there_is_room_for_so_many_names(box: Watching, autojump_clock: MockClock) -> None:
    now = EARLIEST_POSSIBLE_S
    await note(box, **{f"R{each}": Subscriber(after=0, since=now, seen=now) for each in range(MAX_SUBSCRIBERS)})
    refused = await box.open("/subscribers/another")
    assert (refused.status, refused.headers["retry-after"]) == (503, "3600")
    assert (await box.open("/subscribers/R7")).status == 101
    long_ago = Subscriber(after=0, since=0, seen=now - AWAY_S - 60)
    await note(box, R0=long_ago, R7=structs.replace(long_ago, seen=0))
    assert (await box.open("/subscribers/another")).status == 101
    names = box.store.read_now(subscribers)
    assert len(names) == MAX_SUBSCRIBERS
    assert {"another", "R7"} <= names.keys()
    assert "R0" not in names


async def test_a_name_belongs_to_whom_it_came_with(box: Watching, autojump_clock: MockClock) -> None:
    tokens = {name: {"authorization": f"Bearer {name}"} for name in ("one", "two", "chief")}
    assert (await box.open(MONITOR, tokens["one"])).status == 101
    assert (await box.open(MONITOR, tokens["two"])).status == 403
    assert (await box.open(MONITOR, tokens["chief"])).status == 101
    assert record(box).owner == "one"
    assert (await box.open(MONITOR, tokens["one"])).status == 101


async def test_a_place_is_written_soon_and_not_at_every_answer(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open(EACH)
    await box.instances_come(50)
    await told(follower)
    for _ in range(50):
        follower.say("1")
    await trio.testing.wait_all_tasks_blocked()
    assert record(box).after == 0
    await trio.sleep(1)
    assert record(box).after == 50
    await box.restart(power_cut=True)
    assert await told(await box.open(EACH)) == []


async def test_the_place_of_a_newcomer_is_where_it_began(box: Watching, autojump_clock: MockClock) -> None:
    await box.instances_come(3)
    await box.open(EACH)
    await box.restart(power_cut=True)
    await box.instances_come(1)
    assert await told(await box.open(EACH)) == [(4,)]


async def test_after_moves_a_place(box: Watching, autojump_clock: MockClock) -> None:
    await note(box, MONITOR=Subscriber(after=0, since=0, seen=0, acknowledges=True))
    await box.instances_come(5)
    assert await told(await box.open(f"{EACH}&after=3")) == [(4,), (5,)]
    await box.restart()
    assert record(box).after == 3
    assert await told(await box.open(f"{EACH}&after=0")) == [(each,) for each in range(1, 6)]


async def test_events_that_nobody_rang_for_are_told(box: Watching, autojump_clock: MockClock) -> None:
    follower = await box.open("/")
    box.bells.logged = type(box.bells.logged)()
    await box.instances_come(1)
    assert await told(follower) == [(1,)]


@pytest.mark.parametrize("accept", ["application/dicom", "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"])
async def test_binary_reports_are_files_that_others_read(box: Watching, autojump_clock: MockClock, accept: str) -> None:
    follower = await box.open("/", {"accept": accept})
    assert follower.headers["content-type"] == "application/dicom"
    await box.instances_come(3)
    hint = "Räume ein: 部屋"
    condition = Event(kind=EventKind.CONDITION_RAISED, time=box.clock.wall(), destination="filling", text=hint)
    await box.happen(condition)
    await trio.sleep(QUIET)
    files = [message for message in follower.messages if isinstance(message, bytes)]
    instances, raised = [pydicom.dcmread(io.BytesIO(each)) for each in files]
    assert instances.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert (instances.CommandField, instances.EventTypeID, instances.MessageID) == (0x0100, 1, 3)
    assert instances.AffectedSOPClassUID == instances.file_meta.MediaStorageSOPClassUID
    [series] = instances.ReferencedSeriesSequence
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == list(box.instances)
    block = instances.private_block(0x0099, "EDGED 1.0")
    assert [block[each].value for each in (1, 2, 3, 6)] == [3, 1, "received", 3]
    block = raised.private_block(0x0099, "EDGED 1.0")
    assert [block[each].value for each in (3, 4, 5)] == ["condition-raised", "filling", hint]


@pytest.mark.parametrize(
    ("headers", "query", "content_type"),
    [
        ({"accept": "application/json"}, "", "application/json"),
        ({}, "?accept=application/json", "application/json"),
        ({}, "?accept=application/dicom", "application/dicom"),
        ({"accept": "application/dicom;q=0.1, application/dicom+json"}, "", "application/dicom+json"),
    ],
)
async def test_the_form_is_said(
    box: Watching, autojump_clock: MockClock, headers: dict[str, str], query: str, content_type: str
) -> None:
    follower = await box.open(f"/{query}", headers)
    assert (follower.status, follower.headers["content-type"]) == (101, content_type)


async def test_nobody_follows(box: Watching, autojump_clock: MockClock) -> None:
    state = box.store.read_now(partial(followers, live=box.live.followers))
    assert state == {"newest_event": 0, "oldest_event": 1, "connected": 0, "named_total": 0, "named": []}
    follower = await box.open("/")
    assert box.live.followers.connected == 1
    await follower.close()
    assert box.live.followers == structs.replace(box.live.followers, connected=0, names=frozenset())
