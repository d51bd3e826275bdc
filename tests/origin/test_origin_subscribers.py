"""Requesters with a name: their place outlives the connection, what they did not acknowledge comes again."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from edged.dicomweb.close_reason import CloseCode
from edged.origin.notification_session import IN_FLIGHT, MOST_NOISE
from tests.support.box_kit import Box
from tests.support.server_kit import Running, serving
from tests.support.stow_kit import made, named

EACH = "?granularity=instance"


@pytest.fixture
async def running(box: Box) -> AsyncIterator[Running]:
    """The box's application behind a real server."""
    async with serving(box.application) as server:
        yield server


@asynccontextmanager
async def following(
    running: Running, path: str, headers: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[WebSocketConnection]:
    extra = [(name.encode(), value.encode()) for name, value in headers]
    async with await running.open() as stream, trio.open_nursery() as nursery:
        session = await wrap_client_stream(nursery, stream, f"127.0.0.1:{running.port}", path, extra_headers=extra)
        yield session
        await session.aclose()


async def last_of(session: WebSocketConnection) -> int:
    """The number of the last event of the next report."""
    last: int = json.loads(await session.get_message())["00991001"]["Value"][0]
    return last


async def store(box: Box, count: int, first: int = 1) -> None:
    await box.stow(*(made(named(number), size=600) for number in range(first, first + count)))


@pytest.mark.parametrize("said", ["1", b"1", "success application/json\r\n", b"2 success application/dicom\r\n"])
async def test_what_was_acknowledged_does_not_come_again(box: Box, running: Running, said: str | bytes) -> None:
    async with following(running, f"/subscribers/NIGHT WATCH{EACH}".replace(" ", "%20")) as session:
        await store(box, 5)
        assert [await last_of(session) for _ in range(5)] == [1, 2, 3, 4, 5]
        for _ in range(3):
            await session.send_message(said)
        await session.ping()  # what came before it has been looked at
    async with following(running, f"/subscribers/NIGHT WATCH{EACH}".replace(" ", "%20")) as session:
        assert [await last_of(session) for _ in range(2)] == [4, 5]


async def test_a_place_within_a_window(box: Box, running: Running) -> None:
    parts = [made(named(number, study=f"1.2.{number % 3}"), size=600) for number in range(6)]
    async with following(running, "/subscribers/monitor") as session:
        await box.stow(*parts)
        assert [await last_of(session) for _ in range(3)] == [4, 5, 6]
        await session.send_message("1")
        await session.ping()
    async with following(running, "/subscribers/monitor") as session:
        assert [await last_of(session) for _ in range(2)] == [5, 6]
    async with following(running, f"/subscribers/monitor{EACH}") as session:
        assert [await last_of(session) for _ in range(6)] == [1, 2, 3, 4, 5, 6]


async def test_so_many_are_in_flight_and_no_more(box: Box, running: Running) -> None:
    async with following(running, f"/subscribers/monitor{EACH}") as session:
        await store(box, IN_FLIGHT + 2)
        assert [await last_of(session) for _ in range(IN_FLIGHT)] == list(range(1, IN_FLIGHT + 1))
        with trio.move_on_after(0.1) as waited:
            await last_of(session)
        assert waited.cancelled_caught
        await session.send_message("0 application/json\r\n{}")
        assert await last_of(session) == IN_FLIGHT + 1


async def test_the_newest_connection_has_the_name(box: Box, running: Running) -> None:
    async with following(running, "/subscribers/monitor") as old, following(running, "/subscribers/monitor") as new:
        with pytest.raises(ConnectionClosed) as closed:
            await old.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == CloseCode.REPLACED
        await store(box, 1)
        assert await last_of(new) == 1


async def test_who_talks_about_other_things_is_let_go(running: Running) -> None:
    async with following(running, "/subscribers/monitor") as session:
        for _ in range(MOST_NOISE):
            await session.send_message("hello")
        with pytest.raises(ConnectionClosed) as closed:
            await session.get_message()
        assert closed.value.reason is not None
        assert closed.value.reason.code == CloseCode.POLICY_VIOLATION


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/subscribers/a%2Fb", 400),
        ("/subscribers/%20a", 400),
        ("/subscribers/" + 65 * "a", 400),
        ("/subscribers/a?after=1", 409),
        ("/?after=1", 409),
        ("/?after=-1", 400),
        ("/?after=1,2", 400),
        ("/?kinds=received,unheard-of", 400),
        ("/?kinds=gap", 400),
        ("/?granularity=series", 400),
        ("/?StudyInstanceUID=1.2.x", 400),
        ("/?accept=text/html", 406),
    ],
)
async def test_what_is_refused_before_the_handshake(running: Running, path: str, status: int) -> None:
    with pytest.RaisesGroup(ConnectionRejected) as group:
        async with following(running, path):
            pass
    [refused] = group.value.exceptions
    assert isinstance(refused, ConnectionRejected)
    assert refused.status_code == status
