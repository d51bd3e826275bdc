"""Through a proxy: a real small one that tunnels, asks for a password, refuses or says nonsense."""

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from edged.telemetry.live import Phase
from edged.upstream.connection import ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.proxy import MAX_HEAD_BYTES, Proxy
from tests.support.forwarding_kit import destination, forwarding
from tests.support.stow_kit import named
from tests.support.upstream_body import post
from tests.support.upstream_peer import Peer, Script, Wire, listen
from tests.upstream.conftest import Certificates


async def answering(wire: Wire) -> None:
    while True:
        _, body = await wire.request()
        await wire.answer(body=b"%d" % len(body))


async def _pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream, over: trio.CancelScope) -> None:
    async for data in source:
        await sink.send_all(data)
    over.cancel()


def tunnelling(heads: list[bytes], password: str | None = None) -> Script:
    """A proxy that does what CONNECT says, for whoever knows the password."""

    async def script(wire: Wire) -> None:
        head = await wire.head()
        heads.append(head)
        wanted = b"Proxy-Authorization: Basic " + b64encode(f"box:{password}".encode())
        if password is not None and wanted not in head:
            await wire.answer(407)
            return
        host, _, port = head.split(b" ")[1].rpartition(b":")
        stream = await trio.open_tcp_stream(host.decode(), int(port))
        await wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(_pump, wire.stream, stream, nursery.cancel_scope)
            nursery.start_soon(_pump, stream, wire.stream, nursery.cancel_scope)

    return script


def through(proxy: Peer, certificates: Certificates, password_file: Path | None = None) -> ClientSettings:
    endpoint = Endpoint.parse(f"http://localhost:{proxy.port}")
    connector = Proxy(endpoint, "box" if password_file else None, password_file)
    timeouts = Timeouts(connect_s=2)
    return ClientSettings(HttpChoice.ONE, certificates.trusting, timeouts=timeouts, connector=connector)


@pytest.mark.parametrize("secure", [False, True])
async def test_everything_goes_through_a_tunnel(secure: bool, certificates: Certificates, tmp_path: Path) -> None:
    heads: list[bytes] = []
    file = tmp_path / "password"
    file.write_text("sesame\n")
    context = certificates.server_context("http/1.1") if secure else None
    async with (
        listen(answering, context) as peer,
        listen(tunnelling(heads, "sesame")) as proxy,
        open_client(peer.endpoint, through(proxy, certificates, file)) as client,
    ):
        for size in (0, 10, 300_000):
            assert (await client.request(post(size))).body == b"%d" % size
    [head] = heads
    assert head.split(b"\r\n")[:2] == [
        b"CONNECT localhost:%d HTTP/1.1" % peer.port,
        b"Host: localhost:%d" % peer.port,
    ]


@asynccontextmanager
async def refusing(script: Script, settings: Certificates) -> AsyncGenerator[pytest.ExceptionInfo[NoAnswer], None]:
    """Why there was no way through a proxy."""
    async with listen(script) as proxy:
        endpoint = Endpoint.parse("https://archive.example")
        async with open_client(endpoint, through(proxy, settings)) as client:
            with pytest.raises(NoAnswer) as caught:
                await client.request(post(10))
    assert (caught.value.not_processed, caught.value.sent_bytes) == (True, 0)
    assert caught.value.text.startswith(f"no way to archive.example:443 through the proxy localhost:{proxy.port}: ")
    yield caught


@pytest.mark.parametrize(
    ("said", "phase", "text"),
    [
        (b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n", Phase.AUTH, "407, it wants other credentials"),
        (b"HTTP/1.1 403 X\r\nContent-Length: 2\r\n\r\nno", Phase.TCP, "403"),
        (b"HTTP/1.1 502 X\r\n\r\n", Phase.TCP, "502"),
        (b"HTTP/1.1 102 X\r\n\r\nHTTP/1.1 504 X\r\n\r\n", Phase.TCP, "504"),
        (b"HTTP/1.1 200 X\r\n\r\nbytes", Phase.TCP, "bytes that nobody has asked for"),
        (b"SSH-2.0\r\n\r\n", Phase.TCP, "its answer is malformed"),
        (b"HTTP/1.1 200 X\r\nA: " + b"a" * MAX_HEAD_BYTES, Phase.TCP, "its answer is malformed"),
        (b"HTTP/1.1 2", Phase.TCP, ""),
        (b"", Phase.TCP, ""),
    ],
    ids=["407", "403", "502", "interim", "more than asked", "no proxy", "endless head", "half a head", "nothing"],
)
async def test_a_proxy_that_does_not_open_a_tunnel(
    said: bytes, phase: Phase, text: str, certificates: Certificates
) -> None:
    async def script(wire: Wire) -> None:
        await wire.head()
        await wire.send(said)

    async with refusing(script, certificates) as caught:
        assert (caught.value.phase, text in caught.value.text) == (phase, True)


async def test_a_proxy_that_says_nothing(certificates: Certificates) -> None:
    async def script(wire: Wire) -> None:
        await trio.sleep_forever()

    async with refusing(script, certificates) as caught:
        assert (caught.value.phase, "within 2 s" in caught.value.text) == (Phase.TCP, True)


async def test_a_password_that_cannot_be_read_is_no_answer(certificates: Certificates, tmp_path: Path) -> None:
    async with listen(answering) as proxy:
        settings = through(proxy, certificates, tmp_path / "missing")
        async with open_client(Endpoint.parse("https://archive.example"), settings) as client:
            with pytest.raises(NoAnswer, match="missing") as caught:
                await client.request(post(10))
        assert (caught.value.phase, proxy.accepted) == (Phase.AUTH, 0)


async def test_a_destination_behind_a_proxy(tmp_path: Path) -> None:
    heads: list[bytes] = []
    async with listen(tunnelling(heads)) as proxy, listen(answering) as peer:
        url, through_it = f"http://127.0.0.1:{peer.port}", f'{{url = "http://127.0.0.1:{proxy.port}"}}'
        async with forwarding(tmp_path, destination(url, proxy=through_it)) as box:
            await box.take_made(named(1))
            await box.until(lambda: bool(heads))
    assert heads[0].startswith(b"CONNECT 127.0.0.1:%d " % peer.port)
