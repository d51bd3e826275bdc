"""Pinned certificates: the pinned one is taken, no other is, and nothing is said to another."""

import ssl
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.message import NoAnswer, Request
from edged.upstream.pinning import pin_fault
from tests.support.forwarding_kit import destination, forwarding
from tests.support.stow_kit import named
from tests.support.upstream_body import post
from tests.support.upstream_peer import Wire, listen
from tests.upstream.conftest import Certificates

OTHER = "0" * 64


def fingerprint(certificate: Path) -> str:
    return sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


async def answering(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.answer()


def pinned(certificates: Certificates, *pins: str, http: HttpChoice = HttpChoice.ONE) -> ClientSettings:
    return ClientSettings(http=http, tls=replace(certificates.trusting, pins=pins))


async def test_the_pinned_certificate_is_taken(certificates: Certificates) -> None:
    pin = fingerprint(certificates.server.certificate)
    context = certificates.server_context()
    for pins in ((pin,), (OTHER, pin), ()):
        settings = pinned(certificates, *pins)
        async with listen(answering, context) as peer, open_client(peer.endpoint, settings) as client:
            assert (await client.request(post(10))).status == 200


@pytest.mark.parametrize(("http", "offered"), [(HttpChoice.ONE, "http/1.1"), (HttpChoice.TWO, "h2")])
async def test_another_certificate_hears_nothing(certificates: Certificates, http: HttpChoice, offered: str) -> None:
    heard: list[bytes] = []

    async def script(wire: Wire) -> None:
        heard.append(await wire.read_some())

    settings = pinned(certificates, OTHER, fingerprint(certificates.authority), http=http)
    async with (
        listen(script, certificates.server_context(offered)) as peer,
        open_client(peer.endpoint, settings) as client,
    ):
        for _ in range(3):
            with pytest.raises(NoAnswer, match="not a pinned one") as caught:
                await client.request(post(10))
    error = caught.value
    assert (error.phase, error.not_processed, error.sent_bytes) == (Phase.TLS, True, 0)
    printed = fingerprint(certificates.server.certificate).upper()
    assert ":".join(printed[at : at + 2] for at in range(0, 64, 2)) in error.text
    assert heard == []


async def test_a_pin_does_not_replace_trust(certificates: Certificates) -> None:
    tls = replace(certificates.trusting, ca_file=certificates.stranger)
    tls = replace(tls, pins=(fingerprint(certificates.server.certificate),))
    context = certificates.server_context()
    async with listen(answering, context) as peer, open_client(peer.endpoint, ClientSettings(tls=tls)) as client:
        with pytest.raises(NoAnswer, match="certificate not accepted"):
            await client.request(Request("GET", "/"))


async def test_a_destination_with_the_wrong_pin_is_told_the_right_one(
    certificates: Certificates, tmp_path: Path
) -> None:
    async with listen(answering, certificates.server_context("http/1.1")) as peer:
        url, ca = f"https://localhost:{peer.port}", certificates.authority
        async with forwarding(tmp_path, destination(url, tls=f'{{ca = "{ca}", pin = "{OTHER}"}}')) as box:
            await box.take_made(named(1))
            await box.until(lambda: box.stands().last_error is not None)
            error = box.stands().last_error
    assert error is not None
    assert (error.phase, "not a pinned one, but " in error.text) == (Phase.TLS, True)


def test_nothing_pinned_and_nothing_shown() -> None:
    assert pin_fault(b"any", ()) is None
    assert pin_fault(None, ()) is None
    assert pin_fault(None, (OTHER,)) == "it shows no certificate, and one is pinned"
