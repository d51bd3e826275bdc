"""An hour: a box, those who follow it under names, and what is killed meanwhile, all of it from one seed.

The box is killed, or ends in order, and comes back; followers are killed and begin anew with nothing but their book;
lines are cut and go silent; old events are trimmed. Then there is peace, until everybody has everything.
"""

import math
import random
from collections import Counter
from functools import partial
from pathlib import Path

import trio

from edged.services.subscribers import WRITTEN_AFTER_S
from edged.store.errors import StoreError
from edged.store.events import trim_events
from edged.telemetry.live import Phase
from edged.upstream.endpoint import Endpoint
from edged.upstream.following import follow
from edged.upstream.following_values import Followed, Source, Trouble, Wish
from edged.upstream.message import NoAnswer
from edged.upstream.redaction import Redactor
from edged.upstream.transport import Transport
from tests.support.following_kit import NOBODY
from tests.support.notifying.book import Book, Taken
from tests.support.notifying.box import MemoryBox, memory_box
from tests.support.notifying.line import LATEST_S, Line
from tests.support.notifying.log import Happening, Truth
from tests.support.trio_clock import TrioClock

HOUR_S = 3600.0
EVERY_S = 20.0
"""Between two moments of the log, on average."""

PEACE_S = 3600.0
KILLED = 0.7
"""The share of the box's lives that end so; the others end in order, and lose nothing that has arrived."""

KEPT = 300
LEAST_S = 0.001

WISHES = {
    "each": Wish(name="each", each=True),
    "studies": Wish(name="studies"),
    "some": Wish(name="some", kinds=("received", "committed", "condition-raised")),
    "slow": Wish(name="slow", each=True, kinds=("received", "sent", "committed")),
    "AWAY FOR LONG": Wish(name="AWAY FOR LONG"),
}
SLOW_S = 0.4
AWAY_S = 600.0


class Requester:
    """One requester in all its lives; also the watcher of its following."""

    def __init__(self, hour: "Hour", wish: Wish, chance: random.Random) -> None:
        self.wish = wish
        self.book = Book(hour.truth, self._is_lost, wish.kinds, wish.each)
        self.lines: list[Line] = []
        self.opened: list[float] = []
        self.living = trio.CancelScope()
        self._hour = hour
        self._chance = chance

    async def live(self) -> None:
        """Follow, die, and follow again; a new life knows what is in its book."""
        while True:
            with trio.CancelScope() as self.living:
                await self._follow()
            if self.lines:
                self.lines[-1].leave()
            away_s = AWAY_S if self.wish.name.startswith("AWAY") else 5.0
            await trio.sleep(0 if self._hour.peace else self._chance.uniform(0, away_s))

    async def _follow(self) -> None:
        endpoint = Endpoint.parse("http://127.0.0.1:8080")
        wish = self.wish
        if self.book.is_empty:
            wish = Wish(after=0, name=wish.name, kinds=wish.kinds, each=wish.each)
        source = Source(endpoint, self._dial, NOBODY, Redactor())
        await follow(source, wish, self._take, watcher=self, clock=TrioClock())

    async def _dial(self) -> Transport:
        await trio.lowlevel.checkpoint()
        if self._hour.box is None:
            raise NoAnswer(Phase.TCP, "nobody is there", not_processed=True)
        self.lines.append(self._hour.line(self._chance))
        self.opened.append(trio.current_time())
        return self.lines[-1].near

    async def _take(self, followed: Followed) -> None:
        if self.wish.name == "slow" and not self._hour.peace:
            await trio.sleep(self._chance.uniform(0, SLOW_S))
        assert followed.missing is None
        self.book.take(followed.report, len(self.lines) - 1, trio.current_time())

    def _is_lost(self, taken: Taken) -> bool:
        """Whether what acknowledged it may have been lost, on its way or with the box that had not written it yet."""
        arrived = taken.at + LATEST_S + LEAST_S
        successors = self.opened[taken.connection + 1 : taken.connection + 2]
        ends = [self.lines[taken.connection].dead_s, *successors]
        written = arrived + WRITTEN_AFTER_S + LEAST_S
        on_its_way = min(ends) <= arrived
        with_the_box = any(taken.at <= killed <= written for killed in self._hour.killed)
        self._hour.lost["on its way" if on_its_way else "with the box"] += 1
        return on_its_way or with_the_box

    def connected(self, *, resumed: bool) -> None:
        """As Watcher."""
        assert resumed

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        """As Watcher."""
        self._hour.troubles[trouble.code or trouble.status or trouble.phase] += 1
        assert trouble.status in {None, 503}, trouble

    def unreadable(self, text: str) -> None:
        """As Watcher."""
        raise AssertionError(text)


