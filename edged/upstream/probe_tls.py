"""Looking at a peer's TLS: the version and protocol that it selects, its certificates, and whether they are trusted.

Trust and pins are those of the destination, as when it is sent to. What is not trusted is looked at once more without
trusting it, only to be able to say whose certificate it is; nothing but the handshake is sent then, and no certificate
of this side. The handshake is made in memory over a connection that is there already, so that the chain can be seen.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography import x509

from edged.telemetry.live import Phase
from edged.upstream.probe_judging import Fault
from edged.upstream.transport import Transport

SOON_DAYS = 30.0
"""A certificate that ends within so many days is told of as one that ends soon."""
_DAY_S = 86_400.0


class Verify(IntEnum):
    """Why OpenSSL does not accept a certificate: the values of X509_V_ERR that have a remedy of their own."""

    NOT_YET_VALID = 9
    HAS_EXPIRED = 10
    DEPTH_ZERO_SELF_SIGNED = 18
    SELF_SIGNED_IN_CHAIN = 19
    UNKNOWN_ISSUER = 20
    UNVERIFIABLE = 21
    HOST_NAME_MISMATCH = 62
    ADDRESS_MISMATCH = 64


_UNKNOWN = "give the certificate of its authority as `[destination.tls] ca`, after checking that it is the right one"
_OTHER_NAME = "use a name in `url` that the certificate holds"
_CLOCK = "check the clock of this machine; if it is right, whoever runs the destination must renew the certificate"
_REMEDIES: Mapping[int, str] = {
    Verify.NOT_YET_VALID: _CLOCK,
    Verify.HAS_EXPIRED: _CLOCK,
    Verify.DEPTH_ZERO_SELF_SIGNED: _UNKNOWN,
    Verify.SELF_SIGNED_IN_CHAIN: _UNKNOWN,
    Verify.UNKNOWN_ISSUER: _UNKNOWN,
    Verify.UNVERIFIABLE: _UNKNOWN,
    Verify.HOST_NAME_MISMATCH: _OTHER_NAME,
    Verify.ADDRESS_MISMATCH: _OTHER_NAME,
}


class Unaccepted(Fault):
    """The peer showed a certificate, and it is not trusted."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One certificate of a chain; `days_left` is negative once it has ended."""

    subject: str
    issuer: str
    days_left: float

    @property
    def text(self) -> str:
        """It in one line."""
        ends = f"{self.days_left:.0f} days left" if self.days_left >= 0 else f"ended {-self.days_left:.0f} days ago"
        return f"{self.subject}, issued by {self.issuer}, {ends}"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What was agreed on, and the chain that the peer showed (DER), its own certificate first."""

    version: str
    alpn: str | None
    chain: tuple[bytes, ...]


def untrusting() -> ssl.SSLContext:
    """Return a context that trusts whatever is shown, to look at it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def shake_hands(transport: Transport, context: ssl.SSLContext, host: str) -> Handshake:
    """Do a handshake over a plain connection. Raises Fault (tls)."""
    coming, going = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(coming, going, server_hostname=host)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            await transport.send(going.read())
            if not (data := await transport.receive()):
                raise Fault(Phase.TLS, "the connection was closed in the handshake") from None
            coming.write(data)
        except ssl.SSLError as error:
            await transport.send(going.read())
            raise _fault_of(error) from None
        else:
            await transport.send(going.read())
            return Handshake(tls.version() or "TLS", tls.selected_alpn_protocol(), _chain(tls))


def _fault_of(error: ssl.SSLError) -> Fault:
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"its certificate is not accepted: {error.verify_message}"
        return Unaccepted(Phase.TLS, text, _REMEDIES.get(error.verify_code, ""))
    return Fault(Phase.TLS, f"no TLS: {(error.reason or 'handshake failed').lower().replace('_', ' ')}")


def shown(chain: Sequence[bytes], now: float) -> list[Shown]:
    """Read the certificates of a chain (DER); `now` in seconds since the epoch. One that cannot be read is left out."""
    found = []
    for der in chain:
        try:
            certificate = x509.load_der_x509_certificate(der)
            subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
            days = (certificate.not_valid_after_utc.timestamp() - now) / _DAY_S
        except ValueError:
            continue
        found.append(Shown(_printable(subject) or "no subject", _printable(issuer), days))
    return found


def _chain(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain as it was shown; where Python does not tell it, the peer's own certificate alone."""
    chain = getattr(tls, "get_unverified_chain", None)  # from Python 3.13 on
    if chain is not None:
        return tuple(bytes(each) for each in chain() or ())
    inner = getattr(getattr(tls, "_sslobj", None), "get_unverified_chain", None)
    if inner is not None:
        return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in inner() or ())
    own = tls.getpeercert(binary_form=True)
    return (own,) if own else ()


def _printable(name: str) -> str:
    return "".join(sign if sign.isprintable() else "?" for sign in name)[:200]
