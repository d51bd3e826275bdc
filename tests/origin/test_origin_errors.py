"""What is answered when something is not there, not allowed or not expected (PS3.18 8.5, 8.6.3; RFC 9457)."""

import json
from collections.abc import AsyncGenerator
from http import HTTPStatus
from pathlib import Path

import pytest
import trio
import trio.testing

from edged.http.problem import INTERNAL_ERROR
from edged.origin.exchange import Reply, Request
from edged.store.errors import InstanceGone, StoreFailed
from tests.conftest import ExpectedLogs
from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import Box, opened_box, served_box
from tests.support.commitment_kit import sop_form
from tests.support.http_client import connected
from tests.support.server_kit import read_all, serving
from tests.support.stow_kit import MULTIPART, made, multipart, named

PATHS = (
    "/nothing",
    "/studies/1.2/series/3/instances/4/frames/1",
    "/studies//series/1/instances/1",
    "/studies/../healthz",
    "/studies/%2e%2e/healthz",
    "/studies/%zz",
    "/studies/%ff",
    "//",
    "/healthz/x",
)


@pytest.mark.parametrize("path", PATHS)
async def test_unknown_paths_are_404(box: Box, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS", "HEAD"):
        answer = await box.ask(method, path, {"Accept": "application/json"})
        assert answer.status == 404, method
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/dicom+json", "application/problem+json"),
        ("application/problem+json", "application/problem+json"),
        ('multipart/related; type="application/dicom+json"', "application/problem+json"),
        ("image/png", "text/html; charset=utf-8"),
    ],
)
async def test_a_status_report_follows_accept(box: Box, accept: str | None, content_type: str) -> None:
    answer = await box.ask("GET", "/nothing", {} if accept is None else {"Accept": accept})
    assert (answer.status, answer.headers["content-type"]) == (404, content_type)
    head = await box.ask("HEAD", "/nothing", {} if accept is None else {"Accept": accept})
    assert (head.status, head.headers, head.body) == (404, answer.headers, b"")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/studies", "OPTIONS, POST"),
        ("GET", "/studies", "OPTIONS, POST"),
        ("HEAD", "/studies", "OPTIONS, POST"),
        ("GET", "/studies/1.2/series", "OPTIONS"),
        ("PUT", named(1).path, "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("DELETE", "/commitment-requests/1.2.3", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("BREW", "/admin/status", "GET, HEAD, OPTIONS"),
    ],
)
async def test_other_methods_are_405(box: Box, method: str, path: str, allow: str) -> None:
    answer = await box.ask(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allow)


async def test_a_notification_connection_wants_an_upgrade(box: Box) -> None:
    for path in ("/", "/subscribers/monitor"):
        answer = await box.ask("GET", path)
        assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
        assert answer.headers["connection"] == "upgrade"  # RFC 9110 7.8
        head = await box.ask("HEAD", path)
        assert (head.status, head.headers.keys(), head.body) == (426, answer.headers.keys(), b"")


async def test_health_is_everybodys(box: Box) -> None:
    answer = await box.ask("GET", "/healthz")
    assert (answer.status, answer.body, answer.headers["cache-control"]) == (200, b"ok\n", "no-store")
    head = await box.ask("HEAD", "/healthz")
    assert (head.status, head.headers, head.body) == (200, answer.headers, b"")


async def fails(_: Request) -> Reply:
    raise RuntimeError("something of the inside: /var/lib/edged")


async def full(_: Request) -> Reply:
    raise StoreFailed("the device is gone")


async def test_an_unexpected_error_is_500_and_logged_once(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("edged.origin.application ERROR a request failed")
    async with opened_box(tmp_path, handlers={"health": fails}) as box:
        answer = await box.ask("GET", "/healthz", {"Accept": "application/json"})
        assert answer.status == 500
        assert json.loads(answer.body)["detail"] == INTERNAL_ERROR.detail
        assert b"/var/lib" not in answer.body
        assert len(expected_logs.records) == 1
        assert (await box.stow(made(named(1)))).status == 200


async def test_an_error_of_the_store_is_503(tmp_path: Path) -> None:
    async with opened_box(tmp_path, handlers={"health": full}) as box:
        answer = await box.ask("GET", "/healthz", {"Accept": "application/json"})
        assert answer.status == 503
        assert int(answer.headers["retry-after"]) > 0
        assert b"device" not in answer.body


async def test_too_many_requests_wait(tmp_path: Path) -> None:
    config = '[origin]\nbind = ["http://127.0.0.1:0"]\nmax_requests = 1\n'
    entered, leave = trio.Event(), trio.Event()
    statuses = []

    async def slow(_: Request) -> Reply:
        entered.set()
        await leave.wait()
        return Reply(INTERNAL_ERROR.status)

    async with opened_box(tmp_path, config, handlers={"retrieveInstance": slow}) as box, trio.open_nursery() as nursery:

        async def store() -> None:
            statuses.append((await box.stow(made(named(1)))).status)

        nursery.start_soon(box.ask, "GET", named(1).path)
        await entered.wait()
        nursery.start_soon(store)
        await trio.testing.wait_all_tasks_blocked()
        assert statuses == []
        assert (await box.ask("GET", "/admin/status")).status == 200
        leave.set()
    assert statuses == [200]


async def test_over_a_socket(tmp_path: Path) -> None:
    async with served_box(tmp_path) as parts, connected(parts.urls[0]) as connection:
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("HEAD", "/nothing", 404),
            ("DELETE", "/studies", 405),
            ("GET", "/", 426),
            ("HEAD", "/healthz", 200),
        ):
            assert (await connection.ask(method, path)).status == status
        answer = await connection.ask("POST", "/studies", {"Content-Type": MULTIPART}, multipart([made(named(1))]))
        assert answer.status == 200


