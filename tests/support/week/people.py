"""Who lives with a box for a week: a modality that sends, and requesters that ask for storage commitment.

Each goes on until it has an answer, whatever restarts come between. Every answer is held against what the archive has
at that moment.
"""

import random
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio

from tests.support.asgi_kit import Answer
from tests.support.commitment_kit import JSON, outcome, sop_form
from tests.support.stow_kit import MULTIPART, Named, json_report, made, multipart, named

if TYPE_CHECKING:
    from tests.support.week.week import Week

DAY_S = 86_400.0
NO_SUCH_OBJECT_INSTANCE = 0x0112


class Modality:
    """Sends studies all the time, some of them twice."""

    def __init__(self, week: "Week", chance: random.Random) -> None:
        self.sent: dict[str, Named] = {}
        self.answered = 0
        self.finished = False
        self._week = week
        self._chance = chance

    async def work(self, studies: int, instances: int, *, within_s: float) -> None:
        """Send so many studies of about so many instances."""
        chance, earlier = self._chance, list[list[Named]]()
        async with trio.open_nursery() as nursery:
            for number in range(studies):
                await trio.sleep(chance.expovariate(studies / within_s))
                count = chance.randint(1, 2 * instances - 1)
                study = [named(each, f"1.2.826.0.1.{number + 1}") for each in range(1, count + 1)]
                await self._send(study)
                earlier.append(study)
                nursery.start_soon(self._ask_later, study)
                if chance.random() < 0.1:
                    again = chance.choice(earlier)
                    self._week.archive.accounts.came_again(each.instance for each in again)
                    await self._send(again)
        self.finished = True

    async def _send(self, study: list[Named]) -> None:
        size = self._chance.randint(1, len(study))
        for first in range(0, len(study), size):
            part = study[first : first + size]
            body = multipart([made(each, size=600) for each in part])
            answer = await self._week.ask("POST", "/studies", {"Content-Type": MULTIPART}, body)
            assert answer.status == HTTPStatus.OK, answer
            assert json_report(answer.body).stored.keys() == {each.instance for each in part}
            self.sent.update({each.instance: each for each in part})
            await trio.sleep(self._chance.random() * 20)

    async def _ask_later(self, study: list[Named]) -> None:
        """Ask soon, and perhaps once more much later, when it may have been let go."""
        await trio.sleep(self._chance.choice([0.0, self._chance.random() * 7200]))
        await self._request(study)
        if self._chance.random() < 0.3:
            await trio.sleep(2 * DAY_S)
            await self._request(study)

    async def _request(self, study: list[Named]) -> None:
        """Ask for the commitment to a study, now and then also to what nobody has."""
        names = list(study)
        if self._chance.random() < 0.1:
            names.append(named(999, study[0].study))
        uid, asked_s = f"2.25.{self._chance.getrandbits(100)}", trio.current_time()
        answer = await self._week.ask("POST", f"/commitment-requests/{uid}", JSON, sop_form(names))
        while answer.status != HTTPStatus.OK:
            assert answer.status in {HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT}, answer
            await trio.sleep(self._chance.expovariate(1 / 900))
            answer = await self._week.ask("GET", f"/commitment-requests/{uid}", {"Accept": JSON["Accept"]})
        self._judge(names, answer, asked_s=asked_s)

    def _judge(self, names: Iterable[Named], answer: Answer, *, asked_s: float) -> None:
        """Fail unless the box said the truth, by the evidence that the archive gave and has not been seen to break."""
        said, archive = outcome(answer.body), self._week.archive
        assert said.keys() == {each.instance for each in names}
        self.answered += 1
        for uid, reason in said.items():
            if reason == 0 and uid not in archive.stored:
                assert uid in archive.broke, f"{uid}: the box says committed, and the archive never had it"
                assert not self._week.noticed(uid, before_s=asked_s), f"{uid}: it knows better: {self._life(uid)}"
            elif reason and uid in self.sent and uid not in archive.broke:
                assert reason != NO_SUCH_OBJECT_INSTANCE, f"{uid}: the box denies what it was sent"
                assert uid in archive.accounts.refused, (
                    f"{uid}: {reason:04X}H, and nobody refused it for good: {self._life(uid)}"
                )

    def _life(self, uid: str) -> str:
        return self._week.life_of(uid)
