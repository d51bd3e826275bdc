"""Certificate files that are replaced while the client runs: taken up by new connections, or told why not."""

import os
import shutil
import ssl
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.message import NoAnswer
from edged.upstream.tls import TLSSettings
from tests.support.forwarding_kit import destination, forwarding
from tests.support.stow_kit import named
from tests.support.upstream_body import GET
from tests.support.upstream_peer import Wire, listen
from tests.upstream.conftest import Certificates, Identity


@dataclass
class Told:
    """Who is told why changed files cannot be used."""

    faults: list[str | None] = field(default_factory=list)

    def speaks(self, version: str, reason: str) -> None:
        assert reason, version

    def loads(self, fault: str | None) -> None:
        self.faults.append(fault)


@dataclass
class Shown:
    """A server that asks for a certificate and answers with the serial number of what it is shown."""

    async def __call__(self, wire: Wire) -> None:
        shown = wire.stream.getpeercert(binary_form=True)  # type: ignore[attr-defined]
        await wire.request()
        await wire.answer(body=b"%d" % x509.load_der_x509_certificate(shown).serial_number)


def serial(identity: Identity) -> bytes:
    return b"%d" % x509.load_pem_x509_certificate(identity.certificate.read_bytes()).serial_number


def put(source: Path, target: Path) -> None:
    """Replace a file as whoever renews certificates does."""
    new = target.with_suffix(".new")
    shutil.copy(source, new)
    os.replace(new, target)


async def test_a_renewed_client_certificate_is_shown_by_the_next_connection(
    certificates: Certificates, tmp_path: Path
) -> None:
    mine, told = Identity(tmp_path / "client.pem", tmp_path / "client.key"), Told()
    first, second = certificates.client, certificates.server
    put(first.certificate, mine.certificate)
    put(first.private_key, mine.private_key)
    tls = TLSSettings(certificates.authority, mine.certificate, mine.private_key)
    settings = ClientSettings(HttpChoice.ONE, tls, watcher=told)
    context = certificates.server_context(client_auth=True)
    async with listen(Shown(), context) as peer, open_client(peer.endpoint, settings) as client:
        assert (await client.request(GET)).body == serial(first)
        put(second.certificate, mine.certificate)  # and its key is not there yet
        for _ in range(2):
            assert (await client.request(GET)).body == serial(first)
        [fault] = told.faults
        assert fault is not None
        assert "client.pem with" in fault
        put(second.private_key, mine.private_key)
        assert (await client.request(GET)).body == serial(second)
        assert told.faults[1:] == [None]
        mine.certificate.unlink()
        assert (await client.request(GET)).body == serial(second)
        assert told.faults[2] is not None


async def test_renewed_roots_are_trusted_by_the_next_connection(certificates: Certificates, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()

    roots = tmp_path / "roots.pem"
    put(certificates.stranger, roots)
    settings = ClientSettings(tls=TLSSettings(ca_file=roots))
    async with listen(script, certificates.server_context()) as peer, open_client(peer.endpoint, settings) as client:
        with pytest.raises(NoAnswer) as caught:
            await client.request(GET)
        assert caught.value.phase is Phase.TLS
        put(certificates.authority, roots)
        assert (await client.request(GET)).status == 200
        roots.write_text("")
        assert (await client.request(GET)).status == 200


async def test_a_pin_holds_after_a_renewal_too(certificates: Certificates, tmp_path: Path) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer()

    roots = tmp_path / "roots.pem"
    put(certificates.authority, roots)
    pin = _fingerprint(certificates.server)
    settings = ClientSettings(tls=TLSSettings(ca_file=roots, pins=(pin,)))
    context = certificates.server_context()
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        assert (await client.request(GET)).status == 200
        put(certificates.authority, roots)
        assert (await client.request(GET)).status == 200
    other = ClientSettings(tls=TLSSettings(ca_file=roots, pins=(_fingerprint(certificates.client),)))
    async with listen(script, context) as peer, open_client(peer.endpoint, other) as client:
        put(certificates.authority, roots)
        with pytest.raises(NoAnswer, match="not a pinned one"):
            await client.request(GET)


def _fingerprint(identity: Identity) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(identity.certificate.read_text())).hexdigest()


async def test_a_destination_says_that_its_new_certificate_cannot_be_used(
    certificates: Certificates, tmp_path: Path
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.answer(503)
        wire.close()

    mine = Identity(tmp_path / "client.pem", tmp_path / "client.key")
    put(certificates.client.certificate, mine.certificate)
    put(certificates.client.private_key, mine.private_key)
    tls = f'{{ca = "{certificates.authority}", certificate = "{mine.certificate}", private_key = "{mine.private_key}"}}'
    name = "certificate-reload-failed:archive"
    async with listen(script, certificates.server_context(client_auth=True)) as peer:
        url = f"https://localhost:{peer.port}"
        async with forwarding(tmp_path / "box", destination(url, tls=tls)) as box:
            await box.take_made(named(1))
            await box.until(lambda: peer.accepted > 1, step_s=60)
            assert box.live.destinations["archive"].http == "1.1"
            assert "does not offer HTTP/2" in box.live.destinations["archive"].http_reason
            mine.certificate.write_text("")
            await box.until(lambda: box.conditions.stands(name), step_s=60)
            put(certificates.client.certificate, mine.certificate)
            await box.until(lambda: not box.conditions.stands(name), step_s=60)
