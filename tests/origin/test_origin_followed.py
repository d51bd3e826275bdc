"""Whatever happens to a named requester and its connections, what it has taken is the log, in order."""

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.dicomweb.event_report import EventKind
from edged.store.events import first_event, trim_events
from edged.store.records import Event
from tests.support.follower_kit import Follower, Told, Watching, watching

STEPS = st.one_of(
    st.tuples(st.just("instances"), st.integers(1, 40)),
    st.tuples(st.just("condition"), st.just(0)),
    st.tuples(st.just("connect"), st.just(0)),
    st.tuples(st.just("read"), st.integers(1, 60)),
    st.tuples(st.just("acknowledge"), st.integers(1, 60)),
    st.tuples(st.just("drop"), st.just(0)),
    st.tuples(st.just("restart"), st.just(0)),
    st.tuples(st.just("power cut"), st.just(0)),
    st.tuples(st.just("trim"), st.integers(1, 30)),
    st.tuples(st.just("wait"), st.sampled_from([1, 3, 30, 400])),
)
QUERIES = st.sampled_from(["", "granularity=instance", "kinds=received", "granularity=instance&kinds=received"])


@dataclass
class Requester:
    """One with a name, which acknowledges what it has taken, and what must hold for it."""

    box: Watching
    query: str
    begin: int
    connection: Follower | None = None
    acknowledged: int = 0
    read: int = 0
    """Reports, of this connection."""
    known: set[int] = field(default_factory=set)
    """Numbers of events that it was told of, or told that they are not kept."""
    certain: set[int] = field(default_factory=set)
    """Of those that it has acknowledged, while nothing was lost of it."""

    async def connect(self) -> None:
        await self.drop()
        self.connection = await self.box.open(f"/subscribers/MONITOR?{self.query}", room=0)
        assert self.connection.status == 101
        self.read = self.acknowledged = 0

    async def drop(self) -> None:
        if self.connection is not None:
            self.look()
            await self.connection.close(1006)
        self.connection = None

    async def take(self, count: float) -> None:
        if self.connection is not None:
            self.connection.read(count)
            await trio.testing.wait_all_tasks_blocked()
            self.look()

    async def acknowledge(self, count: int) -> None:
        if self.connection is None:
            return
        self.look()
        for told in self.connection.told[self.acknowledged : self.acknowledged + count]:
            self.connection.say("success application/dicom+json\r\n")
            self.acknowledged += 1
            self.certain |= set(told.numbers)
        await trio.testing.wait_all_tasks_blocked()

    def look(self) -> None:
        """At what has come since."""
        assert self.connection is not None
        for told in self.connection.told[self.read :]:
            self._judge(told)
            self.read += 1

    def _judge(self, told: Told) -> None:
        first = self.box.store.read_now(first_event)
        if told.is_gap:
            assert told.numbers[-1] < first
            self.certain.clear()  # part of a window may come again
        elif self.connection is not None:
            assert not self.certain & set(told.numbers), "it has acknowledged that"
        self.known |= set(told.numbers)
        assert self.wanted(told.resume) <= self.known, "there is a hole before it"
        if "instance" in self.query and not told.is_gap:
            assert len(told.numbers) == 1

    def wanted(self, until: int) -> set[int]:
        """The numbers that it must know of up to one."""
        filtered = "kinds" in self.query
        return {
            number
            for number, event in self.box.history.items()
            if self.begin < number <= until and not (filtered and event.kind is not EventKind.RECEIVED)
        }


async def play(folder: Path, query: str, steps: list[tuple[str, int]]) -> None:
    async with watching(folder) as box:
        requester = Requester(box, query, begin=box.newest())
        await requester.connect()
        for step, amount in steps:
            match step:
                case "instances":
                    await box.instances_come(amount, studies=3)
                case "condition":
                    kind = EventKind.CONDITION_RAISED
                    await box.happen(Event(kind=kind, time=box.clock.wall(), destination="test"))
                case "connect":
                    await requester.connect()
                case "read":
                    await requester.take(amount)
                case "acknowledge":
                    await requester.acknowledge(amount)
                case "drop":
                    await requester.drop()
                case "restart" | "power cut":
                    if step == "power cut":
                        requester.certain.clear()
                    await box.restart(power_cut=step == "power cut")
                    requester.connection = None
                case "trim":
                    await box.store.write(partial(trim_events, before=0.0, keep=amount))
                case "wait":
                    await trio.sleep(amount)
        await finish(requester)


async def finish(requester: Requester) -> None:
    """Connected for long enough it has been told of everything."""
    await requester.connect()
    assert requester.connection is not None
    requester.connection.read(float("inf"))
    for _ in range(12):
        await trio.sleep(6)
        requester.look()
        await requester.acknowledge(1000)
    assert requester.wanted(requester.box.newest()) <= requester.known
    assert requester.connection.code == 0


@settings(max_examples=40, deadline=None)
@given(QUERIES, st.lists(STEPS, max_size=30))
def test_what_a_requester_has_taken_is_the_log(query: str, steps: list[tuple[str, int]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(play, folder / "box", query, steps, clock=clock)
    finally:
        shutil.rmtree(folder)
