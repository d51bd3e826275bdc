"""Listening to a destination, in virtual time: results that come as events, and whatever else its stream may be."""

import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock
from trio_websocket import ConnectionClosed, wrap_server_stream

from edged.dicom.reasons import FailureReason
from edged.dicomweb.event_report import EventHead, EventKind, commitment_event
from edged.dicomweb.representation import DICOM_JSON, write_data_set
from edged.store.commitments import asks
from edged.store.queue import figures
from edged.store.records import DeliveryState
from tests.support.archive.rules import Archive
from tests.support.archive.serving import connector_to
from tests.support.archive.values import Asked, Reply, committed
from tests.support.committing import Committing
from tests.support.following_kit import Script, octets, refusing, report
from tests.support.memory_wire import Half, connector
from tests.support.stow_kit import MULTIPART, made, multipart, named
from tests.support.week.box import WeekBox, week_box

CT = "1.2.840.10008.5.1.4.1.1.2"
LATER = Reply(202, headers=(("retry-after", "3600"),))
WADL = b'<resource path="studies"/><resource path="commitment-requests"/><resource path="/subscribers/{requester}"/>'
BOTH = [named(1), named(2)]


class Events:
    """A server of events: says what it is told to, and notes how it was asked."""

    def __init__(self) -> None:
        self.resources: list[str] = []
        self.answers: list[str | bytes] = []
        self._say, self._said = trio.open_memory_channel[str](100)

    async def say(self, message: str) -> None:
        """Send a message and wait for its acknowledgement."""
        count = len(self.answers)
        await self._say.send(message)
        await until(lambda: len(self.answers) > count, step_s=0.1)

    async def __call__(self, half: Half) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, half)
            self.resources.append(request.path)
            session = await request.accept(extra_headers=[(b"content-type", b"application/dicom+json")])
            try:
                async for message in self._said:
                    await session.send_message(message)
                    self.answers.append(await session.get_message())
            except ConnectionClosed:
                return


def result(uid: str, done: list[str], failed: Mapping[str, FailureReason] | None = None) -> str:
    """A result of storage commitment as an event."""
    lost = {(CT, each): reason for each, reason in (failed or {}).items()}
    head = EventHead(EventKind.COMMITMENT_RESULT, last=1, first=1, resume=1)
    data_set = commitment_event(head, uid, committed=[(CT, each) for each in done], failed=lost)
    return write_data_set(data_set, DICOM_JSON).body.decode()


@asynccontextmanager
async def listening(
    folder: Path, script: Script, *, notifications: str = "wss://events.example/dicom-web", described: bytes = WADL
) -> AsyncIterator[tuple[Archive, WeekBox]]:
    """A box whose archive commits to nothing within the hour, unless its events do."""
    archive = Archive()
    archive.on_commitment = lambda _: LATER
    archive.on_options = lambda _: Reply(200, described)
    url = notifications.replace("wss:", "ws:")
    config = f'[[destination]]\nname = "archive"\nurl = "http://archive.example/dicom-web"\nnotifications = "{url}"\n'

    async with trio.open_nursery() as nursery:
        plain, events = connector_to(archive, nursery), connector(nursery, script)
        connectors = {"archive.example": plain, "events.example": events}
        async with week_box(folder, config, connectors) as box:
            yield archive, box
        nursery.cancel_scope.cancel()
    shutil.rmtree(folder / "box")


async def store_both(archive: Archive, box: WeekBox) -> str:
    """Hand in two instances; the Transaction UID under which the archive is asked for both."""
    body = multipart([made(each, size=600) for each in BOTH])
    answer = await box.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)
    assert answer is not None
    assert answer.status == 200
    await until(lambda: len(asked(archive)) == 1)
    return asked(archive)[0]


def asked(archive: Archive) -> list[str]:
    """The Transaction UIDs of requests for both instances."""
    return [each.transaction_uid for each in archive.commitments if len(each.listed) == len(BOTH)]


async def until(holds: Callable[[], bool], *, step_s: float = 1.0) -> None:
    with trio.fail_after(100_000):
        while not holds():  # noqa: ASYNC110 - virtual time
            await trio.sleep(step_s)


def at(box: WeekBox) -> dict[str, int]:
    """How many instances are in which state."""
    parts = box.parts
    number = parts.routes.ids["archive"]
    rows = {
        state.name.lower(): parts.store.read_now(partial(figures, destination=number, state=state)).rows
        for state in DeliveryState
    }
    return +Counter(rows)


def told(box: WeekBox) -> str | None:
    return box.parts.live.destinations["archive"].notifications


async def test_a_result_settles_its_request_before_the_next_check(tmp_path: Path, autojump_clock: MockClock) -> None:
    events = Events()
    async with listening(tmp_path, events) as (archive, box):
        uid = await store_both(archive, box)
        began = trio.current_time()
        await events.say(result(uid, [each.instance for each in BOTH]))
        assert at(box) == {"committed": 2}
        assert trio.current_time() - began < 1
        assert told(box) == "listening"
        await trio.sleep(2 * 3600)
        assert [each.method for each in archive.commitments] == ["POST"]
        assert box.parts.store.read_now(partial(asks, destination=box.parts.routes.ids["archive"])) == {}
    assert events.resources == ["/dicom-web/subscribers/edged?kinds=commitment-result&acknowledge=yes"]
    assert events.answers == [b"success application/dicom+json\r\n"]


