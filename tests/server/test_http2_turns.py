"""Work that comes in small pieces: however much of it one read holds, others have their turn in between."""

import pytest
import trio

from edged.server import Limits
from edged.server.http2 import TURN_WORK
from tests.support.http2_raw import END_HEADERS, GET, HEADERS, POST, RST_STREAM, data, headers, raw_http2
from tests.support.server_kit import Message, serving, sink

QUICK = Limits(linger_s=0.1, drain_s=0.5)
MANY = 900  # less than what ends a connection, and of a few KB: one read


async def test_an_application_takes_small_frames_while_more_of_them_come() -> None:
    taken: list[int] = []

    async def app(scope: Message, receive: object, send: object) -> None:
        assert callable(receive)
        while (message := await receive())["type"] == "http.request":
            taken.append(len(message["body"]))

    async with serving(app, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(headers(1, POST, END_HEADERS))
        await trio.testing.wait_all_tasks_blocked(0.01)
        await wire.send(*[data(1, b"x", 0)] * 10_000)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert sum(taken) == 10_000
        assert max(taken) <= 4 * TURN_WORK


@pytest.mark.parametrize(("fields", "kind"), [([(b":method", b"X"), *GET[1:]], HEADERS), ([(b"A", b"b")], RST_STREAM)])
async def test_requests_that_come_to_nothing_let_others_have_their_turn(
    fields: list[tuple[bytes, bytes]], kind: int
) -> None:
    seen_by_others: set[int] = set()

    async with serving(sink, limits=QUICK) as running, raw_http2(running) as wire:

        async def look() -> None:
            while True:
                seen_by_others.add(running.server.counters.malformed)
                await trio.lowlevel.checkpoint()

        await trio.testing.wait_all_tasks_blocked(0.01)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await wire.send(*(headers(2 * number + 1, fields) for number in range(MANY)))
            assert await wire.wait_for(kind, stream_id=2 * MANY - 1) is not None
            nursery.cancel_scope.cancel()
    assert len(seen_by_others) >= MANY // TURN_WORK
