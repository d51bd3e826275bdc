"""The gate by itself: passwords where nobody can read them, certificates, proxies, and what failing too often gets."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import trio

from edged.config import Access, Certificate, Password, Role, Token
from edged.config.scrypt import PasswordHash
from edged.http.forwarded import MALFORMED, NOTHING_SAID, SILENT, Forwarded, TrustedProxies, read_forwarded
from edged.origin.access import Gate
from edged.origin.exchange import Refusal, Request
from edged.origin.provenance import client_of
from edged.origin.requester import NOBODY, Proof, Requester
from edged.origin.throttle import EVERY_S, FAILURES, Throttle
from edged.telemetry.clock import ManualClock

ELSEWHERE = ("192.0.2.7", 40000)
NEAR = ("127.0.0.1", 40000)
DER = b"a certificate that TLS has verified"
STORE, READ = frozenset({Role.STORE}), frozenset({Role.READ})
SESAME = PasswordHash.of("sesame", b"0123456789abcdef", parallel=1)
ACCESS = Access(
    tokens=(Token(name="ct-1", sha256=hashlib.sha256(b"one").hexdigest(), roles=(Role.STORE,)),),
    passwords=(Password(name="ct-2", scrypt=SESAME, roles=(Role.STORE,)),),
    certificates=(
        Certificate(name="ct-3", sha256=hashlib.sha256(DER).hexdigest(), roles=(Role.STORE,)),
        Certificate(name="ct-4", subject="ct4.example", roles=(Role.READ,)),
    ),
)
PLAIN: dict[str, Any] = {}
TLS = {"edged.tls": {"client_certificate": None, "client_names": ()}}
UNIX = {"edged.peer": {"uid": 12345, "gid": 1, "pid": 1}}
BY_TLS = Forwarded(client=ip_address("198.51.100.9"), scheme="https", from_proxy=True, believed=True)
IN_CLEAR = Forwarded(client=ip_address("198.51.100.9"), scheme="http", from_proxy=True, believed=True)
VAGUE = Forwarded(from_proxy=True, believed=True)


@pytest.fixture
def gate() -> Gate:
    return Gate(ACCESS)


def certified(der: bytes, *names: str) -> dict[str, Any]:
    return {"edged.tls": {"client_certificate": der, "client_names": names}}


def asked(
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] = PLAIN,
    client: tuple[str, int] | None = ELSEWHERE,
    method: str = "POST",
) -> Request:
    """A request as the server hands it over."""
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "http", "method": method, "headers": raw, "client": client, "extensions": extensions}
    return Request(scope=scope, receive=trio.sleep_forever, path="/", base_url="http://192.0.2.1:8080")


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def admitted(gate: Gate, request: Request, roles: frozenset[Role], said: Forwarded = NOTHING_SAID) -> Requester:
    await gate.admit(request, roles, said)
    return request.requester


async def refused(gate: Gate, request: Request, said: Forwarded = VAGUE) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await gate.admit(request, STORE, said)
    return caught.value


@pytest.mark.parametrize(
    ("extensions", "client", "said", "taken"),
    [
        (TLS, ELSEWHERE, None, True),
        (PLAIN, NEAR, None, True),
        (UNIX, None, None, True),
        (TLS, ELSEWHERE, BY_TLS, True),
        (PLAIN, NEAR, BY_TLS, True),
        (UNIX, None, BY_TLS, True),
        (PLAIN, ELSEWHERE, None, False),
        (PLAIN, None, None, False),
        (PLAIN, ELSEWHERE, BY_TLS, False),
        (TLS, ELSEWHERE, IN_CLEAR, False),
        (PLAIN, NEAR, IN_CLEAR, False),
        (PLAIN, NEAR, VAGUE, False),
        (PLAIN, NEAR, SILENT, False),
        (UNIX, None, SILENT, False),
        (TLS, ELSEWHERE, SILENT, True),
        (TLS, ELSEWHERE, MALFORMED, False),
        (PLAIN, NEAR, MALFORMED, False),
    ],
)
async def test_a_password_is_taken_where_nobody_can_read_it(
    gate: Gate, *, extensions: dict[str, Any], client: tuple[str, int] | None, said: Forwarded | None, taken: bool
) -> None:
    forwarded = {"X-Forwarded-For": "198.51.100.9"} if said else {}
    request = asked({**basic("ct-2", "sesame"), **forwarded}, extensions, client)
    told = said or Forwarded()
    if taken:
        assert await admitted(gate, request, STORE, told) == Requester("ct-2", Proof.PASSWORD, STORE)
    else:
        refusal = await refused(gate, request, told)
        assert refusal.problem.status == 403
        assert "https" in refusal.problem.detail
        assert "sesame" not in repr(refusal.problem)
    challenge = dict((await refused(gate, asked(forwarded, extensions, client), told)).headers) if said else {}
    assert not said or ("Basic" in challenge["www-authenticate"]) == taken


async def test_a_proxy_that_is_not_believed_makes_a_plain_connection_readable(gate: Gate) -> None:
    request = asked({**basic("ct-2", "sesame"), "Via": "1.1 proxy"}, PLAIN, NEAR)
    assert (await refused(gate, request, Forwarded())).problem.status == 403


@pytest.mark.parametrize("headers", [basic("ct-2", "wrong"), basic("nobody", "sesame"), {"Authorization": "Basic x"}])
async def test_a_wrong_password(gate: Gate, headers: dict[str, str]) -> None:
    refusal = await refused(gate, asked(headers, TLS), Forwarded())
    assert refusal.problem.status == 401
    assert refusal.headers == (("www-authenticate", 'Basic realm="edged", charset="UTF-8", Bearer realm="edged"'),)


async def test_without_users_there_is_no_basic() -> None:
    gate = Gate(Access())
    for request in (asked(basic("ct-2", "sesame")), asked(basic("ct-2", "sesame"), TLS), asked()):
        refusal = await refused(gate, request, Forwarded())
        assert (refusal.problem.status, refusal.headers) == (401, (("www-authenticate", 'Bearer realm="edged"'),))


async def test_a_certificate_has_its_roles(gate: Gate) -> None:
    by_print = await gate.identify(asked(extensions=certified(DER, "ct4.example")))
    assert by_print == Requester("ct-3", Proof.CERTIFICATE, STORE)
    by_name = await gate.identify(asked(extensions=certified(b"other", "other", "ct4.example")))
    assert by_name == Requester("ct-4", Proof.CERTIFICATE, READ)
    assert (await refused(gate, asked(extensions=certified(b"other", "ct4.example")))).problem.status == 403
    with_token = asked(bearer("one"), certified(b"other", "ct4.example"))
    assert (await admitted(gate, with_token, STORE)).name == "ct-1"


async def test_a_certificate_that_is_not_listed_is_as_good_as_none(gate: Gate) -> None:
    stranger = certified(b"stranger", "stranger.example")
    refusal = await refused(gate, asked(extensions=stranger), Forwarded())
    assert refusal.problem.status == 401
    assert "Basic" in dict(refusal.headers)["www-authenticate"]  # what clients send only when they are asked
    assert hashlib.sha256(b"stranger").hexdigest() in refusal.problem.detail
    assert (await admitted(gate, asked(basic("ct-2", "sesame"), stranger), STORE)).name == "ct-2"
    open_gate = Gate(Access(anonymous=(Role.READ,), certificates=ACCESS.certificates))
    assert await open_gate.identify(asked(extensions=stranger)) == Requester("anonymous", roles=READ)


async def test_nobody_is_asked_where_no_role_is_needed(gate: Gate) -> None:
    assert await admitted(gate, asked(bearer("unknown")), frozenset()) == NOBODY


async def test_failing_too_often_is_answered_429_and_a_good_credential_still_passes() -> None:
    clock = ManualClock()
    gate = Gate(ACCESS, throttle=Throttle(clock.monotonic))
    bad, good = asked(bearer("unknown")), asked(bearer("one"))
    for _ in range(FAILURES):
        assert (await refused(gate, bad)).problem.status == 401
    refusal = await refused(gate, bad)
    assert (refusal.problem.status, refusal.problem.temporary) == (429, True)
    assert refusal.problem.retry_after == EVERY_S
    assert (await admitted(gate, good, STORE)).name == "ct-1"
    elsewhere = asked(bearer("unknown"), client=("192.0.2.8", 1))
    assert (await refused(gate, elsewhere)).problem.status == 401
    assert (await refused(gate, asked())).problem.status == 401  # without a credential nothing has failed
    clock.advance(EVERY_S)
    assert (await refused(gate, bad)).problem.status == 401
    assert (await refused(gate, bad)).problem.status == 429


async def test_the_address_is_the_one_that_a_believed_proxy_tells(gate: Gate) -> None:
    bad = asked(bearer("unknown"))
    for _ in range(FAILURES + 1):
        await refused(gate, bad, BY_TLS)
    assert (await refused(gate, bad, BY_TLS)).problem.status == 429
    other = replace(BY_TLS, client=ip_address("198.51.100.10"))
    assert (await refused(gate, bad, other)).problem.status == 401
    assert (await refused(gate, bad, Forwarded())).problem.status == 401


async def test_too_many_guesses_at_once_are_told_to_come_again(gate: Gate) -> None:
    statuses: list[int] = []

    async def guess(number: int) -> None:
        statuses.append((await refused(gate, asked(basic("ct-2", f"{number}"), TLS), Forwarded())).problem.status)
        if statuses.count(429) == 8:
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(guess, number)
    assert statuses.count(429) >= 8


async def test_a_password_that_others_failed_beside_is_let_in(
    gate: Gate, autojump_clock: trio.testing.MockClock
) -> None:
    """Tokens that fail, over and over, keep no password of their address waiting."""
    good, bad = asked(basic("ct-2", "sesame"), TLS), asked(bearer("unknown"), TLS)
    for _ in range(3 * FAILURES):
        await refused(gate, bad, Forwarded())
    assert (await refused(gate, bad, Forwarded())).problem.status == 429
    assert (await admitted(gate, good, STORE)).name == "ct-2"


@pytest.mark.parametrize(
    ("headers", "error"),
    [({}, ""), (bearer("unknown"), "invalid_token"), (basic("ct-2", "wrong"), ""), ({"Authorization": "Digest x"}, "")],
)
async def test_what_the_challenge_says(gate: Gate, headers: dict[str, str], error: str) -> None:
    """RFC 6750 3.1: why a token was not taken, and nothing where none was sent."""
    challenge = dict((await refused(gate, asked(headers, TLS), Forwarded())).headers)["www-authenticate"]
    told = f', error="{error}"' if error else ""
    assert challenge == 'Basic realm="edged", charset="UTF-8", Bearer realm="edged"' + told


async def test_who_lacks_the_role_is_known_all_the_same(gate: Gate) -> None:
    for request, name in (
        (asked(bearer("one")), "ct-1"),
        (asked(basic("ct-2", "sesame"), TLS), "ct-2"),
        (asked(extensions=certified(DER)), "ct-3"),
    ):
        with pytest.raises(Refusal) as caught:
            await gate.admit(request, READ)
        assert (caught.value.problem.status, request.requester.name) == (403, name)


async def test_a_token_without_the_role(gate: Gate) -> None:
    with pytest.raises(Refusal) as caught:
        await gate.admit(asked(bearer("one")), READ)
    assert caught.value.problem.status == 403
    assert caught.value.headers == (("www-authenticate", 'Bearer realm="edged", error="insufficient_scope"'),)
    with pytest.raises(Refusal) as caught:
        await gate.admit(asked(extensions=certified(DER)), READ)
    assert caught.value.headers == ()


@pytest.mark.parametrize("value", ["", " ", "Basic eDp5", "basic"])
async def test_where_there_are_no_users_an_old_password_is_none(value: str) -> None:
    """A modality that goes on sending what another box wanted stores as one that sends nothing."""
    gate = Gate(Access(anonymous=(Role.STORE,)))
    for _ in range(2 * FAILURES):
        assert (await admitted(gate, asked({"Authorization": value}), STORE)).proof is Proof.NONE
    with pytest.raises(Refusal) as caught:
        await gate.admit(asked({"Authorization": value}), READ)
    assert caught.value.problem.status == 401
    with_users = Gate(Access(anonymous=(Role.STORE,), passwords=ACCESS.passwords))
    assert (await refused(with_users, asked({"Authorization": "Basic eDp5"}, TLS), Forwarded())).problem.status == 401


@pytest.mark.parametrize(
    ("extensions", "client"), [(PLAIN, NEAR), ({"edged.peer": {"uid": 0, "gid": 0, "pid": 1}}, None)]
)
async def test_a_trusted_proxy_is_not_this_machine_whatever_it_leaves_unsaid(
    extensions: dict[str, Any], client: tuple[str, int] | None
) -> None:
    gate = Gate(Access())
    request = asked({"Host": "127.0.0.1:8080"}, extensions, client)
    assert (await admitted(gate, request, STORE)).roles == frozenset(Role)
    for said in (SILENT, MALFORMED, BY_TLS):
        assert (await refused(gate, request, said)).problem.status == 401


async def test_a_client_that_garbles_what_its_proxy_says_gains_nothing(gate: Gate) -> None:
    """Neither its password is taken over a readable leg, nor does it choose its address."""
    proxies = TrustedProxies(networks=(ip_network("192.0.2.0/24"),))
    for garbled in (
        {"forwarded": "for=1.2.3.4"},
        {"forwarded": 'for="'},
        {"x-forwarded-for": "x" * 9000 + ", 10.0.0.66"},
    ):
        fields = {"x-forwarded-for": "10.0.0.66", "x-forwarded-proto": "http", **garbled}
        said = read_forwarded(fields, "192.0.2.7", proxies)
        refusal = await refused(gate, asked(basic("ct-2", "sesame"), TLS), said)
        assert refusal.problem.status == 403
        assert client_of(asked(), said) in {"192.0.2.7", "10.0.0.66"}
