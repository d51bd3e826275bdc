"""Pages of other origins: preflights, what an answer allows, who may open a WebSocket (Fetch 3.2, RFC 6455 10.2)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from trio_websocket import ConnectionRejected, wrap_client_stream

from tests.support.asgi_kit import Asked, call
from tests.support.box_kit import Box, opened_box
from tests.support.http_client import connected
from tests.support.server_kit import Running, serving
from tests.support.stow_kit import MULTIPART, made, multipart, named

ONE = named(1)
VIEWER, OTHER = "https://viewer.example", "https://evil.example"
CONFIG = f"""
[origin]
bind = ["http://127.0.0.1:0"]
cors = ["{VIEWER}"]
[access]
anonymous = ["store", "read", "monitor"]
"""
PREFLIGHT = {"Origin": VIEWER, "Access-Control-Request-Method": "POST"}
ALLOWED = "access-control-allow-origin"


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Box]:
    """A box that the viewer's pages may use."""
    async with opened_box(tmp_path, CONFIG) as opened:
        yield opened


async def test_a_preflight_needs_no_credential(tmp_path: Path) -> None:
    async with opened_box(tmp_path, CONFIG.replace('["store", "read", "monitor"]', "[]")) as box:
        asked = {**PREFLIGHT, "Access-Control-Request-Headers": "authorization,content-type"}
        answer = await box.ask("OPTIONS", "/studies", asked)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers[ALLOWED] == VIEWER
        assert answer.headers["access-control-allow-methods"] == "OPTIONS, POST"
        assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
        refused = await box.ask("POST", "/studies", {"Origin": VIEWER, "Content-Type": MULTIPART})
        assert (refused.status, refused.headers[ALLOWED]) == (401, VIEWER)


@pytest.mark.parametrize("headers", [{}, {"Origin": VIEWER}, {"Access-Control-Request-Method": "POST"}])
async def test_retrieve_capabilities_is_not_swallowed(shared: Box, headers: dict[str, str]) -> None:
    answer = await shared.ask("OPTIONS", "/", {"Accept": "application/vnd.sun.wadl+xml", **headers})
    assert answer.status == 200
    assert answer.body.startswith(b"<?xml")
    assert answer.headers.get(ALLOWED) == headers.get("Origin")


async def test_a_preflight_of_another_origin_allows_nothing(shared: Box) -> None:
    answer = await shared.ask("OPTIONS", "/studies", {**PREFLIGHT, "Origin": OTHER})
    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert (await shared.ask("OPTIONS", "/nothing", PREFLIGHT)).status == 404


async def test_every_answer_says_who_may_read_it(shared: Box) -> None:
    body = multipart([made(ONE)])
    headers = {"Origin": VIEWER, "Accept": "*/*", "Content-Type": MULTIPART}
    for method, path, content, status in (
        ("POST", "/studies", body, 200),
        ("GET", ONE.path, b"", 200),
        ("HEAD", ONE.path, b"", 200),
        ("GET", "/nothing", b"", 404),
        ("DELETE", "/studies", b"", 405),
        ("GET", "/healthz?%", b"", 400),
        ("POST", "/studies", b"", 400),
        ("GET", "/", b"", 426),
    ):
        answer = await shared.ask(method, path, headers, content)
        assert answer.status == status, path
        assert answer.headers[ALLOWED] == VIEWER
        assert "Warning" in answer.headers["access-control-expose-headers"]
        assert "origin" in answer.headers["vary"].lower().split(", ")
        stranger = await shared.ask(method, path, {**headers, "Origin": OTHER}, content)
        assert ALLOWED not in stranger.headers
        assert "origin" in stranger.headers["vary"].lower().split(", ")


async def test_without_the_setting_nothing_is_said(box: Box) -> None:
    for headers in ({"Origin": VIEWER}, PREFLIGHT, {}):
        answer = await call(box.application, Asked("GET", "/healthz", headers))
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert "vary" not in answer.headers
    assert (await box.ask("OPTIONS", "/", {**PREFLIGHT, "Host": "localhost", "Accept": "*/*"})).status == 401


async def test_anybody(tmp_path: Path) -> None:
    async with opened_box(tmp_path, CONFIG.replace(VIEWER, "*")) as box:
        answer = await box.ask("GET", "/healthz", {"Origin": OTHER})
        assert answer.headers[ALLOWED] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        assert (await box.ask("GET", "/healthz")).headers == answer.headers  # whatever a cache keeps serves any page


async def handshake(server: Running, origin: str | None) -> int:
    """The status of a WebSocket's opening handshake."""
    headers = [] if origin is None else [(b"Origin", origin.format(port=server.port).encode())]
    host = f"127.0.0.1:{server.port}"
    status = 101
    try:
        async with await server.open() as stream, trio.open_nursery() as nursery:
            session = await wrap_client_stream(nursery, stream, host, "/", extra_headers=headers)
            await session.aclose()
    except* ConnectionRejected as errors:
        [error] = errors.exceptions
        assert isinstance(error, ConnectionRejected)
        status = int(error.status_code)
    return status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),
        (VIEWER, 101),
        ("http://127.0.0.1:{port}", 101),
        ("HTTP://127.0.0.1:{port}", 101),
        (OTHER, 403),
        ("null", 403),
        ("https://127.0.0.1:{port}", 403),
        ("http://127.0.0.1:1", 403),
        ("http://127.0.0.1:{port}.evil.example", 403),
        ("", 403),
    ],
)
async def test_whose_pages_may_open_a_websocket(shared: Box, origin: str | None, status: int) -> None:
    async with serving(shared.application) as server:
        assert await handshake(server, origin) == status


async def test_over_a_socket(shared: Box) -> None:
    async with serving(shared.application) as server, connected(f"http://127.0.0.1:{server.port}") as connection:
        assert (await connection.ask("OPTIONS", "/studies", PREFLIGHT)).status == 204
        answer = await connection.ask("OPTIONS", "/", {"Origin": VIEWER, "Accept": "*/*"})
        assert (answer.status, answer.headers[ALLOWED]) == (200, VIEWER)