class Hour:
    """All of it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.truth = Truth()
        self.chance = random.Random(seed)
        self.box: MemoryBox | None = None
        self.peace = False
        self.killed: list[float] = []
        self.faults: Counter[str] = Counter()
        self.troubles: Counter[object] = Counter()
        self.lost: Counter[str] = Counter()
        """Of the events that came again: where the acknowledgement may have been lost."""
        self.requesters = [Requester(self, wish, random.Random(f"{seed} {name}")) for name, wish in WISHES.items()]
        self._folder = folder
        self._lines: list[Line] = []
        self._nursery: trio.Nursery | None = None
        self._end = trio.Event()

    async def run(self) -> None:
        """Live through it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._box)
            nursery.start_soon(self._happen)
            for requester in self.requesters:
                nursery.start_soon(requester.live)
            with trio.move_on_after(HOUR_S):
                await self._faults()
            self.peace = True
            self._end.set()
            with trio.move_on_after(PEACE_S):
                while any(each.book.covered < self._due(each) for each in self.requesters):  # noqa: ASYNC110
                    await trio.sleep(1.0)
            nursery.cancel_scope.cancel()

    def line(self, chance: random.Random) -> Line:
        """A line to the box that runs now."""
        assert self.box is not None
        assert self._nursery is not None
        self._lines.append(Line(self._nursery, self.box.connect, chance))
        return self._lines[-1]

    def _due(self, requester: Requester) -> int:
        wanted = self.truth.wanted(requester.wish.kinds)
        return wanted[-1] if wanted else 0

    async def _box(self) -> None:
        """The box in all its lives."""
        while True:
            async with memory_box(self._folder) as box:
                self.box = box
                with trio.CancelScope() as self._life:
                    await trio.sleep_forever()
                self.box = None
                if self.chance.random() < KILLED:
                    self.killed.append(trio.current_time())
                    box.kill()
                for line in self._lines:
                    line.cut()
                self._lines.clear()
            await trio.sleep(self.chance.choice((0.0, self.chance.uniform(0, 20))))

    async def _happen(self) -> None:
        happening = Happening(self.truth, self.chance)
        while not self._end.is_set():
            if self.box is not None:
                parts = self.box.parts
                try:
                    await happening.happen(parts.store, parts.bells, parts.clock)
                except StoreError:
                    self.faults["a commit that failed"] += 1
            pause_s = self.chance.choice((0.2, 1.5, self.chance.expovariate(0.6 / EVERY_S)))
            await trio.sleep(pause_s)

    async def _faults(self) -> None:
        while True:
            await trio.sleep(self.chance.expovariate(1 / 6))
            fault = self.chance.choice((self._end_box, self._kill_requester, self._cut, self._cut, self._silence))
            fault()
            if self.chance.random() < 0.02:
                await self._trim()

    def _end_box(self) -> None:
        if self.box is not None:
            self.faults["box ended"] += 1
            self._life.cancel()

    def _kill_requester(self) -> None:
        self.faults["requester killed"] += 1
        self.chance.choice(self.requesters).living.cancel()

    def _cut(self) -> None:
        self._line().cut()
        self.faults["line cut"] += 1

    def _silence(self) -> None:
        if self.chance.random() < 0.3:
            self._line().fall_silent()
            self.faults["line silent"] += 1

    def _line(self) -> Line:
        return self.chance.choice([each.lines[-1] for each in self.requesters if each.lines])

    async def _trim(self) -> None:
        """Let go of all but some hundred of the newest events."""
        if self.box is None:
            return
        doomed = self.truth.last - self.truth.trimmed - self.chance.randint(1, KEPT)
        if doomed > 0:
            self.truth.trimmed += doomed  # before anybody can be told of it
            await self.box.parts.store.write(partial(trim_events, before=math.inf, limit=doomed, keep=0))
            self.faults["trimmed"] += 1
