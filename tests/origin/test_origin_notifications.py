"""Notification connections over real WebSockets (PS3.18 8.10, DICOM.md §7)."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import pytest
import trio
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from edged.dicomweb.data_set import DataSet
from edged.dicomweb.event_report import EventKind
from edged.origin.application import Application
from edged.origin.notifications import CloseCode, NotificationConnection
from edged.services.notifications import NotificationService, Place
from edged.store.errors import StoreFailed
from edged.store.records import DeliveryState
from edged.telemetry.conditions import Severity
from tests.support.box_kit import Box
from tests.support.commitment_kit import JSON, moved, sop_form
from tests.support.http_client import connected
from tests.support.server_kit import Running, serving
from tests.support.stow_kit import MULTIPART, json_report, made, multipart, named

ONE, TWO = named(1), named(2)
KIND, LAST, FIRST, SUBJECT = "00991003", "00991001", "00991002", "00991004"


@pytest.fixture
async def running(box: Box) -> AsyncIterator[Running]:
    """The box's application behind a real server."""
    async with serving(box.application) as server:
        yield server


@asynccontextmanager
async def following(
    running: Running, path: str = "/", headers: Sequence[tuple[str, str]] = ()
) -> AsyncIterator[WebSocketConnection]:
    extra = [(name.encode(), value.encode()) for name, value in headers]
    async with await running.open() as stream, trio.open_nursery() as nursery:
        host = f"127.0.0.1:{running.port}"
        session = await wrap_client_stream(nursery, stream, host, path, extra_headers=extra)
        yield session
        await session.aclose()


async def report(session: WebSocketConnection) -> dict[str, dict[str, object]]:
    message = await session.get_message()
    assert isinstance(message, str)
    content: dict[str, dict[str, object]] = json.loads(message)
    return content


def value(content: dict[str, dict[str, object]], tag: str) -> object:
    values = content[tag]["Value"]
    assert isinstance(values, list)
    return values[0]


async def kinds(session: WebSocketConnection, count: int) -> list[object]:
    """The kinds of the next reports, whose numbers follow one another."""
    reports = [await report(session) for _ in range(count)]
    numbers = [int(str(value(each, LAST))) for each in reports]
    assert numbers == list(range(numbers[0], numbers[0] + count))
    return [value(each, KIND) for each in reports]


async def test_events_in_order_from_now_on(box: Box, running: Running) -> None:
    await box.stow(made(ONE))
    async with following(running) as session:
        assert (b"content-type", b"application/dicom+json") in session.handshake_headers
        await box.stow(made(TWO))
        await moved(box, TWO, DeliveryState.SENT)
        await moved(box, TWO, DeliveryState.COMMITTED, proof="dicomweb")
        await box.ask("POST", "/commitment-requests/1.2.3", JSON, sop_form([TWO]))
        expected = [EventKind.RECEIVED, EventKind.SENT, EventKind.COMMITTED, EventKind.COMMITMENT_RESULT]
        assert await kinds(session, 4) == expected
        box.conditions.raise_("test-condition", Severity.WARNING, "Nothing to be done.")
        assert await kinds(session, 1) == [EventKind.CONDITION_RAISED]
        box.conditions.clear("test-condition")
        assert await kinds(session, 1) == [EventKind.CONDITION_CLEARED]


async def test_a_report_about_an_instance(box: Box, running: Running) -> None:
    async with following(running) as session:
        await box.stow(made(ONE, patient=b"SECRET"))
        content = await report(session)
    assert content["0020000D"]["Value"] == [ONE.study]
    item = json.dumps(content["00081115"])
    assert ONE.series in item
    assert f"http://127.0.0.1:{running.port}{ONE.path}" in item
    assert "EDGED" in item
    assert "SECRET" not in json.dumps(content)
    assert value(content, FIRST) == value(content, LAST)


async def test_a_commitment_result(box: Box, running: Running) -> None:
    await box.stow(made(ONE), made(TWO))
    await moved(box, ONE, DeliveryState.PARKED, reason=0x0122)
    await moved(box, TWO, DeliveryState.COMMITTED, proof="dicomweb")
    async with following(running) as session:
        await box.ask("POST", "/commitment-requests/1.2.3.4", JSON, sop_form([ONE, TWO]))
        content = await report(session)
    assert value(content, "00000002") == "1.2.840.10008.1.20.1"
    assert value(content, "00001002") == 2
    assert value(content, "00081195") == "1.2.3.4"
    assert ONE.instance in json.dumps(content["00081198"])
    assert TWO.instance in json.dumps(content["00081199"])


