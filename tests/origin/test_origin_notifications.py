"""Notification connections over real WebSockets (PS3.18 8.10, DICOM.md §7)."""

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path

import h2.events
import pytest
import trio
import wsproto.connection
import wsproto.events
from trio_websocket import ConnectionClosed, ConnectionRejected, WebSocketConnection, wrap_client_stream

from edged.dicomweb.close_reason import CloseCode
from edged.dicomweb.event_report import EVENT_SOP_CLASS_UID, EventKind
from edged.origin.application import Application
from edged.origin.notifications import NotificationConnection
from edged.services.event_reports import Report, View
from edged.services.notifications import NotificationService, Position
from edged.store.commitments import purge_request
from edged.store.errors import StoreFailed
from edged.store.records import DeliveryState
from edged.telemetry.conditions import Severity
from tests.support.box_kit import Box, opened_box
from tests.support.commitment_kit import JSON, moved, sop_form
from tests.support.http_client import connected
from tests.support.server_kit import Running, http2, serving
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
    """The kinds of the next `count` events, of reports that tell of all of them in their order."""
    told, kinds = list[int](), list[object]()
    while len(told) < count:
        content = await report(session)
        numbers = range(int(str(value(content, FIRST))), int(str(value(content, LAST))) + 1)
        told += numbers
        kinds += [value(content, KIND)] * len(numbers)
    assert told == list(range(told[0], told[0] + count))
    return kinds


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
        ([("Accept", "*/*"), ("Content-Type", "application/dicom+xml")], b"application/dicom+xml"),
        ([("Content-Type", "text/html")], b"application/dicom+json"),
        ([("Accept", "application/dicom;q=0.1, application/dicom+xml;q=1")], b"application/dicom+xml"),
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
        ("/", [("Accept", "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.50")], 406),
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

    async def extent(self) -> tuple[int, int]:
        if self.at_once:
            raise StoreFailed("a page of the file is damaged")
        return await super().extent()

    async def follow(self, view: View, begin: Position) -> AsyncGenerator[tuple[Report | None, Position], None]:
        async with aclosing(super().follow(view, begin)) as pages:
            async for each in pages:
                yield each
                raise StoreFailed("a page of the file is damaged")


async def test_a_store_that_fails_refuses_and_closes(box: Box, nursery: trio.Nursery) -> None:
    service = Failing(box.store, box.bells, box.clock)
    nursery.start_soon(service.keep)
    sockets = {
        "openNotificationConnection": NotificationConnection(
            service, box.parts.subscribers, "EDGED", live=box.parts.live
        )
    }
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


async def test_over_http2_the_form_is_said_too(tmp_path: Path) -> None:
    """RFC 8441: the answer to CONNECT is 200 where that to Upgrade is 101."""
    fields = {":protocol": b"websocket", "sec-websocket-version": b"13", "accept": b"application/dicom"}
    fields["authorization"] = b"Bearer secret"
    digest = hashlib.sha256(b"secret").hexdigest()
    config = f'[[access.token]]\nname = "monitor"\nsha256 = "{digest}"\nroles = ["monitor", "store"]\n'
    async with opened_box(tmp_path, config) as box, serving(box.application) as running, http2(running) as wire:
        stream_id = await wire.request(b"/subscribers/two", b"CONNECT", end=False, **fields)
        session = wsproto.connection.Connection(wsproto.connection.ConnectionType.CLIENT)
        while not isinstance(event := await wire.next_event(), h2.events.ResponseReceived):
            assert event is not None
        answered = dict(event.headers)
        assert (answered[b":status"], answered[b"content-type"]) == (b"200", b"application/dicom")
        assert event.stream_id == stream_id
        await box.stow(made(ONE))
        message = None
        while message is None:
            if isinstance(event := await wire.next_event(), h2.events.DataReceived):
                session.receive_data(event.data)
            message = next(session.events(), None)
        assert isinstance(message, wsproto.events.BytesMessage)
        assert bytes(message.data[128:132]) == b"DICM"


async def test_a_result_that_is_gone_is_not_told_as_one(box: Box, running: Running) -> None:
    await box.stow(made(ONE))
    await moved(box, ONE, DeliveryState.PARKED, reason=0x0122)
    await box.ask("POST", "/commitment-requests/1.2.3.4", JSON, sop_form([ONE]))
    await box.store.write(partial(purge_request, transaction_uid="1.2.3.4"))
    async with following(running, "/?after=0&kinds=commitment-result") as session:
        content = await report(session)
    assert value(content, "00000002") == EVENT_SOP_CLASS_UID
    assert (value(content, "00001002"), value(content, KIND)) == (13, "commitment-result-gone")
    assert value(content, "00081195") == "1.2.3.4"
    assert value(content, "00991005") == "0 committed, 1 failed; it is not kept any more"
