"""Probing TLS: who is trusted, whose certificate it is, what is agreed on; real TLS."""

import datetime
import ssl
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edged.services.probing import Outcome, StepName
from edged.telemetry.live import Phase
from tests.support.probe_kit import WADL, answering, failed, peer_url, probed
from tests.support.upstream_peer import Http2Wire, Wire, listen
from tests.upstream.conftest import Certificates


async def test_tls_that_is_trusted(certificates: Certificates) -> None:
    ca = f'[destination.tls]\nca = "{certificates.authority}"\n'
    async with peer_url(answering(), certificates.server_context("http/1.1")) as url:
        found = await probed(url, extra=ca)
    assert found.good, found
    [step] = [each for each in found.steps if each.name is StepName.TLS]
    assert step.outcome is Outcome.NOTED  # it ends tomorrow
    assert step.text == f"TLSv1.3, ALPN http/1.1, trusted by {certificates.authority}"
    assert step.details[0] == "CN=server, issued by CN=authority, 1 days left"
    der = ssl.PEM_cert_to_DER_cert(certificates.server.certificate.read_text())
    assert step.details[-1].endswith(sha256(der).hexdigest())


async def test_tls_of_a_stranger_is_shown_and_not_trusted(certificates: Certificates) -> None:
    ca = f'[destination.tls]\nca = "{certificates.stranger}"\n'
    async with peer_url(answering(), certificates.server_context()) as url:
        found = await probed(url, extra=ca)
    name, phase, text, remedy = failed(found)
    assert (name, phase) == (StepName.TLS, Phase.TLS)
    assert "unable to get local issuer" in text
    assert "`[destination.tls] ca`" in remedy
    [step] = [each for each in found.steps if each.name is StepName.TLS]
    assert step.details[0].startswith("CN=server, issued by CN=authority")


async def test_another_name_in_the_certificate(certificates: Certificates) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.other_host.certificate, certificates.other_host.private_key)
    ca = f'[destination.tls]\nca = "{certificates.authority}"\n'
    async with peer_url(answering(), context) as url:
        name, _, text, remedy = failed(await probed(url, extra=ca))
    assert name is StepName.TLS
    assert "ostname mismatch" in text
    assert "use a name in `url`" in remedy


async def test_a_certificate_that_has_ended(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    ended = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now - datetime.timedelta(days=3))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = tmp_path / "ended.pem", tmp_path / "ended.key"
    pem.write_bytes(ended.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, private)
    async with peer_url(answering(), context) as url:
        found = await probed(url, extra=f'[destination.tls]\nca = "{pem}"\n')
    name, _, text, remedy = failed(found)
    assert name is StepName.TLS
    assert "expired" in text
    assert "clock" in remedy
    [step] = [each for each in found.steps if each.name is StepName.TLS]
    assert step.details[0] == "CN=localhost, issued by CN=localhost, ended 3 days ago"


async def test_a_wrong_pin(certificates: Certificates) -> None:
    tls = f'[destination.tls]\nca = "{certificates.authority}"\npin = "{"ab" * 32}"\n'
    async with peer_url(answering(), certificates.server_context()) as url:
        name, phase, text, remedy = failed(await probed(url, extra=tls))
    assert (name, phase) == (StepName.TLS, Phase.TLS)
    assert "not a pinned one" in text
    assert "pin" in remedy


async def test_no_tls_behind_https() -> None:
    async def plain(wire: Wire) -> None:
        await wire.read_some()
        await wire.answer(400)

    async with listen(plain) as peer:
        name, phase, _, _ = failed(await probed(f"https://localhost:{peer.port}"))
    assert (name, phase) == (StepName.TLS, Phase.TLS)


async def test_a_client_certificate_that_is_wanted(certificates: Certificates) -> None:
    ca = f'[destination.tls]\nca = "{certificates.authority}"\n'
    own = f'certificate = "{certificates.client.certificate}"\nprivate_key = "{certificates.client.private_key}"\n'
    async with peer_url(answering(), certificates.server_context("http/1.1", client_auth=True)) as url:
        name, _, _, remedy = failed(await probed(url, extra=ca))
        assert name is StepName.HTTP
        assert "`[destination.tls] certificate`" in remedy
        found = await probed(url, extra=ca + own)
    assert found.good
    [auth] = [each for each in found.steps if each.name is StepName.AUTH]
    assert auth.details[0].startswith("own certificate: CN=client, issued by CN=authority")


async def test_http_2_alone(certificates: Certificates) -> None:
    async def script(wire: Wire) -> None:
        http2 = Http2Wire(wire)
        await http2.hello()
        while True:
            stream, headers, _ = await http2.request()
            wanted = 404 if "/commitment-requests/" in headers[":path"] else 204
            described = headers[":method"] == "OPTIONS"
            await http2.answer(stream, 200 if described else wanted, WADL if described else b"")

    ca = f'[destination.tls]\nca = "{certificates.authority}"\n'
    async with peer_url(script, certificates.server_context("h2")) as url:
        found = await probed(url, extra=ca)
        assert found.good, found
        [http] = [each for each in found.steps if each.name is StepName.HTTP]
        assert http.text.startswith("HTTP/2 is spoken: ")
        assert "KiB" in http.text  # what its window allows is the reason
    async with peer_url(answering(), certificates.server_context("http/1.1")) as url:
        name, phase, _, remedy = failed(await probed(url, extra=ca, http='"2"'))
        assert (name, phase) == (StepName.TLS, Phase.TLS)
        assert "`http`" in remedy
