"""The services that run beside requests: deciding commitments, following events, the journal, trimming, the state."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.dicomweb.data_set import DataSet, text_of
from edged.dicomweb.dictionary import EVENT_KIND, EVENT_SUBJECT
from edged.dicomweb.event_report import EventKind
from edged.dicomweb.json_model import from_json
from edged.services.event_reports import Place, View
from edged.services.journal import WAITING
from edged.services.notifications import AT_ONCE, NotificationService, Position
from edged.services.retrieve import WebForm
from edged.services.trimming import keep_trimmed
from edged.store.errors import InstanceGone
from edged.store.events import last_event, read_events
from edged.store.instances import find_instance
from edged.store.records import DeliveryState
from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Severity
from edged.telemetry.live import DestinationLive, DestinationState
from tests.support.box_kit import ARCHIVE, Box, opened_box
from tests.support.commitment_kit import JSON, moved, sop_form
from tests.support.stow_kit import made, named

ONE, TWO = named(1), named(2)
EACH = View(Place("EDGED", "http://box.example"), each=True)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with opened_box(tmp_path, ARCHIVE) as opened:
        yield opened


@pytest.fixture
def events(box: Box) -> NotificationService:
    return box.parts.notifications


async def told_by(events: NotificationService, after: int) -> AsyncGenerator[DataSet, None]:
    """The reports of each event after a number, as they come."""
    async with aclosing(events.follow(EACH, Position(after))) as pages:
        async for report, _ in pages:
            if report is not None:
                assert isinstance(report.message, str)
                yield from_json(report.message.encode())[0]


async def newest(events: NotificationService) -> int:
    return (await events.extent())[1]


def kind(report: DataSet) -> str | None:
    return text_of(report, EVENT_KIND.tag)


async def test_open_requests_are_decided_when_something_is_proven(
    box: Box, events: NotificationService, nursery: trio.Nursery
) -> None:
    await box.stow(made(ONE))
    assert (await box.ask("POST", "/commitment-requests/1.2.3", JSON, sop_form([ONE]))).status == 202
    after = await newest(events)
    nursery.start_soon(box.commitment.keep_deciding)
    await moved(box, ONE, DeliveryState.COMMITTED, proof="dicomweb")
    reports = told_by(events, after)
    assert [kind(await anext(reports)) for _ in range(2)] == [EventKind.COMMITTED, EventKind.COMMITMENT_RESULT]
    await reports.aclose()


async def test_a_follower_reads_as_much_as_there_is(box: Box, events: NotificationService) -> None:
    parts = [made(named(number), size=600) for number in range(3 * AT_ONCE)]
    await box.stow(*parts)
    reports = told_by(events, 0)
    assert [kind(await anext(reports)) for _ in parts] == [EventKind.RECEIVED] * len(parts)
    with trio.move_on_after(0) as waited:
        await anext(reports)
    assert waited.cancelled_caught
    await reports.aclose()


async def test_a_follower_waits_for_what_comes(box: Box, events: NotificationService) -> None:
    reports = told_by(events, await newest(events))
    seen: list[str | None] = []

    async def follow() -> None:
        seen.append(kind(await anext(reports)))

    async with trio.open_nursery() as following:
        following.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == []
        await box.stow(made(ONE))
    assert seen == [EventKind.RECEIVED]
    await reports.aclose()


async def test_destinations_that_go_down_and_up(box: Box, events: NotificationService) -> None:
    after = await newest(events)
    for state in (DestinationState.UP, DestinationState.RETRYING, DestinationState.RETRYING, DestinationState.UP):
        box.journal.destination_changed("archive", DestinationLive(state=state))
    reports = told_by(events, after)
    told = [await anext(reports) for _ in range(2)]
    assert [kind(each) for each in told] == [EventKind.DESTINATION_DOWN, EventKind.DESTINATION_UP]
    assert {text_of(each, EVENT_SUBJECT.tag) for each in told} == {"archive"}
    await reports.aclose()


async def test_what_a_daemon_before_has_told_is_told_to_be_over(tmp_path: Path) -> None:
    async with opened_box(tmp_path, ARCHIVE, keep=True) as box:
        box.conditions.raise_("failing", Severity.WARNING, "Wait.")
        box.conditions.raise_("passing", Severity.WARNING, "Wait.")
        box.conditions.clear("passing")
        box.journal.destination_changed("archive", DestinationLive(state=DestinationState.RETRYING))
        before = told_by(box.parts.notifications, 0)
        assert [kind(await anext(before)) for _ in range(4)][-1] == EventKind.DESTINATION_DOWN
        await before.aclose()
    async with opened_box(tmp_path, ARCHIVE) as box:
        box.journal.destination_changed("archive", DestinationLive(state=DestinationState.UP))
        after = told_by(box.parts.notifications, 4)
        told = [await anext(after) for _ in range(2)]
        assert [(kind(each), text_of(each, EVENT_SUBJECT.tag)) for each in told] == [
            (EventKind.CONDITION_CLEARED, "failing"),
            (EventKind.DESTINATION_UP, "archive"),
        ]
        await after.aclose()


async def test_the_journal_is_bounded(box: Box, events: NotificationService) -> None:
    after = await newest(events)
    for _ in range(WAITING):
        box.conditions.raise_("flapping", Severity.INFO, "Wait.")
        box.conditions.clear("flapping")
    box.conditions.raise_("last", Severity.INFO, "Wait.")
    reports = told_by(events, after)
    told = [await anext(reports) for _ in range(WAITING)]
    assert {text_of(each, EVENT_SUBJECT.tag) for each in told} == {"flapping"}
    await reports.aclose()


async def test_old_events_are_trimmed(box: Box, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    await box.stow(made(ONE))
    assert isinstance(box.clock, ManualClock)
    box.clock.advance(100.0)
    await box.stow(made(TWO))
    monkeypatch.setattr("edged.services.trimming.MOST_EVENTS", 1)
    await nursery.start(trimmed_once, box, 50.0)
    assert [event.sop_instance_uid for _, event in box.store.read_now(partial(read_events, after=0, limit=10))] == [
        TWO.instance
    ]
    assert box.store.read_now(last_event) == 2


async def test_an_untrusted_clock_trims_nothing(box: Box, nursery: trio.Nursery) -> None:
    await box.stow(made(ONE))
    assert isinstance(box.clock, ManualClock)
    box.clock.set_wall(box.clock.wall() + 1e9, trusted=False)
    await nursery.start(trimmed_once, box, 50.0)
    assert len(box.store.read_now(partial(read_events, after=0, limit=10))) == 1


async def trimmed_once(box: Box, keep_s: float, *, task_status: trio.TaskStatus[None]) -> None:
    """Run the trimmer until it waits for its next time."""
    async with trio.open_nursery() as trimming:
        trimming.start_soon(partial(keep_trimmed, box.store, box.clock, keep_s=keep_s, memory=10))
        await trio.testing.wait_all_tasks_blocked()
        await box.store.write(lambda _: None)
        await trio.testing.wait_all_tasks_blocked()
        trimming.cancel_scope.cancel()
    task_status.started()


async def test_a_form_whose_chunks_are_gone(box: Box) -> None:
    await box.stow(made(ONE))
    found = await box.store.read(partial(find_instance, sop_instance_uid=ONE.instance))
    assert found is not None
    pieces = WebForm(box.store, found[0] + 1, found[1]).pieces()
    with pytest.raises(InstanceGone):
        await anext(pieces)
    await pieces.aclose()