@pytest.mark.parametrize(
    ("headers", "content_type"),
    [
        ([("Accept", "application/dicom+xml")], b"application/dicom+xml"),
        ([("Content-Type", "application/dicom+xml")], b"application/dicom+xml"),
        ([("Accept", "*/*"), ("Content-Type", "application/dicom+xml")], b"application/dicom+json"),
        ([("Content-Type", "text/html")], b"application/dicom+json"),
        ([("Content-Type", "application/dicom")], b"application/dicom+json"),
        ([("Accept", "application/dicom;q=1, application/dicom+xml;q=0.1")], b"application/dicom+xml"),
    ],
)
async def test_the_form_of_the_reports(
    box: Box, running: Running, headers: Sequence[tuple[str, str]], content_type: bytes
) -> None:
    """In text frames, as both forms are to be (CP-1871, PS3.18 Table 8.10.5-3): a binary one would be bytes here."""
    async with following(running, headers=headers) as session:
        assert (b"content-type", content_type) in session.handshake_headers
        await box.stow(made(ONE))
        message = await session.get_message()
        assert isinstance(message, str)
        assert message.startswith("<?xml" if content_type.endswith(b"xml") else "{")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/nothing", [], 404),
        ("/studies", [], 405),
        ("/healthz", [], 400),
        ("/", [("Accept", "text/html")], 406),
        ("/", [("Accept", "application/dicom")], 406),
        ("/", [("Authorization", "Bearer unknown")], 401),
        ("/subscribers/monitor", [("X-Forwarded-For", "192.0.2.7")], 401),
    ],
)
async def test_a_refused_handshake_is_an_answer(
    running: Running, path: str, headers: Sequence[tuple[str, str]], status: int
) -> None:
    with pytest.RaisesGroup(ConnectionRejected) as group:
        async with following(running, path, headers):
            pass
    [refused] = group.value.exceptions
    assert isinstance(refused, ConnectionRejected)
    assert refused.status_code == status
    assert refused.body


async def test_a_follower_that_does_not_read_hurts_nobody(box: Box, running: Running) -> None:
    headers = {"Content-Type": MULTIPART, "Accept": "application/dicom+json"}
    async with following(running) as reader, await running.open() as stream:
        await stream.send_all(
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 101 ")
        seen: list[object] = []

        async def read() -> None:
            seen.extend(await kinds(reader, 3000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            async with connected(running.url) as connection:
                for start in range(0, 3000, 500):
                    parts = [made(named(start + each), size=600) for each in range(500)]
                    answer = await connection.ask("POST", "/studies", headers, multipart(parts))
                    assert len(json_report(answer.body).stored) == 500
        assert seen == [EventKind.RECEIVED] * 3000


async def test_a_follower_that_is_gone_hurts_nobody(box: Box, running: Running) -> None:
    async with following(running) as reader:
        async with following(running) as gone:
            await gone.send_message("1")
        await box.stow(made(ONE))
        assert await kinds(reader, 1) == [EventKind.RECEIVED]
        assert (await box.stow(made(TWO))).status == 200


async def test_by_a_reader_of_another_name(box: Box, running: Running) -> None:
    async with following(running, "/subscribers/night-watch") as session:
        await box.stow(made(ONE))
        assert await kinds(session, 1) == [EventKind.RECEIVED]


class Failing(NotificationService):
    """Its store cannot be read: from the beginning, or once it is followed."""

    at_once = False

    async def now(self) -> int:
        if self.at_once:
            raise StoreFailed("a page of the file is damaged")
        return await super().now()

    async def follow(self, place: Place, after: int) -> AsyncGenerator[DataSet, None]:
        async with aclosing(super().follow(place, after)) as reports:
            async for each in reports:
                yield each
                raise StoreFailed("a page of the file is damaged")


async def test_a_store_that_fails_refuses_and_closes(box: Box) -> None:
    service = Failing(box.store, box.bells)
    sockets = {"openNotificationConnection": NotificationConnection(service, "EDGED")}
    async with serving(Application(box.settings.origin, box.settings.access, {}, sockets=sockets)) as server:
        async with following(server) as session:
            await box.stow(made(ONE))
            await report(session)
            with pytest.raises(ConnectionClosed) as caught:
                await session.get_message()
            assert caught.value.reason is not None
            assert caught.value.reason.code == CloseCode.TRY_AGAIN_LATER
        service.at_once = True
        with pytest.RaisesGroup(ConnectionRejected) as rejected:
            async with following(server):
                pass
        [refused] = rejected.value.exceptions
        assert isinstance(refused, ConnectionRejected)
        assert refused.status_code == 503
