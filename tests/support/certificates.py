"""Certificates made for one test run: an authority, and what it signed for a server and a client.

What may live here: the making of PEM files with `cryptography`. Nothing is valid for longer than a day,
nothing is kept.
"""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a test of TLS needs: `authority` has signed both pairs."""

    authority: Path
    server: Pair
    client: Pair


def make_certificates(folder: Path) -> Certificates:
    """Make and write them all into `folder`."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _sign("Test authority", authority_key, authority_key, issuer=None)
    path = folder / "authority.pem"
    path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    pairs = {}
    for name in ("localhost", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _sign(name, key, authority_key, issuer=authority)
        pairs[name] = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        pairs[name].certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pairs[name].private_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return Certificates(path, pairs["localhost"], pairs["client"])


def _sign(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    authority_key: ec.EllipticCurvePrivateKey,
    *,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer is not None else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
