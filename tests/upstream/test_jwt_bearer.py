"""Signed assertions: what an issuer that verifies them gets, in both roles, with every kind of key, on any clock."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from edged.config import Auth, AuthKind, CredentialError
from edged.config.choices import SignatureAlgorithm
from edged.http.dates import http_date
from edged.telemetry.clock import ManualClock
from edged.telemetry.live import DestinationState
from edged.upstream.connection import ClientSettings
from edged.upstream.jwt_bearer import ASSERTION_TYPE, GRANT_TYPE, SignedAssertion
from edged.upstream.redaction import Redactor
from edged.upstream.tokens import Tokens
from tests.support.forwarding_kit import destination, forwarding
from tests.support.memory_wire import connector
from tests.support.scripted_archive import Reply, Stow, scripted_archive
from tests.support.stow_kit import named
from tests.support.token_endpoint import Endpoint, failed, granted

URL = "http://login.example/token"
NOW = 1_800_000_000.0
Key = RSAPrivateKey | EllipticCurvePrivateKey


@pytest.fixture(scope="module")
def rsa() -> RSAPrivateKey:
    return rsa_key(65537, 2048)


@pytest.fixture(scope="module")
def ec() -> EllipticCurvePrivateKey:
    return ec_key(SECP256R1())


def pem(key: Key, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def certificate(key: Key) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edge")])
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1))
    return made.sign(key, SHA256())


def decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))


@dataclass
class Issuer(Endpoint):
    """Gives a token only for an assertion that this key has signed, that is of now, and that is new."""

    key: Key | None = None
    now: Callable[[], float] = lambda: NOW
    headers: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answer = self.judged

    def judged(self, number: int) -> tuple[int, bytes]:
        form = self.asked[-1][1]
        assertion = form.get("assertion") or form["client_assertion"]
        header, claims, signature = assertion.split(".")
        self.headers.append(json.loads(decoded(header)))
        self.claims.append(json.loads(decoded(claims)))
        if not self._verified(f"{header}.{claims}".encode(), decoded(signature)):
            return failed(401, "invalid_client", f"bad signature of {assertion}")
        said = self.claims[-1]
        if not said["nbf"] <= self.now() < said["exp"] <= self.now() + 300:
            return failed(400, "invalid_grant", "not of now")
        if said["jti"] in [before["jti"] for before in self.claims[:-1]]:
            return failed(400, "invalid_grant", "used before")
        return granted(f"t{number}", expires_in=3600)

    def _verified(self, signed: bytes, signature: bytes) -> bool:
        try:
            if isinstance(self.key, RSAPrivateKey):
                self.key.public_key().verify(signature, signed, PKCS1v15(), SHA256())
            elif self.key is not None:
                if len(signature) != 64:
                    return False
                half = (int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
                self.key.public_key().verify(encode_dss_signature(*half), signed, ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True


@asynccontextmanager
async def tokens(
    folder: Path, peer: Issuer, key: bytes, clock: ManualClock | None = None, **more: Any
) -> AsyncIterator[Tokens]:
    clock = clock or ManualClock(NOW)
    (folder / "key").write_bytes(key)
    auth = Auth(**{"kind": AuthKind.JWT, "token_url": URL, "issuer": "edge", "key_file": folder / "key", **more})
    async with trio.open_nursery() as nursery:
        settings = ClientSettings(connector=connector(nursery, peer.serve))
        yield Tokens(SignedAssertion(auth, clock), settings, clock.monotonic, redactor=Redactor())
        nursery.cancel_scope.cancel()


async def test_an_assertion_is_the_grant(tmp_path: Path, rsa: RSAPrivateKey) -> None:
    issuer = Issuer(key=rsa)
    async with tokens(tmp_path, issuer, pem(rsa), scope="a b", subject="me", audience="urn:x", key_id="k1") as asked:
        assert await asked.current() == "t1"
    [(head, form)] = issuer.asked
    assert "authorization" not in head.lower()
    assert (form["grant_type"], form["scope"]) == (GRANT_TYPE, "a b")
    assert form.keys() == {"grant_type", "assertion", "scope"}
    assert issuer.headers == [{"alg": "RS256", "typ": "JWT", "kid": "k1"}]
    [claims] = issuer.claims
    assert claims.pop("jti")
    iat = claims.pop("iat")
    assert (claims.pop("nbf"), claims.pop("exp")) == (iat, int(NOW) + 240)
    assert claims == {"iss": "edge", "sub": "me", "aud": "urn:x", "scope": "a b"}
    assert iat < NOW


async def test_an_assertion_shows_who_the_client_is(tmp_path: Path, ec: EllipticCurvePrivateKey) -> None:
    issuer = Issuer(key=ec)
    async with tokens(tmp_path, issuer, pem(ec), issuer=None, client_id="box", scope="s", resource="urn:r") as asked:
        assert await asked.current() == "t1"
    [(_, form)] = issuer.asked
    assert form.pop("client_assertion")
    assert form.pop("client_assertion_type") == ASSERTION_TYPE
    assert form == {"grant_type": "client_credentials", "client_id": "box", "scope": "s", "resource": "urn:r"}
    assert issuer.headers == [{"alg": "ES256", "typ": "JWT"}]
    [claims] = issuer.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("box", "box", URL)
    assert "scope" not in claims


async def test_a_certificate_beside_the_key_is_named(tmp_path: Path, rsa: RSAPrivateKey) -> None:
    issuer, shown = Issuer(key=rsa), certificate(rsa)
    async with tokens(tmp_path, issuer, pem(rsa) + shown.public_bytes(Encoding.PEM)) as asked:
        assert await asked.current() == "t1"
    assert decoded(issuer.headers[0]["x5t#S256"]) == shown.fingerprint(SHA256())
    assert len(decoded(issuer.headers[0]["x5t"])) == 20


async def test_the_key_of_a_service_account_says_who_it_is(tmp_path: Path, rsa: RSAPrivateKey) -> None:
    account = {"type": "service_account", "client_email": "e@p.example", "private_key_id": "k7", "token_uri": URL}
    account["private_key"] = pem(rsa).decode()
    issuer, scope = Issuer(key=rsa), "https://cloud.example/scope"
    async with tokens(tmp_path, issuer, json.dumps(account).encode(), issuer=None, scope=scope) as asked:
        assert await asked.current() == "t1"
    assert issuer.headers[0]["kid"] == "k7"
    [claims] = issuer.claims
    assert (claims["iss"], claims["aud"], claims["scope"]) == ("e@p.example", URL, scope)
    assert "sub" not in claims, "that is for whom it may impersonate"


async def test_a_service_account_is_told_nothing_in_the_clear(tmp_path: Path, rsa: RSAPrivateKey) -> None:
    account = {"client_email": "e", "private_key": pem(rsa).decode(), "token_uri": URL}
    async with tokens(tmp_path, Issuer(), json.dumps(account).encode(), token_url=None) as asked:
        with pytest.raises(CredentialError, match="token_uri must be https"):
            await asked.current()


async def test_a_key_that_is_replaced_is_found(tmp_path: Path, rsa: RSAPrivateKey, ec: EllipticCurvePrivateKey) -> None:
    issuer, clock = Issuer(key=ec), ManualClock(NOW)
    async with tokens(tmp_path, issuer, pem(rsa), clock) as asked:
        with pytest.raises(CredentialError, match="The issuer must know client_id and the public key") as caught:
            await asked.current()
        assert issuer.asked[0][1]["assertion"] not in str(caught.value)
        (tmp_path / "key").write_bytes(pem(ec))
        clock.advance(10)
        clock.set_wall(NOW)
        assert await asked.current() == "t2"
        clock.advance(3590)
        issuer.now = clock.wall
        assert await asked.current() == "t3", "renewed with a new assertion, not with the old one"


@pytest.mark.parametrize("off_s", [-86_400.0 * 365, -600.0, 600.0])
async def test_a_clock_that_is_not_trusted_gives_way_to_the_issuer_s(
    tmp_path: Path, ec: EllipticCurvePrivateKey, off_s: float
) -> None:
    clock = ManualClock(NOW + off_s, trusted=False)
    issuer = Issuer(key=ec, date=http_date(NOW))
    async with tokens(tmp_path, issuer, pem(ec), clock) as asked:
        assert await asked.current() == "t2"
        clock.advance(3590)
        issuer.now, issuer.date = lambda: NOW + 3590, http_date(NOW + 3590)
        assert await asked.current() == "t3", "how far it is off is known now"


@pytest.mark.parametrize(
    ("clock", "date", "said"),
    [
        (ManualClock(NOW - 7200), NOW, "The clock of this box is 7200 s behind the endpoint's: set the time. Compare"),
        (ManualClock(NOW + 7200), NOW, "The clock of this box is 7200 s ahead of the endpoint's"),
        (ManualClock(NOW - 7200, trusted=False), None, "The clock of this box is not synchronised"),
        (ManualClock(NOW - 7200), None, "not of now. Compare issuer, subject, audience and key_id"),
    ],
)
async def test_a_clock_that_is_wrong_is_named(
    tmp_path: Path, ec: EllipticCurvePrivateKey, clock: ManualClock, date: float | None, said: str
) -> None:
    issuer = Issuer(key=ec, date=http_date(date) if date else "")
    async with tokens(tmp_path, issuer, pem(ec), clock) as asked:
        with pytest.raises(CredentialError, match=said):
            await asked.current()
    assert len(issuer.asked) == 1


@pytest.mark.parametrize(
    ("key", "more", "said"),
    [
        (b"", {}, "holds no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nTOP-SECRET\n-----END PRIVATE KEY-----\n", {}, "holds no private key"),
        (b'{"type": "TOP-SECRET"}', {}, "not the key of a service account"),
        (b"{TOP-SECRET", {}, "not the key of a service account"),
        (b'{"client_email": "e", "private_key": "TOP-SECRET"}', {}, "holds no private key"),
        (bytes(65537), {}, "longer than 65536 bytes"),
        (pem(rsa_key(65537, 1024)), {}, "at least 2048 bits"),
        (pem(ec_key(SECP384R1())), {}, "of the curve P-256"),
        (pem(ec_key(SECP256R1()), BestAvailableEncryption(b"x")), {}, "the key is encrypted"),
        (pem(ec_key(SECP256R1())), {"algorithm": SignatureAlgorithm.RS256}, "a key for ES256, and algorithm says RS"),
        (pem(ec_key(SECP256R1())), {"issuer": None}, "issuer: must be given"),
        (pem(ec_key(SECP256R1())), {"token_url": None}, "token_url: must be given"),
    ],
)
async def test_a_key_that_cannot_be_used(tmp_path: Path, key: bytes, more: dict[str, Any], said: str) -> None:
    issuer = Issuer()
    async with tokens(tmp_path, issuer, key, **more) as asked:
        with pytest.raises(CredentialError, match=said) as caught:
            await asked.current()
    assert "SECRET" not in str(caught.value)
    assert issuer.asked == []


async def test_a_destination_that_wants_new_tokens_gets_them_by_itself(
    tmp_path: Path, ec: EllipticCurvePrivateKey
) -> None:
    (tmp_path / "key").write_bytes(pem(ec))
    issuer = Issuer(key=rsa_key(65537, 2048))
    async with trio.open_nursery() as nursery, scripted_archive() as (archive, _):
        [listener] = await nursery.start(partial(trio.serve_tcp, issuer.serve, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/token"
        auth = f'{{kind = "jwt", token_url = "{url}", issuer = "edge", key_file = "{tmp_path}/key"}}'

        def wants_a_token(stow: Stow) -> Reply:
            told = stow.asked.all("authorization")
            return archive.store_all(stow) if told == [f"Bearer t{len(issuer.asked)}"] else Reply(401)

        archive.on_store = wants_a_token
        async with forwarding(tmp_path, destination(archive.url, auth=auth)) as box:
            issuer.now = box.clock.wall
            await box.take_made(named(1))
            await box.until(lambda: box.stands().state is DestinationState.AUTH_FAULT)
            assert "invalid_client" in (box.stands().last_error or pytest.fail("none")).text
            assertions = [form["assertion"] for _, form in issuer.asked]
            issuer.key = ec
            await box.until(lambda: box.at() == {"sent": 1}, step_s=30.0)
            shown = repr((box.stands(), box.events(), box.conditions.snapshot()))
            assert not [each for each in assertions if each in shown]
        nursery.cancel_scope.cancel()