async def test_what_is_not_ours_is_taken_and_left(tmp_path: Path, autojump_clock: MockClock) -> None:
    events = Events()
    async with listening(tmp_path, events) as (archive, box):
        await store_both(archive, box)
        await events.say(result("2.25.1", [each.instance for each in BOTH]))
        await events.say(report(1))
        await events.say('{"00001000": {"vr": "UI", "Value": ["1.2.3"]}}')
        await events.say("no report")
        assert at(box) == {"sent": 2}
        assert told(box) == "listening"
    assert [bytes(each)[:7] for each in events.answers if isinstance(each, bytes)] == [*3 * [b"success"], b"failure"]


async def test_a_result_without_an_instance_leaves_it_open(tmp_path: Path, autojump_clock: MockClock) -> None:
    events = Events()
    async with listening(tmp_path, events) as (archive, box):
        uid = await store_both(archive, box)
        await events.say(result(uid, [BOTH[0].instance]))
        await until(lambda: len(archive.commitments) > 1)
        assert at(box) == {"committed": 1, "sent": 1}
        assert archive.commitments[-1].transaction_uid != uid
        assert archive.commitments[-1].listed == [BOTH[1].instance]


async def test_an_instance_that_is_not_there_is_sent_again(tmp_path: Path, autojump_clock: MockClock) -> None:
    events = Events()
    async with listening(tmp_path, events) as (archive, box):
        uid = await store_both(archive, box)
        archive.lose(BOTH[1].instance)
        archive.on_commitment = Committing(archive).at_once
        missing = {BOTH[1].instance: FailureReason.NO_SUCH_OBJECT_INSTANCE}
        await events.say(result(uid, [BOTH[0].instance], missing))
        assert at(box) == {"committed": 1, "sent": 1}
        await until(lambda: BOTH[1].instance in archive.stored, step_s=60)


@pytest.mark.parametrize("event_first", [True, False])
async def test_of_two_results_the_first_one_counts(
    event_first: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The check says that neither is there, the event that both are."""
    events, gate = Events(), trio.Event()
    uids = [each.instance for each in BOTH]

    def check(asked: Asked) -> Reply:
        if asked.method == "POST":
            return Reply(202)
        neither = committed(failed=dict.fromkeys(uids, 0x0110))
        return Reply(neither.status, neither.body, neither.headers, after=gate)

    async with listening(tmp_path, events) as (archive, box):
        archive.on_commitment = check
        uid = await store_both(archive, box)
        await until(lambda: archive.commitments[-1].method == "GET")
        archive.on_commitment = lambda _: LATER
        if not event_first:
            gate.set()
            await trio.sleep(1)
        await events.say(result(uid, uids))
        gate.set()
        await trio.sleep(1)
        assert at(box) == ({"committed": 2} if event_first else {"sent": 2})


@pytest.mark.parametrize(
    ("script", "why"),
    [
        (refusing(404), "not-offered"),
        (refusing(401), "events.example:80 opened no notification connection (401)"),
        (refusing(503, "Retry-After: 5\r\n"), "events.example:80 opened no notification connection (503)"),
        (octets(b"nonsense\r\n\r\n"), "events.example:80"),
        (octets(b""), "events.example:80: the connection was closed before the handshake was answered"),
    ],
)
async def test_what_is_wrong_there_holds_nothing_up(
    script: Script, why: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with listening(tmp_path, script) as (archive, box):
        uids = [each.instance for each in BOTH]
        archive.on_commitment = lambda asked: Reply(202) if asked.method == "POST" else committed(uids)
        await store_both(archive, box)
        await until(lambda: at(box) == {"committed": 2})
        assert (told(box) or "").startswith(why)
        live = box.parts.live.destinations["archive"]
        assert (live.state, live.last_error) == ("up", None)
        assert [each.name for each in box.parts.conditions.snapshot() if "archive" in each.name] == []


async def test_a_service_that_knows_no_names_is_followed_without(tmp_path: Path, autojump_clock: MockClock) -> None:
    events = Events()
    scripts: list[Script] = [refusing(400), events]

    async def first_refuse(half: Half) -> None:
        await (scripts.pop(0) if len(scripts) > 1 else events)(half)

    async with listening(tmp_path, first_refuse) as (archive, box):
        uid = await store_both(archive, box)
        await events.say(result(uid, [each.instance for each in BOTH]))
        assert at(box) == {"committed": 2}
    assert events.resources == ["/dicom-web/"]


@pytest.mark.parametrize(
    ("notifications", "described", "told_then"),
    [
        ("off", WADL, None),
        ("auto", WADL.replace(b"subscribers", b"others"), "not-offered"),
        ("auto", WADL, "archive.example:80"),  # it lists what it does not have, and answers with a page
    ],
)
async def test_where_it_does_not_listen(
    notifications: str, described: bytes, told_then: str | None, tmp_path: Path, autojump_clock: MockClock
) -> None:
    events = Events()
    async with listening(tmp_path, events, notifications=notifications, described=described) as (archive, box):
        archive.on_opening = lambda _: Reply(403)
        await store_both(archive, box)
        await trio.sleep(5)
        said = told(box)
        assert (said or "").startswith(told_then or "nothing") if told_then else said is None
        assert bool(archive.openings) == (told_then == "archive.example:80")
    assert events.resources == []
