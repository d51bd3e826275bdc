"""Dialling: each way to fail has its phase, and TLS is verified in both directions."""

import contextlib
import gc
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives import serialization

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import BytesBody, NoAnswer, Request
from edged.upstream.tls import TLSSettings, TLSSettingsError
from tests.support.upstream_peer import Wire, listen
from tests.upstream.conftest import Certificates

GET = Request("GET", "/")
POST = Request("POST", "/", (), BytesBody(bytes(8 << 20)))


async def answering(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.answer(body=b"over TLS")


async def refused(endpoint: Endpoint, settings: ClientSettings | None = None, request: Request = GET) -> NoAnswer:
    async with open_client(endpoint, settings) as client:
        with pytest.raises(NoAnswer) as caught:
            await client.request(request)
    return caught.value


async def test_nobody_listens(free_port: Callable[[], int]) -> None:
    port = free_port()
    error = await refused(Endpoint.parse(f"http://localhost:{port}"))
    assert (error.phase, error.not_processed, error.sent_bytes) == (Phase.TCP, True, 0)
    assert error.text == f"cannot connect to localhost:{port}: connection refused"


class Resolver(trio.abc.HostnameResolver):
    """Answers as told, or never."""

    def __init__(self, error: socket.gaierror | None) -> None:
        self._error = error

    async def getaddrinfo(self, *_: object, **__: object) -> NoReturn:
        if self._error is not None:
            raise self._error
        await trio.sleep_forever()
        raise AssertionError("slept for ever")

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


async def test_a_name_without_an_address() -> None:
    trio.socket.set_custom_hostname_resolver(Resolver(socket.gaierror(socket.EAI_NONAME, "Name not known")))
    error = await refused(Endpoint.parse("http://archive.invalid"))
    assert (error.phase, error.not_processed) == (Phase.DNS, True)
    assert error.text == "no address for archive.invalid:80: Name not known"


async def test_a_resolver_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver(None))
    error = await refused(Endpoint.parse("http://archive.invalid"))
    assert (error.phase, error.text) == (Phase.DNS, "no address for archive.invalid:80 within 15 s")
    assert trio.current_time() == pytest.approx(15, abs=0.1)


async def test_a_connection_that_is_not_accepted() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        settings = ClientSettings(timeouts=Timeouts(connect_s=0.2))
        error = await refused(Endpoint.parse(f"http://127.0.0.1:{full.getsockname()[1]}"), settings)
    assert (error.phase, error.not_processed) == (Phase.TCP, True)


async def test_tls_with_a_verified_name(certificates: Certificates) -> None:
    settings = ClientSettings(tls=certificates.trusting)
    context = certificates.server_context("http/1.1")
    async with listen(answering, context) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            assert (await client.request(POST)).body == b"over TLS"
        assert (client.http_version, client.connections_opened) == ("1.1", 1)


async def test_tls_to_an_address(certificates: Certificates) -> None:
    settings = ClientSettings(tls=certificates.trusting)
    async with listen(answering, certificates.server_context()) as peer:
        endpoint = Endpoint("https", "127.0.0.1", peer.port)
        async with open_client(endpoint, settings) as client:
            assert (await client.request(GET)).status == 200


async def test_a_certificate_of_a_stranger(certificates: Certificates) -> None:
    for tls in (TLSSettings(ca_file=certificates.stranger), TLSSettings()):
        async with listen(answering, certificates.server_context()) as peer:
            error = await refused(peer.endpoint, ClientSettings(tls=tls), POST)
        assert (error.phase, error.not_processed, error.sent_bytes) == (Phase.TLS, True, 0)
        assert "certificate not accepted" in error.text


async def test_a_certificate_for_another_host(certificates: Certificates) -> None:
    context = certificates.server_context()
    context.load_cert_chain(certificates.other_host.certificate, certificates.other_host.private_key)
    async with listen(answering, context) as peer:
        error = await refused(peer.endpoint, ClientSettings(tls=certificates.trusting))
    assert error.phase is Phase.TLS
    assert "localhost" in error.text


