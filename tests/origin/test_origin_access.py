"""Who may do what: anonymous roles, bearer tokens, loopback, the control socket (DESIGN §1.9, §6 [access])."""

import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from tests.support.asgi_kit import LOOPBACK, Answer, Asked, call
from tests.support.box_kit import Box, opened_box, served_box
from tests.support.http_client import connected, connected_locally
from tests.support.stow_kit import MULTIPART, made, multipart, named

ELSEWHERE = ("192.0.2.7", 40000)
STRANGER = max(1, os.geteuid()) + 1
TOKENS = {"store": ["store"], "read": ["read"], "monitor": ["monitor"], "admin": ["admin"], "both": ["store", "read"]}
RESOURCES = {
    "store": ("POST", "/studies"),
    "read": ("GET", named(1).path),
    "monitor": ("GET", "/admin/status"),
    "admin": ("GET", f"/admin/instances/{named(1).instance}/file"),
}


def access(anonymous: str = "") -> str:
    """An [access] section with a token for each role, named like its secret."""
    tokens = [
        f'[[access.token]]\nname = "{name}"\nsha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\nroles = {roles}\n'
        for name, roles in TOKENS.items()
    ]
    return f"[access]\n{anonymous}\n" + "".join(tokens).replace("'", '"')


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Box]:
    """A box with tokens and the default for anonymous."""
    async with opened_box(tmp_path, access()) as opened:
        yield opened


async def ask(
    box: Box,
    resource: str,
    headers: Mapping[str, str] | None = None,
    *,
    client: tuple[str, int] | None = LOOPBACK,
    uid: int | None = None,
) -> Answer:
    """Use the resource that one role is for."""
    method, path = RESOURCES[resource]
    body = multipart([made(named(1))]) if method == "POST" else b""
    given = {"Content-Type": MULTIPART, "Accept": "*/*", **(headers or {})}
    extensions = {} if uid is None else {"edged.peer": {"uid": uid, "gid": uid, "pid": 1}}
    return await call(box.application, Asked(method, path, given, body, client=client, extensions=extensions))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("token", TOKENS)
async def test_a_token_has_its_roles_and_no_more(guarded: Box, token: str) -> None:
    await ask(guarded, "store")
    for resource in RESOURCES:
        answer = await ask(guarded, resource, bearer(token), client=ELSEWHERE)
        allowed = resource in TOKENS[token] or (resource, token) == ("monitor", "admin")
        assert answer.status == (200 if allowed else 403), resource


async def test_a_token_decides_on_loopback_too(guarded: Box) -> None:
    assert (await ask(guarded, "store", bearer("read"))).status == 403
    assert (await ask(guarded, "store", bearer("unknown"))).status == 401


@pytest.mark.parametrize(
    "value", ["Bearer nobody", "Bearer", "Bearer ", "Basic c3RvcmU6c3RvcmU=", "store", "", "Bearer store, Bearer read"]
)
async def test_credentials_that_are_not_known(guarded: Box, value: str) -> None:
    answer = await ask(guarded, "store", {"Authorization": value}, client=ELSEWHERE)
    assert answer.status == 401
    told = ', error="invalid_token"' if value.startswith("Bearer") else ""
    assert answer.headers["www-authenticate"] == 'Bearer realm="edged"' + told


async def test_the_scheme_is_written_in_any_case(guarded: Box) -> None:
    for value in ("bearer store", "BEARER  store "):
        assert (await ask(guarded, "store", {"Authorization": value}, client=ELSEWHERE)).status == 200


async def test_anonymous_on_loopback_and_elsewhere(guarded: Box) -> None:
    for resource in RESOURCES:
        assert (await ask(guarded, resource)).status == 200
        answer = await ask(guarded, resource, client=ELSEWHERE)
        assert answer.status == 401
        assert answer.headers["www-authenticate"]
    assert (await ask(guarded, "store", client=("::1", 1))).status == 200
    assert (await ask(guarded, "store", client=None)).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Forwarded": "for=192.0.2.7"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Port": "443"},
        {"X-Forwarded-Anything": ""},
        {"X-Real-IP": "192.0.2.7"},
        {"Via": "1.1 proxy"},
        {"Host": "box.example"},
        {"Host": "localhost.evil.example:8080"},
        {"Host": "192.0.2.7:8080"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example:8080"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://"},
    ],
)
async def test_what_is_not_a_loopback_request(guarded: Box, headers: Mapping[str, str]) -> None:
    assert (await ask(guarded, "store", headers)).status == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8080", "[::1]"])
async def test_names_of_loopback(guarded: Box, host: str) -> None:
    assert (await ask(guarded, "store", {"Host": host})).status == 200


@pytest.mark.parametrize("origin", ["http://localhost:8080", "https://127.0.0.1", "http://[::1]:8080"])
async def test_a_page_of_this_machine_is_of_this_machine(guarded: Box, origin: str) -> None:
    assert (await ask(guarded, "store", {"Origin": origin})).status == 200


async def test_named_anonymous_roles_hold_everywhere(tmp_path: Path) -> None:
    async with opened_box(tmp_path, access('anonymous = ["store"]')) as box:
        for client in (LOOPBACK, ELSEWHERE, None):
            assert (await ask(box, "store", client=client)).status == 200
            assert (await ask(box, "read", client=client)).status == 401
    async with opened_box(tmp_path / "none", access("anonymous = []")) as box:
        assert (await ask(box, "store")).status == 401
        assert (await call(box.application, Asked("GET", "/healthz", client=ELSEWHERE))).status == 200


async def test_the_peer_of_a_unix_socket(guarded: Box) -> None:
    await ask(guarded, "store")
    for resource in RESOURCES:
        for uid in (0, os.geteuid()):
            assert (await ask(guarded, resource, client=None, uid=uid)).status == 200
        assert (await ask(guarded, resource, client=None, uid=STRANGER)).status == 401
        forwarded = {"X-Forwarded-For": "192.0.2.7"}
        assert (await ask(guarded, resource, forwarded, client=None, uid=0)).status == 401
    assert (await ask(guarded, "store", bearer("store"), client=None, uid=STRANGER)).status == 200
    assert (await ask(guarded, "admin", bearer("store"), client=None, uid=0)).status == 403


async def test_over_real_sockets(tmp_path: Path) -> None:
    async with served_box(tmp_path, access("anonymous = []")) as parts:
        async with connected(parts.urls[0]) as connection:
            assert (await connection.ask("GET", "/admin/status")).status == 401
            assert (await connection.ask("GET", "/admin/status", bearer("read"))).status == 403
            assert (await connection.ask("GET", "/admin/status", bearer("monitor"))).status == 200
            assert (await connection.ask("GET", "/healthz")).status == 200
        async with connected_locally(str(parts.settings.box.control)) as control:
            assert (await control.ask("GET", "/admin/status")).status == 200
