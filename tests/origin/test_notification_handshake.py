"""The opening handshake of a notification connection, over HTTP/1.1 and over HTTP/2 (PS3.18 8.10.4, RFC 6455 4.2).

Each row is what differs from a request that is accepted; what is refused is refused with a Status Report.
"""

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest

from tests.support.box_kit import ARCHIVE, opened_box
from tests.support.http2_raw import DATA, END_HEADERS, END_STREAM, Seen, headers, raw_http2
from tests.support.server_kit import Running, exchange_raw, serving
from tests.support.websocket_raw import HTTP1, PROTOCOLS, Fields, close, raw_websocket

VIEWER = "http://viewer.example.org"
ACCESS = '[access]\nanonymous = ["store", "read", "monitor"]\n'
CONFIG = f'{ARCHIVE}[origin]\nbind = ["http://127.0.0.1:0"]\ncors = ["{VIEWER}"]\n{ACCESS}'
KEY = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    """A box that pages of another origin may use, behind a real server."""
    async with opened_box(tmp_path, CONFIG) as box, serving(box.application) as server:
        yield server


def http1(changed: dict[str, str | None], method: str = "GET", version: str = "1.1") -> bytes:
    """A request with fields changed; None leaves one out."""
    fields = {"host": "localhost", **KEY, "sec-websocket-version": "13", "accept": "application/json", **changed}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value is not None)
    return f"{method} / HTTP/{version}\r\n{lines}\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"sec-websocket-key": None}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-key": "dGhlIHNhbXBsZQ=="}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-key": "no base64"}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-version": None}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-version": "8"}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-version": "13, 8"}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-protocol": "a b"}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-protocol": "a, a"}, HTTPStatus.BAD_REQUEST),
        ({"sec-websocket-extensions": "permessage-deflate; ="}, HTTPStatus.BAD_REQUEST),
        ({"content-length": "1"}, HTTPStatus.BAD_REQUEST),
        ({"upgrade": None}, HTTPStatus.UPGRADE_REQUIRED),
        ({"upgrade": "chat"}, HTTPStatus.UPGRADE_REQUIRED),
        ({"connection": "close"}, HTTPStatus.UPGRADE_REQUIRED),
        ({"accept": "text/html"}, HTTPStatus.NOT_ACCEPTABLE),
        ({"origin": "http://elsewhere.example.org"}, HTTPStatus.FORBIDDEN),
        ({"origin": "null"}, HTTPStatus.FORBIDDEN),
        ({"origin": "https://viewer.example.org"}, HTTPStatus.FORBIDDEN),
        ({"authorization": "Bearer unknown"}, HTTPStatus.UNAUTHORIZED),
    ],
)
async def test_a_handshake_that_is_refused(
    running: Running, changed: dict[str, str | None], status: HTTPStatus
) -> None:
    seen = await exchange_raw(running, http1({"connection": "close", **changed} if "upgrade" in changed else changed))
    head, _, body = seen.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"x-request-id: " in head
    assert body
    fields = head.lower()
    if status is HTTPStatus.UPGRADE_REQUIRED:
        assert b"\r\nupgrade: websocket" in fields
    if any(name.startswith("sec-websocket") for name in changed):
        assert b"\r\nsec-websocket-version: 13\r\n" in fields


@pytest.mark.parametrize(("method", "version"), [("POST", "1.1"), ("GET", "1.0")])
async def test_what_is_no_handshake_at_all(running: Running, method: str, version: str) -> None:
    seen = await exchange_raw(running, http1({"content-length": "0", "connection": "Upgrade, close"}, method, version))
    status = HTTPStatus.METHOD_NOT_ALLOWED if method == "POST" else HTTPStatus.UPGRADE_REQUIRED
    assert seen.split(b" ")[1] == b"%d" % status


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ([], HTTPStatus.BAD_REQUEST),
        ([("sec-websocket-version", "8")], HTTPStatus.BAD_REQUEST),
        ([("sec-websocket-version", "13"), ("sec-websocket-protocol", "a, a")], HTTPStatus.BAD_REQUEST),
        ([("sec-websocket-version", "13"), ("sec-websocket-extensions", ";")], HTTPStatus.BAD_REQUEST),
        ([("sec-websocket-version", "13"), ("accept", "text/html")], HTTPStatus.NOT_ACCEPTABLE),
        ([("sec-websocket-version", "13"), ("origin", "http://elsewhere.example.org")], HTTPStatus.FORBIDDEN),
        ([("sec-websocket-version", "13"), ("authorization", "Bearer unknown")], HTTPStatus.UNAUTHORIZED),
    ],
)
async def test_a_handshake_that_is_refused_over_http2(
    running: Running, changed: list[tuple[str, str]], status: HTTPStatus
) -> None:
    async with raw_http2(running) as wire:
        asked = [(":method", "CONNECT"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]
        fields = [*asked, (":protocol", "websocket"), *changed]
        await wire.send(headers(1, [(name.encode(), value.encode()) for name, value in fields], END_HEADERS))
        assert await wire.status(1) == status
        body: list[Seen] = []
        while not (body and body[-1].flags & END_STREAM):
            seen = await wire.wait_for(DATA)
            assert seen is not None
            body.append(seen)
        assert b"".join(each.payload for each in body)


ACCEPTED: list[Fields] = [
    [],
    [(b"origin", VIEWER.encode())],
    [(b"sec-websocket-protocol", b"chat, superchat")],
    [(b"sec-websocket-extensions", b"x-webkit-deflate-frame")],
    [(b"sec-websocket-extensions", b"permessage-deflate; unknown")],
    [(b"accept", b"application/dicom+xml, application/dicom+json;q=0.5")],
]


@pytest.mark.parametrize("over", PROTOCOLS)
@pytest.mark.parametrize("fields", ACCEPTED)
async def test_a_handshake_that_is_accepted(running: Running, over: str, fields: Fields) -> None:
    """Of subprotocols none is known: none is answered. Nor is an extension or a parameter that is not known."""
    async with raw_websocket(running, over, fields=fields) as client:
        names = {name.lower() for name in client.answered}
        assert b"content-type" in names
        assert (b"sec-websocket-accept" in names) is (over == HTTP1)
        assert not names & {b"sec-websocket-protocol", b"sec-websocket-extensions"}


async def test_a_page_of_the_boxs_own_origin(running: Running) -> None:
    where = f"127.0.0.1:{running.port}"
    seen = await exchange_raw(running, http1({"host": where, "origin": f"http://{where}"}) + close(1000))
    assert seen.startswith(b"HTTP/1.1 101 ")