async def test_a_peer_without_tls(certificates: Certificates) -> None:
    async def script(wire: Wire) -> None:
        await wire.read_some()
        await wire.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listen(script) as peer:
        endpoint = Endpoint("https", "localhost", peer.port)
        error = await refused(endpoint, ClientSettings(tls=certificates.trusting))
    assert (error.phase, error.not_processed) == (Phase.TLS, True)


async def test_a_peer_that_does_not_finish_the_handshake(certificates: Certificates) -> None:
    async def script(_: Wire) -> None:
        await trio.sleep_forever()

    settings = ClientSettings(tls=certificates.trusting, timeouts=Timeouts(tls_s=0.2))
    async with listen(script) as peer:
        error = await refused(Endpoint("https", "localhost", peer.port), settings)
    assert (error.phase, error.not_processed) == (Phase.TLS, True)


async def test_the_client_shows_its_certificate(certificates: Certificates) -> None:
    identity = certificates.client
    tls = TLSSettings(certificates.authority, identity.certificate, identity.private_key)
    context = certificates.server_context(client_auth=True)
    async with listen(answering, context) as peer, open_client(peer.endpoint, ClientSettings(tls=tls)) as client:
        assert (await client.request(GET)).status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=str)
async def test_a_missing_client_certificate_is_a_fault_of_tls(
    certificates: Certificates, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the refusal comes after the handshake, while the request is already on its way."""
    context = certificates.server_context(client_auth=True)
    context.maximum_version = version

    def refuse(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = Endpoint("https", "localhost", listener.getsockname()[1])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, refuse, listener)
            error = await refused(endpoint, ClientSettings(tls=certificates.trusting), POST)
    assert error.phase is Phase.TLS
    assert "alert" in error.text


@pytest.mark.parametrize("ending", ["stays", "closes", "resets"])
async def test_an_early_answer_over_tls(certificates: Certificates, ending: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.answer(401, b"who?")
        if ending == "resets":
            wire.reset()
        elif ending == "stays":
            await trio.sleep_forever()

    settings = ClientSettings(tls=certificates.trusting)
    context = certificates.server_context()
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(5):
            response = await client.request(Request("POST", "/", (), BytesBody(bytes(32 << 20))))
            assert (response.status, response.body) == (401, b"who?")


async def test_http_2_where_it_is_not_spoken(certificates: Certificates) -> None:
    settings = ClientSettings(http=HttpChoice.TWO, tls=certificates.trusting)
    async with listen(answering, certificates.server_context("http/1.1")) as peer:
        error = await refused(peer.endpoint, settings)
    assert (error.phase, error.not_processed) == (Phase.TLS, True)


async def test_three_hundred_failures_leave_no_descriptor(certificates: Certificates) -> None:
    async def script(wire: Wire) -> None:
        if wire.number % 3 == 0:
            return
        await wire.read_some()
        if wire.number % 3 == 1:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
        else:
            wire.reset()

    gc.collect()
    async with listen(script) as peer, open_client(peer.endpoint) as client:
        secure = Endpoint("https", "localhost", peer.port)
        async with open_client(secure, ClientSettings(tls=certificates.trusting)) as secure_client:
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(150):
                for each in (client, secure_client):
                    with pytest.raises(NoAnswer):
                        await each.request(Request("POST", "/", (), BytesBody(bytes(1 << 20))))
            # The peer's own sockets may still be closing; nothing of the client's stays.
            assert len(os.listdir("/proc/self/fd")) <= before + 5


def test_files_that_cannot_be_used(certificates: Certificates, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    missing = tmp_path / "missing.pem"
    for settings, named in [
        (TLSSettings(ca_file=missing), "missing.pem"),
        (TLSSettings(ca_file=empty), "empty.pem"),
        (TLSSettings(certificate=missing), "missing.pem"),
        (TLSSettings(certificate=certificates.client.certificate), "client.pem"),
        (TLSSettings(private_key=certificates.client.private_key), "client.key"),
        (
            TLSSettings(None, certificates.client.certificate, certificates.server.private_key),
            "server.key",
        ),
    ]:
        with pytest.raises(TLSSettingsError, match=named):
            settings.context(("http/1.1",))


def test_an_encrypted_key_asks_nobody(certificates: Certificates, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(certificates.client.private_key.read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(TLSSettingsError, match="encrypted"):
        TLSSettings(None, certificates.client.certificate, encrypted).context(("http/1.1",))
