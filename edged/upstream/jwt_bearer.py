"""Access tokens for a signed assertion (RFC 7523): who the box is, is shown by a key that never leaves it.

Without a client_id the assertion is the grant itself (2.1), as Google's service accounts do; with one it is how the
client shows who it is, for the client credentials grant (2.2), as key and certificate clients of Microsoft's and
Keycloak's do. The key file is read for each assertion. It is PEM, beside it its certificate if the issuer knows the key
by that, or a service account's JSON, which also says who the box is and where tokens are given.

An assertion lives by the clock. The Date of a refusal tells how far the endpoint's clock is from the box's: where the
box's own is not trusted the endpoint's is gone by, on the box's word otherwise and with the difference in the error.

Invariants: an assertion is signed anew for each request and never used twice (`jti`); nothing of the key stands in an
error.
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edged.config import Auth, CredentialError, read_secret_lines
from edged.config.choices import SignatureAlgorithm
from edged.http.dates import parse_http_date
from edged.telemetry.clock import Clock
from edged.upstream.oauth2 import wanted
from edged.upstream.tokens import Refused, TokenRequest

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LIFE_S, BACKDATED_S = 240, 30
"""Together less than the five minutes that some issuers allow; dated back for a clock that runs a little ahead."""
TOLERATED_S = 60.0
"""Issuers take assertions from clocks that are this far away."""

_LEAST_RSA_BITS = 2048  # RFC 7518 3.3
_P256_BYTES = 32
_REMEDIES = {
    "invalid_client": "The issuer must know client_id and the public key of key_file.",
    "invalid_grant": "Compare issuer, subject, audience and key_id with what the issuer knows of the key in key_file.",
    "invalid_scope": "Compare scope with what the issuer allows.",
    "unauthorized_client": "The issuer must allow this account the scope, and subject if it is set.",
}


class _ServiceAccount(msgspec.Struct):
    """A service account's key as Google gives it out."""

    client_email: str
    private_key: str
    private_key_id: str | None = None
    token_uri: str | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key, and what a header tells of it."""

    key: RSAPrivateKey | EllipticCurvePrivateKey = field(repr=False)
    header: Mapping[str, str]

    def sign(self, claims: Mapping[str, str | int]) -> str:
        """Return a signed assertion, compact. Source: RFC 7515 7.1, RFC 7518 3.3, 3.4."""
        signed = b".".join(_base64url(msgspec.json.encode(part)) for part in (self.header, claims))
        if isinstance(self.key, RSAPrivateKey):
            signature = self.key.sign(signed, PKCS1v15(), SHA256())
        else:
            numbers = decode_dss_signature(self.key.sign(signed, ECDSA(SHA256())))
            signature = b"".join(number.to_bytes(_P256_BYTES, "big") for number in numbers)
        return b".".join((signed, _base64url(signature))).decode()


@dataclass(frozen=True, slots=True)
class Identity:
    """What is signed with, and what the key file itself says; `is_service_account` of a file that does."""

    signer: Signer
    issuer: str | None = None
    token_url: str | None = None
    is_service_account: bool = False


class SignedAssertion:
    """A `Grant` by a private key."""

    def __init__(self, auth: Auth, clock: Clock) -> None:
        self._auth = auth
        self._clock = clock
        self._ahead_s = 0.0

    def request(self) -> TokenRequest:
        """As Grant. Source: RFC 7523 2.1, 2.2, 3."""
        auth = self._auth
        identity = read_identity(auth)
        url = auth.token_url or identity.token_url
        issuer = auth.issuer or identity.issuer or auth.client_id
        if url is None or issuer is None:
            missing = "token_url" if url is None else "issuer"
            raise CredentialError(f"{missing}: must be given; {auth.key_file} does not say it")
        if auth.token_url is None and not url.startswith("https://"):
            raise CredentialError(f"{auth.key_file}: token_uri must be https; nobody may read what is told there")
        assertion = identity.signer.sign(self._claims(identity, issuer, audience=auth.audience or url))
        if auth.client_id is None:
            form = {"grant_type": GRANT_TYPE, "assertion": assertion}
        else:
            form = {"grant_type": "client_credentials", "client_id": auth.client_id}
            form |= {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
        return TokenRequest(url, form | wanted(auth), (assertion,))

    def otherwise(self, refused: Refused) -> bool:
        """As Grant: a clock that is not trusted gives way to the endpoint's, once it is known."""
        ahead_s = self._endpoint_ahead_s(refused)
        if self._clock.trusted() or ahead_s is None or abs(ahead_s - self._ahead_s) <= TOLERATED_S:
            return False
        self._ahead_s = ahead_s
        return True

    def remedy(self, refused: Refused) -> str:
        """As Grant; a clock that is wrong is named first."""
        ahead_s = self._endpoint_ahead_s(refused)
        hint = _REMEDIES.get(refused.error, "")
        if ahead_s is not None and abs(ahead_s) > TOLERATED_S:
            order = "behind" if ahead_s > 0 else "ahead of"
            return (
                f"The clock of this box is {abs(ahead_s):.0f} s {order} the endpoint's: set the time. {hint}".rstrip()
            )
        if not self._clock.trusted():
            return f"The clock of this box is not synchronised, and an assertion lives by the time. {hint}".rstrip()
        return hint

    def _claims(self, identity: Identity, issuer: str, *, audience: str) -> dict[str, str | int]:
        """RFC 7523 3. A service account speaks for itself unless `subject` names somebody, which it must be allowed."""
        auth = self._auth
        now = int(self._clock.wall() + (0.0 if self._clock.trusted() else self._ahead_s))
        claims: dict[str, str | int] = {"iss": issuer, "aud": audience, "jti": str(uuid4())}
        claims |= {"iat": now - BACKDATED_S, "nbf": now - BACKDATED_S, "exp": now + LIFE_S}
        if auth.subject is not None or not identity.is_service_account:
            claims["sub"] = auth.subject or issuer
        if auth.client_id is None and auth.scope is not None:
            claims["scope"] = auth.scope  # where Google looks for it
        return claims

    def _endpoint_ahead_s(self, refused: Refused) -> float | None:
        """How far the endpoint's clock is ahead of the box's; None if it did not tell."""
        now = self._clock.wall()
        date = parse_http_date(refused.date, now)
        return None if date is None else date - now


