"""Web pages: what they may do in the name of whoever looks at them, by Origin, Host and what is known of who asks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.config import Access, Certificate, Origin, Password, Role
from edged.http.forwarded import NOTHING_SAID, Forwarded
from edged.origin.access import Gate
from edged.origin.exchange import Refusal, Request
from edged.origin.pages import Pages
from edged.origin.requester import Proof
from tests.origin.test_origin_gate import ELSEWHERE, NEAR, SESAME, basic, certified
from tests.support.asgi_kit import LOOPBACK, Asked, call
from tests.support.box_kit import opened_box
from tests.support.stow_kit import named

EVIL, VIEWER, OWN = "http://evil.example", "https://viewer.example", "http://192.0.2.1:8080"
EVERY_ROLE = tuple(Role)
READ, STORE = frozenset({Role.READ}), frozenset({Role.STORE})
SETTINGS = Origin(names=("box.example",), base_url="https://pacs.example/edged", cors=(VIEWER,))
ANYBODY = Origin(cors=("*",))


def asked(
    headers: Mapping[str, str],
    method: str = "GET",
    *,
    client: tuple[str, int] | None = ELSEWHERE,
    extensions: Mapping[str, Any] | None = None,
    websocket: bool = False,
) -> Request:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "headers": raw, "client": client, "extensions": extensions or {}}
    if websocket:
        scope = {**scope, "type": "websocket"}
        del scope["method"]
    return Request(scope=scope, receive=trio.sleep_forever, path="/", base_url=OWN)


async def status(gate: Gate, request: Request, roles: frozenset[Role], said: Forwarded = NOTHING_SAID) -> int:
    try:
        await gate.admit(request, roles, said)
    except Refusal as refusal:
        return refusal.problem.status
    return 200


@pytest.mark.parametrize(
    ("headers", "granted"),
    [
        ({}, True),
        ({"Host": "192.0.2.1:8080"}, True),
        ({"Host": "[2001:db8::1]:8080"}, True),
        ({"Host": "localhost"}, True),
        ({"Host": "Box.Example:8080"}, True),
        ({"Host": "pacs.example"}, True),
        ({"Host": "192.0.2.1", "Origin": OWN}, True),
        ({"Host": "192.0.2.1", "Origin": VIEWER}, True),
        ({"Host": "192.0.2.1", "Origin": "http://localhost:3000"}, True),
        ({"Host": "evil.example:8080"}, False),
        ({"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}, False),
        ({"Host": "box.example.evil.example"}, False),
        ({"Host": ""}, False),
        ({"Host": "x" * 300}, False),
        ({"Host": "192.0.2.1", "Origin": EVIL}, False),
        ({"Host": "192.0.2.1", "Origin": "null"}, False),
        ({"Host": "192.0.2.1", "Origin": ""}, False),
    ],
)
@pytest.mark.parametrize("client", [NEAR, ELSEWHERE])
async def test_a_rebound_name_gets_nothing_out(
    headers: dict[str, str], client: tuple[str, int], *, granted: bool
) -> None:
    gate = Gate(Access(anonymous=EVERY_ROLE), SETTINGS)
    for role in Role:
        wanted = granted or role is Role.STORE
        assert await status(gate, asked(headers, client=client), frozenset({role})) == (200 if wanted else 401), role


async def test_the_host_that_a_trusted_proxy_was_asked_for_counts() -> None:
    gate = Gate(Access(anonymous=EVERY_ROLE), SETTINGS)
    for host, expected in (("box.example", 200), ("[2001:db8::1]", 200), ("evil.example", 401)):
        said = Forwarded(host=host, from_proxy=True, believed=True)
        assert await status(gate, asked({"Host": "192.0.2.1"}), READ, said) == expected


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Host": "ct\xe9.example"}, ('"ct?.example"', "origin.names")),
        ({"Host": "192.0.2.1", "Origin": EVIL}, (EVIL, "origin.cors")),
    ],
)
async def test_the_answer_names_what_is_wrong_and_the_remedy(headers: dict[str, str], told: tuple[str, ...]) -> None:
    gate = Gate(Access(anonymous=EVERY_ROLE), SETTINGS)
    with pytest.raises(Refusal) as caught:
        await gate.admit(asked(headers), READ)
    assert all(each in caught.value.problem.detail for each in told)
    assert caught.value.headers  # with a credential it is served


async def test_a_role_that_nobody_has_is_not_a_matter_of_names() -> None:
    with pytest.raises(Refusal) as caught:
        await Gate(Access(anonymous=(Role.STORE,)), SETTINGS).admit(asked({"Host": "evil.example"}), READ)
    assert "origin.names" not in caught.value.problem.detail


ACCESS = Access(
    anonymous=(Role.STORE, Role.READ),
    passwords=(Password(name="ct", scrypt=SESAME, roles=EVERY_ROLE),),
    certificates=(Certificate(name="mr", subject="mr", roles=EVERY_ROLE),),
)
TLS = {"edged.tls": {"client_certificate": None, "client_names": ()}}
ROOT = {"edged.peer": {"uid": 0, "gid": 0, "pid": 1}}


@pytest.mark.parametrize("settings", [SETTINGS, ANYBODY])
@pytest.mark.parametrize(
    ("origin", "named", "starred"),
    [(None, True, True), (OWN, True, True), (VIEWER, True, False), (EVIL, False, False), ("null", False, False)],
)
async def test_what_the_browser_adds_serves_named_pages_only(
    settings: Origin, origin: str | None, *, named: bool, starred: bool
) -> None:
    """A password, a certificate, a Unix socket: none is the page's own; reading is left to CORS."""
    gate = Gate(ACCESS, settings)
    allowed = named if settings is SETTINGS else starred
    given = {"Host": "192.0.2.1:8080"} if origin is None else {"Host": "192.0.2.1:8080", "Origin": origin}
    for headers, extensions, client in (
        ({**given, **basic("ct", "sesame")}, TLS, ELSEWHERE),
        (given, certified(b"mr", "mr"), ELSEWHERE),
        (given, ROOT, None),
    ):
        for method in ("POST", "PUT", "DELETE"):
            request = asked(headers, method, client=client, extensions=extensions)
            assert await status(gate, request, STORE) == (200 if allowed else 403)
        for method in ("GET", "HEAD", "OPTIONS"):
            assert await status(gate, asked(headers, method, client=client, extensions=extensions), STORE) == 200
        opening = asked(headers, client=client, extensions=extensions, websocket=True)
        assert await status(gate, opening, READ) == (200 if allowed else 403)