BEGINNING = b"the beginning" * 200


async def broken(_: Request) -> Reply:
    async def pieces() -> AsyncGenerator[bytes | memoryview, None]:
        yield BEGINNING
        raise InstanceGone("chunk 1 is missing")

    return Reply(HTTPStatus.OK, (("content-length", "10000"),), pieces)


async def broken_at_once(_: Request) -> Reply:
    async def pieces() -> AsyncGenerator[bytes | memoryview, None]:
        yield b"the head of a part"
        raise InstanceGone("chunk 0 is missing")

    return Reply(HTTPStatus.OK, (("content-length", "10000"),), pieces)


async def test_what_cannot_be_read_at_all_is_answered(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("edged.origin.application WARNING a request failed")
    async with opened_box(tmp_path, handlers={"health": broken_at_once}) as box:
        answer = await call(box.application, Asked("GET", "/healthz", {"Accept": "application/json"}))
    assert answer.status == 500
    assert "cannot be read" in json.loads(answer.body)["detail"]


async def test_a_transfer_that_cannot_go_on_is_cut(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("edged.server ERROR the application failed")
    async with opened_box(tmp_path, handlers={"health": broken}) as box, serving(box.application) as server:
        async with await server.open() as stream:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            got = await read_all(stream)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.partition(b"\r\n\r\n")[2] == BEGINNING
        assert len(expected_logs.records) == 1


async def test_a_failure_in_the_middle_of_an_answer_is_not_answered_twice(box: Box) -> None:
    started = []

    async def send(message: dict[str, object]) -> None:
        started.append(message["type"])
        raise OSError("gone")

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    with pytest.raises(OSError, match="gone"):
        await box.application(Asked("GET", "/healthz").scope(), receive, send)
    assert started == ["http.response.start"]
    assert (await call(box.application, Asked("GET", "/healthz"))).status == 200


async def test_a_report_names_its_request(box: Box) -> None:
    async with serving(box.application) as server, connected(server.url) as connection:
        ids = set()
        for method, path, status in (("GET", "/nothing", 404), ("PUT", "/studies", 405), ("POST", "/studies", 415)):
            answer = await connection.ask(method, path, {"Accept": "application/json", "X-Request-Id": "mine"})
            report = json.loads(answer.body)
            assert answer.status == report["status"] == status
            assert report["request_id"] == answer.headers["x-request-id"] != "mine"
            ids.add(report["request_id"])
            for accept in ("text/html", "text/plain"):
                other = await connection.ask(method, path, {"Accept": accept})
                assert other.headers["x-request-id"].encode() in other.body
        assert len(ids) == 3


async def test_every_error_has_the_same_shape(tmp_path: Path, expected_logs: ExpectedLogs) -> None:
    expected_logs.expect("a request failed")
    requests: tuple[tuple[str, str, dict[str, str], int], ...] = (
        ("GET", "/nothing", {}, 404),
        ("PUT", "/studies", {}, 405),
        ("GET", "/", {}, 426),
        ("POST", "/studies", {}, 415),
        ("POST", "/studies", {"Content-Type": MULTIPART}, 400),
        ("POST", "/studies", {"Content-Type": MULTIPART, "Content-Length": str(1 << 50)}, 413),
        ("POST", "/studies", {"Content-Type": MULTIPART, "Content-Encoding": "br"}, 415),
        ("GET", named(1).path, {}, 404),
        ("GET", "/healthz?%", {}, 400),
        ("GET", "/healthz", {}, 500),
        ("GET", "/admin/status", {}, 503),
        ("GET", "/commitment-requests/1.2.3", {}, 404),
        ("GET", "/commitment-requests/1.2.3?accept=*/*", {}, 400),
        ("GET", "/admin/status", {"Authorization": "Bearer nobody"}, 401),
    )
    async with opened_box(tmp_path, handlers={"health": fails, "adminStatus": full}) as box:
        for method, path, headers, status in requests:
            answer = await box.ask(method, path, {"Accept": "application/json", **headers})
            report = json.loads(answer.body)
            assert (answer.status, report["status"], report["title"]) == (status, status, HTTPStatus(status).phrase)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["cache-control"] == "no-store"
            assert report["detail"]
            assert report["temporary"] is (status in {500, 503})
            assert ("retry-after" in answer.headers) is (status == 503)


async def test_head_wherever_get(box: Box) -> None:
    await box.stow(made(named(1)))
    await box.ask(
        "POST", "/commitment-requests/1.2.3", {"Content-Type": "application/dicom+json"}, sop_form([named(1)])
    )
    for path in (
        "/healthz",
        "/admin/status",
        named(1).path,
        f"/admin/instances/{named(1).instance}/file",
        "/commitment-requests/1.2.3",
        "/nothing",
    ):
        for accept in ("*/*", "image/png"):
            headers = {"Accept": accept, "Accept-Encoding": "gzip"}
            answer, head = await box.ask("GET", path, headers), await box.ask("HEAD", path, headers)
            assert (head.status, head.body) == (answer.status, b"")
            assert head.headers.keys() == answer.headers.keys()
            assert path == "/admin/status" or head.headers == answer.headers