def read_identity(auth: Auth) -> Identity:
    """Read the key file. Raises CredentialError, naming the file and never what is in it."""
    assert auth.key_file is not None  # the settings have been judged
    content = read_secret_lines(auth.key_file)
    if not content.lstrip().startswith(b"{"):
        return Identity(_signer(auth, content, key_id=auth.key_id))
    try:
        account = msgspec.json.decode(content, type=_ServiceAccount)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise CredentialError(f"{auth.key_file}: JSON, but not the key of a service account") from None
    signer = _signer(auth, account.private_key.encode(), key_id=auth.key_id or account.private_key_id)
    return Identity(signer, account.client_email, account.token_uri, is_service_account=True)


def _signer(auth: Auth, pem: bytes, *, key_id: str | None) -> Signer:
    path = auth.key_file
    try:
        key = load_pem_private_key(pem, None)
        certificate = x509.load_pem_x509_certificate(pem) if b"BEGIN CERTIFICATE" in pem else None
    except TypeError:
        raise CredentialError(f"{path}: the key is encrypted; edged needs it as it is") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialError(f"{path}: holds no private key in PEM that can be read") from None
    match key:
        case RSAPrivateKey() if key.key_size >= _LEAST_RSA_BITS:
            algorithm = SignatureAlgorithm.RS256
        case EllipticCurvePrivateKey() if isinstance(key.curve, SECP256R1):
            algorithm = SignatureAlgorithm.ES256
        case _:
            raise CredentialError(
                f"{path}: write an RSA key of at least {_LEAST_RSA_BITS} bits, or one of the curve P-256"
            )
    if auth.algorithm not in {None, algorithm}:
        raise CredentialError(f"{path}: is a key for {algorithm}, and algorithm says {auth.algorithm}")
    header = {"alg": algorithm.value, "typ": "JWT"}
    if key_id is not None:
        header["kid"] = key_id
    if certificate is not None:  # RFC 7515 4.1.7, 4.1.8; not a protection: the name of a certificate
        header["x5t"] = _base64url(certificate.fingerprint(SHA1())).decode()  # noqa: S303
        header["x5t#S256"] = _base64url(certificate.fingerprint(SHA256())).decode()
    return Signer(key, header)


def _base64url(value: bytes) -> bytes:
    return urlsafe_b64encode(value).rstrip(b"=")