async def test_without_a_credential_all_pages_may_what_all_may() -> None:
    """`*` is the operator's word for that; else a page stores nothing from where it happens to be looked at."""
    for settings, expected in ((ANYBODY, 200), (SETTINGS, 403)):
        gate = Gate(Access(anonymous=(Role.STORE,)), settings)
        assert await status(gate, asked({"Host": "192.0.2.1", "Origin": EVIL}, "POST"), STORE) == expected
        assert await status(gate, asked({"Host": "ct-box.example"}, "POST"), STORE) == 200
        rebound = asked({"Host": "evil.example", "Origin": EVIL}, "POST")
        assert await status(gate, rebound, STORE) == 403


async def test_a_page_of_this_machine_may_use_what_this_machine_may() -> None:
    gate = Gate(ACCESS, SETTINGS)
    page = {"Host": "192.0.2.1:8080", "Origin": "http://localhost:3000"}
    for client, expected in ((NEAR, 200), (ELSEWHERE, 403)):
        request = asked({**page, **basic("ct", "sesame")}, "POST", client=client, extensions=TLS)
        assert await status(gate, request, STORE) == expected


async def test_a_whole_box_with_names(tmp_path: Path) -> None:
    config = '[origin]\nbind = ["http://127.0.0.1:0"]\nnames = ["box.example"]\n[access]\nanonymous = ["read"]\n'
    async with opened_box(tmp_path, config) as box:
        for host, expected in (("box.example", 404), ("127.0.0.1", 404), ("evil.example", 401)):
            asking = Asked("GET", named(1).path, {"Host": host, "Accept": "*/*"}, client=LOOPBACK)
            assert (await call(box.application, asking)).status == expected
        forged = Asked("POST", "/studies", {"Origin": EVIL}, client=LOOPBACK)
        assert (await call(box.application, forged)).status == 401


@given(
    st.one_of(st.none(), st.text(st.characters(max_codepoint=255), max_size=300)),
    st.one_of(st.none(), st.text(st.characters(max_codepoint=255), max_size=300)),
    st.sampled_from(Proof),
)
def test_any_origin_and_host_is_judged(host: str | None, origin: str | None, proof: Proof) -> None:
    headers = {name: value for name, value in (("Host", host), ("Origin", origin)) if value is not None}
    for settings in (SETTINGS, ANYBODY, Origin()):
        pages = Pages(settings)
        doubt = pages.doubt(asked(headers), NOTHING_SAID)
        assert doubt is None or doubt.isprintable()
        assert not pages.forges(asked(headers), NOTHING_SAID, proof)
        forged = pages.forges(asked(headers, "POST"), NOTHING_SAID, proof)
        assert not (forged and (origin is None or proof is Proof.TOKEN))
