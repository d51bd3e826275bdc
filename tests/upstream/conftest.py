"""Certificates for the TLS tests: an authority, a server that is "localhost", a client, and a stranger's authority."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edged.upstream.tls import TLSSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as PEM files."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of a test run's own public key infrastructure."""

    authority: Path
    stranger: Path
    server: Identity
    other_host: Identity
    client: Identity

    def server_context(self, *protocols: str, client_auth: bool = False) -> ssl.SSLContext:
        """A server's context that selects from `protocols` by ALPN."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.server.certificate, self.server.private_key)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if client_auth:
            context.load_verify_locations(self.authority)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    @property
    def trusting(self) -> TLSSettings:
        """A client's settings that trust the authority."""
        return TLSSettings(ca_file=self.authority)


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(
            self._name, self._key, x509.BasicConstraints(ca=True, path_length=None)
        ).public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, name: str, *alternatives: x509.GeneralName) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, key, x509.SubjectAlternativeName(alternatives))
        identity = Identity(folder / f"{name}.pem", folder / f"{name}.key")
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.private_key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return identity

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    authority, stranger = _Authority("authority"), _Authority("stranger")
    (folder / "authority.pem").write_bytes(authority.certificate)
    (folder / "stranger.pem").write_bytes(stranger.certificate)
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return Certificates(
        authority=folder / "authority.pem",
        stranger=folder / "stranger.pem",
        server=authority.issue(folder, "server", x509.DNSName("localhost"), loopback),
        other_host=authority.issue(folder, "other", x509.DNSName("elsewhere.example")),
        client=authority.issue(folder, "client", x509.DNSName("box.example")),
    )


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Give a port on which nobody listens."""
    import socket

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return find
