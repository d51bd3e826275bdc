"""A week: a box that is restarted now and then, its archive, one more that is mostly dead, and who sends and asks."""

import random
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from edged.store.commit_memory import recall
from edged.store.history import history_of
from edged.store.instances import find_instance
from edged.store.queue import figures, move, read_instance
from edged.store.records import Delivery, DeliveryState, Happened, Instance
from edged.store.standings import read_delivery
from edged.store.transaction import Transaction
from edged.store.waiting import waiting
from edged.telemetry.clock import EARLIEST_POSSIBLE_S
from tests.support.asgi_kit import Answer
from tests.support.forwarding_kit import destination
from tests.support.week.box import WeekBox, week_box
from tests.support.week.failing_archive import FailingArchive
from tests.support.week.people import DAY_S, Modality

WEEK_S = 7 * DAY_S
INSTANCES = 14
STUDIES = 25
LIVES = 7
LOST_SHARE = 0.03
"""So much of what it has the archive loses in the week."""

LOST_EVICTED = "archive-lost-evicted:archive"
PATIENCE_S = 30 * DAY_S


class Week:
    """All of them, from one seed; a study has about so many `instances`."""

    def __init__(self, folder: Path, seed: int, *, instances: int = INSTANCES, studies: int = STUDIES) -> None:
        self.chance = random.Random(seed)
        self.http2 = bool(seed % 2)
        self.archive = FailingArchive(seed, http2=self.http2)
        self.other = FailingArchive(seed + 1, http2=False)
        self.modality = Modality(self, random.Random(seed))
        self._instances, self._studies = instances, studies
        self._folder = folder
        self._box: WeekBox | None = None
        self._began = trio.Event()

    @property
    def config(self) -> str:
        """The settings of the box."""
        keys = {"commitment": '["dicomweb", "search"]', "parallel": "2"}
        http = '"2"' if self.http2 else '"1.1"'
        first = destination("http://archive.example/dicom-web", http=http, **keys)
        other = destination("http://other.example/dicom-web", "other", required="false", **{**keys, "parallel": "1"})
        return first + other

    async def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Ask the box, again and again while it does not answer for being restarted."""
        while True:
            box = await self.wait_box()
            answer = await box.ask(method, path, headers, body)
            if answer is not None:
                return answer

    async def wait_box(self) -> WeekBox:
        """The box, once it runs."""
        while self._box is None:
            await self._began.wait()
        return self._box

    @asynccontextmanager
    async def run(self, lives: int = LIVES) -> AsyncIterator[WeekBox]:
        """Live through it, and then wait until nothing moves any more; the last life of the box goes on meanwhile."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.archive.run)
            nursery.start_soon(self.other.run)
            nursery.start_soon(self._outages)
            nursery.start_soon(self.archive.lose_now_and_then, WEEK_S / (LOST_SHARE * self._studies * self._instances))
            nursery.start_soon(partial(self.modality.work, self._studies, self._instances, within_s=WEEK_S))
            for _ in range(lives - 1):
                async with self._life():
                    await trio.sleep(self.chance.uniform(0, 2 * WEEK_S / lives))
                self.archive.accounts.charge_unanswered("restart")
            async with self._life() as box:
                await trio.sleep_until(WEEK_S)
                self.archive.calm = self.other.calm = True
                await self.until(lambda: self.modality.finished)
                await self.until(lambda: self.settled(box) and self.unnoticed(box) == set() and self.tells_of_lost(box))
                yield box
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[WeekBox]:
        connectors = {"archive.example": self.archive.connector, "other.example": self.other.connector}
        async with week_box(self._folder, self.config, connectors) as box:
            self._box = box
            self._began.set()
            yield box
            self._box, self._began = None, trio.Event()

    async def _outages(self) -> None:
        """The archive is down for two days; the other one is seldom up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._other_is_seldom_up)
            await trio.sleep(self.chance.uniform(0.5, 4.5) * DAY_S)
            await self.archive.go_down(2 * DAY_S)

    async def _other_is_seldom_up(self) -> None:
        while not self.archive.calm:
            await self.other.go_down(self.chance.uniform(6, 30) * 3600)
            await trio.sleep(self.chance.uniform(0.1, 2) * 3600)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, or for so long that it never will."""
        with trio.move_on_after(PATIENCE_S):
            while not holds():  # noqa: ASYNC110 - of things that nothing tells of
                await trio.sleep(1800)

    async def put_back(self, box: WeekBox, uids: Collection[str]) -> None:
        """Put parked instances back into the queue, as a person would, and wait until all of them are there."""
        number, store = box.parts.routes.ids["archive"], box.parts.store

        def back(txn: Transaction) -> None:
            held = Delivery(state=DeliveryState.HELD, since=box.parts.clock.wall())
            for each, instance in self._parked(box, txn).items():
                if instance.sop_instance_uid in uids:
                    move(txn, each, number, expected=(DeliveryState.PARKED,), to=held)

        self.archive.accounts.charge(uids, "by hand")
        await store.write(back)
        box.parts.bells.arrived.ring()
        await self.until(lambda: self.settled(box))

    def parked(self, box: WeekBox) -> set[str]:
        """The SOP Instance UIDs of what is parked."""
        found = box.parts.store.read_now(partial(self._parked, box)).values()
        return {each.sop_instance_uid for each in found}

    def _parked(self, box: WeekBox, txn: Transaction) -> dict[int, Instance]:
        rows = waiting(txn, box.parts.routes.ids["archive"], DeliveryState.PARKED, limit=10_000)
        found = {row.number: read_instance(txn, row.number) for row in rows}
        return {number: each for number, each in found.items() if each is not None}

    def lost(self, box: WeekBox) -> set[str]:
        """What was let go of, is known to be lost by the archive, and was not sent again since."""

        def find(txn: Transaction) -> set[str]:
            away = {uid for uid in self.modality.sent if find_instance(txn, uid) is None}
            return {uid for uid in away if (known := recall(txn, uid)) is not None and known.lost}

        return box.parts.store.read_now(find)

    def unnoticed(self, box: WeekBox) -> set[str]:
        """What the archive has not, and the box does not know of."""
        return self.modality.sent.keys() - self.archive.stored.keys() - self.parked(box) - self.lost(box)

    def tells_of_lost(self, box: WeekBox) -> bool:
        """Whether the condition stands if, and only if, something is lost that was let go of."""
        return bool(self.lost(box)) == any(each.name == LOST_EVICTED for each in box.parts.conditions.snapshot())

    def noticed(self, uid: str, *, before_s: float) -> bool:
        """Whether the box had taken a commitment back before that time, and has had none since."""
        if self._box is None:
            return False  # its answer came as it ended
        parts = self._box.parts
        number = parts.routes.ids["archive"]

        def find(txn: Transaction) -> bool:
            doubts = [
                entry.time
                for _, entry in history_of(txn, uid)
                if entry.what is Happened.DOUBTED and entry.destination == number
            ]
            here, known = find_instance(txn, uid), recall(txn, uid)
            delivery = read_delivery(txn, here[0], number) if here is not None else None
            proven = known.committed if known is not None and not known.lost else 0.0
            if delivery is not None and delivery.state is DeliveryState.COMMITTED:
                proven = max(proven, delivery.since)
            return bool(doubts) and proven < doubts[-1] < EARLIEST_POSSIBLE_S + before_s

        return parts.store.read_now(find)

    def life_of(self, uid: str) -> str:
        """What the box noted of an instance, and what was charged for it."""
        if self._box is None:
            return "between two lives"
        entries = self._box.parts.store.read_now(partial(history_of, sop_instance_uid=uid))
        return "\n".join(map(str, [*entries, self.archive.accounts.uploads[uid], self.archive.accounts.explained(uid)]))

    def settled(self, box: WeekBox) -> bool:
        """Whether all is committed or parked."""
        return self.at(box).keys() <= {"COMMITTED", "PARKED"}

    def at(self, box: WeekBox, name: str = "archive") -> dict[str, int]:
        """How many instances are in which state, zeros left out."""
        number, store = box.parts.routes.ids[name], box.parts.store
        rows = {
            each.name: store.read_now(partial(figures, destination=number, state=each)).rows for each in DeliveryState
        }
        return {state: count for state, count in rows.items() if count}
