"""The id of an answer can be looked up: at the level debug each request has a line in the log, and nothing of whom."""

import io
import logging
import re
from collections.abc import Iterator

import pytest
import trio

from edged.app.box import Parts
from edged.telemetry.log import OURS, Level, configure
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import Request
from tests.support.http_client import connected
from tests.support.server_kit import curl
from tests.support.stow_kit import MULTIPART, STUDY, made, multipart, named

ONE = named(1)
ANY = {"Accept": "*/*"}
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}
ENDED = re.compile(r" DEBUG edged\.origin\.application a request has ended method=(\S+) resource=(\S+) status=(\S+) .*")
WITHIN_S = 20.0


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What `edged run --log-level debug` writes."""
    stream, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger(OURS)
    before, level = root.handlers[:], root.level
    configure(Level.DEBUG, journal=False, stream=stream)
    ours.setLevel(logging.DEBUG)  # pytest has its own will about the root's level
    yield stream
    ours.setLevel(logging.NOTSET)
    root.setLevel(level)
    root.handlers[:] = before
    logging.captureWarnings(False)


def lines_of(written: io.StringIO, request_id: str) -> list[str]:
    return [line for line in written.getvalue().splitlines() if line.endswith(f" request={request_id}")]


async def ended(written: io.StringIO, request_id: str) -> tuple[str, ...]:
    """What the one line says with which the request of this id ended: it comes after the answer."""
    with trio.fail_after(WITHIN_S):
        while not (found := [told for line in lines_of(written, request_id) if (told := ENDED.search(line))]):
            await trio.lowlevel.checkpoint()
    [told] = found
    return told.groups()


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/nothing", ("GET", "none", "404")),
        ("GET", "/studies", ("GET", "none", "405")),
        ("GET", "/healthz", ("GET", "health", "200")),
        ("HEAD", ONE.path, ("HEAD", "retrieveInstance", "404")),
        ("OPTIONS", "/", ("OPTIONS", "retrieveCapabilities", "200")),
        ("GET", "/", ("GET", "openNotificationConnection", "426")),
    ],
)
async def test_every_answer_is_in_the_log(
    served: Parts, written: io.StringIO, method: str, path: str, told: tuple[str, ...]
) -> None:
    async with connected(served.urls[0]) as connection:
        answer = await connection.ask(method, path, ANY)
    assert str(answer.status) == told[-1]
    assert await ended(written, answer.headers["x-request-id"]) == told


async def test_over_http2(served: Parts, written: io.StringIO) -> None:
    endpoint = Endpoint.parse(served.urls[0])
    async with open_client(endpoint, ClientSettings(http=HttpChoice.TWO)) as client:
        answer = await client.request(Request("GET", "/nothing"))
        assert await ended(written, dict(answer.headers)["x-request-id"]) == ("GET", "none", "404")


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
async def test_what_the_server_refuses_is_in_the_log_each_time(
    served: Parts, written: io.StringIO, version: str
) -> None:
    for _ in range(2):
        fields = await curl(version, "-D", "-", "-o", "/dev/null", "-X", "BREW", served.urls[0])
        [request_id] = re.findall(r"(?i)\r\nx-request-id: (.*)\r\n", fields)
        assert [line for line in lines_of(written, request_id) if " DEBUG edged.server refused a request" in line]


async def test_no_line_names_an_instance_or_a_patient(served: Parts, written: io.StringIO) -> None:
    async with connected(served.urls[0]) as connection:
        body = multipart([made(ONE, patient=b"SECRET")])
        stored = await connection.ask("POST", f"/studies/{STUDY}", {"Content-Type": MULTIPART}, body)
        read = await connection.ask("GET", ONE.path, ANY)
    assert (stored.status, read.status) == (200, 200)
    assert await ended(written, stored.headers["x-request-id"]) == ("POST", "storeStudyInstances", "200")
    lines = lines_of(written, stored.headers["x-request-id"]) + lines_of(written, read.headers["x-request-id"])
    assert [each for each in (STUDY, ONE.series, ONE.instance, "SECRET") if each in "\n".join(lines)] == []


async def test_a_websocket_that_is_refused_is_in_the_log(served: Parts, written: io.StringIO) -> None:
    async with connected(served.urls[0]) as connection:
        by_the_box = await connection.ask("GET", "/nothing", UPGRADE)
    async with connected(served.urls[0]) as connection:
        by_the_server = await connection.ask("GET", "/", {**UPGRADE, "Sec-WebSocket-Version": "12"})
    assert (by_the_box.status, by_the_server.status) == (404, 400)
    assert await ended(written, by_the_box.headers["x-request-id"]) == ("GET", "none", "404")
    [line] = lines_of(written, by_the_server.headers["x-request-id"])
    assert " DEBUG edged.server refused a WebSocket: " in line
