"""Readers that do not take their answers: a turn lasts as long as the answer; so many are lent meanwhile."""

from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.origin.application import Application
from edged.origin.exchange import Reply, Request, answer
from edged.origin.turns import LENT_AFTER_S, LENT_FOR_EACH, LOOK_AGAIN_S, Turn, Turns
from tests.support.asgi_kit import Answer, Asked, Message, call
from tests.support.box_kit import settings_for
from tests.support.stow_kit import named

ONE = '[origin]\nbind = ["http://127.0.0.1:0"]\nmax_requests = 1\n'
PIECE = b"x" * 50_000
ASKED = Asked("GET", named(1).path, {"Accept": "*/*"})


class Download:
    """A handler whose answers have two pieces."""

    def __init__(self) -> None:
        self.running = 0

    async def __call__(self, _: Request) -> Reply:
        return Reply(HTTPStatus.OK, (("content-length", str(2 * len(PIECE))),), self.pieces)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        self.running += 1
        try:
            yield PIECE
            yield PIECE
        finally:
            self.running -= 1


class Reader:
    """A client that takes nothing of an answer's body until it is told to."""

    def __init__(self) -> None:
        self.take = trio.Event()
        self.status = 0
        self.taken = 0
        self.has_all = False
        self.is_left = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        await self.take.wait()
        self.taken += len(message["body"])
        self.has_all = not message.get("more_body", False)

    async def run(self, application: Application, asked: Asked = ASKED) -> None:
        await application(asked.scope(), trio.sleep_forever, self.send)
        self.is_left = True


@pytest.fixture
def download() -> Download:
    """What the application answers with."""
    return Download()


@pytest.fixture
def application(tmp_path: Path, download: Download) -> Application:
    """An application with one turn."""
    settings = settings_for(tmp_path, ONE)
    return Application(settings.origin, settings.access, {"retrieveInstance": download}, sockets={})


async def test_a_turn_lasts_as_long_as_the_answer(
    application: Application, download: Download, autojump_clock: trio.testing.MockClock
) -> None:
    readers = [Reader() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.run, application)
        await trio.testing.wait_all_tasks_blocked()
        assert [reader.status for reader in readers].count(200) == download.running == 1
        for reader in readers:
            reader.take.set()
    assert [reader.taken for reader in readers] == [2 * len(PIECE)] * 3


async def test_a_reader_that_stalls_does_not_keep_others_out(
    application: Application, autojump_clock: trio.testing.MockClock
) -> None:
    stalled = Reader()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stalled.run, application)
        await trio.testing.wait_all_tasks_blocked()
        honest: Answer = await call(application, ASKED)
        assert (honest.status, len(honest.body)) == (200, 2 * len(PIECE))
        stalled.take.set()
    assert stalled.has_all


async def test_who_has_stalled_for_the_longest_is_cut_when_too_many_have(
    application: Application, download: Download, autojump_clock: trio.testing.MockClock
) -> None:
    readers = [Reader() for _ in range(LENT_FOR_EACH + 3)]
    async with trio.open_nursery() as nursery:
        for reader in readers:
            nursery.start_soon(reader.run, application)
            await trio.testing.wait_all_tasks_blocked()
        honest = await call(application, ASKED)
        assert honest.status == 200
        assert download.running <= LENT_FOR_EACH + 1
        assert [reader.is_left for reader in readers] == [True] * 3 + [False] * LENT_FOR_EACH
        for reader in readers:
            reader.take.set()
    assert [reader.has_all for reader in readers] == [False] * 3 + [True] * LENT_FOR_EACH
    assert (await call(application, ASKED)).status == 200


async def test_who_is_cut_before_an_answer_is_told_to_come_again(tmp_path: Path) -> None:
    async def slow(request: Request) -> Reply:
        turns.append(request.memory.coming.client)
        await trio.sleep_forever()
        raise AssertionError("unreachable")

    turns, reader = list[object](), Reader()
    reader.take.set()
    settings = settings_for(tmp_path, ONE)
    application = Application(settings.origin, settings.access, {"retrieveInstance": slow}, sockets={})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reader.run, application)
        await trio.testing.wait_all_tasks_blocked()
        [turn] = turns
        assert isinstance(turn, Turn)
        turn.cut()
    assert (reader.status, reader.has_all) == (503, True)


async def test_the_end_of_an_answer_needs_no_turn(autojump_clock: trio.testing.MockClock) -> None:
    turns, take = Turns(1), trio.Event()
    slow, quick = Turn(turns), Turn(turns)

    async def send(_: Message) -> None:
        await take.wait()

    await turns.take(slow)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.sending(send), {"type": "http.response.body", "body": b"x"})
        await turns.take(quick)
        assert slow.is_lent
        take.set()
    turns.give(slow)
    turns.give(quick)
    await turns.take(Turn(turns))


class Reading:
    """A request that reads its body, and then works until all may finish."""

    def __init__(self, turns: Turns, finish: trio.Event) -> None:
        self.turn = Turn(turns)
        self.client = trio.Event()
        self.has_begun = trio.Event()
        self._turns = turns
        self._finish = finish

    async def run(self) -> None:
        await self._turns.take(self.turn)
        self.has_begun.set()
        with self.turn.scope:
            await self.turn.receiving(self._receive)()
            await self._finish.wait()
        self._turns.give(self.turn)

    async def _receive(self) -> Message:
        await self.client.wait()
        return {}


@pytest.mark.parametrize("is_new_first", [False, True])
async def test_though_all_who_lent_want_their_turns_again_no_more_are_lent(
    autojump_clock: trio.testing.MockClock, is_new_first: bool
) -> None:
    """Who has lent a turn gets another's, which lends it; for a further request the one is cut that stalls."""
    turns, finish = Turns(1), trio.Event()
    readings = [Reading(turns, finish) for _ in range(LENT_FOR_EACH + 1)]
    async with trio.open_nursery() as nursery:
        for reading in readings:
            nursery.start_soon(reading.run)
            await trio.testing.wait_all_tasks_blocked()
        await readings[-1].has_begun.wait()
        if is_new_first:
            nursery.start_soon(Reading(turns, finish).run)
            await trio.testing.wait_all_tasks_blocked()
        for reading in readings[:-1]:
            reading.client.set()
        await trio.sleep(LENT_AFTER_S + 1.5 * LOOK_AGAIN_S)
        lent = [reading.turn.is_lent for reading in readings]
        cut = [reading.turn.scope.cancelled_caught for reading in readings]
        assert cut == [False] * LENT_FOR_EACH + [is_new_first]
        assert (lent.count(True), lent[-1]) == (LENT_FOR_EACH, not is_new_first)
        nursery.cancel_scope.cancel()


async def test_what_an_answer_begins_with_is_not_copied() -> None:
    sent = list[bytes]()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"head"
        yield PIECE
        yield PIECE

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))

    await answer(Reply(HTTPStatus.OK, (("content-length", "100004"),), pieces), ASKED.scope(), send)
    assert sent == [b"", b"head", PIECE, PIECE, b""]
    assert sent[2] is PIECE
