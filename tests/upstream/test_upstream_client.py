"""The client as the forwarder uses it: which HTTP it speaks, and a real server on the other side."""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

import hypercorn.config
import hypercorn.trio
import pytest
import trio

from edged.telemetry.live import Phase
from edged.upstream.beside import beside
from edged.upstream.connection import Client, ClientSettings, HttpChoice, open_client
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import BytesBody, NoAnswer, Request
from tests.support.upstream_peer import Http2Wire, Wire, listen
from tests.upstream.conftest import Certificates

GET = Request("GET", "/")


async def echo_size(scope: Any, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
    """An ASGI application that answers with the HTTP version and the size of the body."""
    size, more = 0, scope["type"] == "http"
    while more:
        message = await receive()
        size += len(message["body"])
        more = message["more_body"]
    body = f"{scope['http_version']} {size}".encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def real_server(certificates: Certificates | None) -> AsyncGenerator[Endpoint, None]:
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = config.accesslog = None
    if certificates is not None:
        config.certfile = str(certificates.server.certificate)
        config.keyfile = str(certificates.server.private_key)
    async with trio.open_nursery() as nursery:
        bound: list[str] = await nursery.start(
            lambda task_status: hypercorn.trio.serve(echo_size, config, mode="asgi", task_status=task_status)
        )
        port = bound[0].rpartition(":")[2]
        yield Endpoint("https" if certificates else "http", "localhost", int(port))
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("secure", "http", "spoken"),
    [
        (False, HttpChoice.AUTO, "1.1"),
        (False, HttpChoice.ONE, "1.1"),
        (False, HttpChoice.TWO, "2"),
        (True, HttpChoice.AUTO, "2"),
        (True, HttpChoice.ONE, "1.1"),
        (True, HttpChoice.TWO, "2"),
    ],
)
async def test_a_real_server(certificates: Certificates, secure: bool, http: HttpChoice, spoken: str) -> None:
    settings = ClientSettings(http=http, tls=certificates.trusting, max_connections=3)

    async def ask(client: Client, size: int) -> None:
        response = await client.request(Request("POST", "/", (), BytesBody(bytes(size))))
        assert response.body == b"%s %d" % (spoken.encode(), size)
        assert response.http_version == spoken

    async with real_server(certificates if secure else None) as endpoint, open_client(endpoint, settings) as client:
        async with trio.open_nursery() as nursery:
            for size in (0, 1, 70_000, 1_000_000, 5_000_000):
                nursery.start_soon(ask, client, size)
        assert client.http_version == spoken
        assert client.connections_opened <= (1 if spoken == "2" else 3)


@pytest.mark.parametrize("protocols", [("http/1.1",), ()])
async def test_auto_speaks_http_1_1_where_h2_is_not_selected(
    certificates: Certificates, protocols: tuple[str, ...]
) -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.answer()

    settings = ClientSettings(tls=certificates.trusting)
    context = certificates.server_context(*protocols)
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        for _ in range(3):
            await client.request(GET)
        assert (client.http_version, client.connections_opened) == ("1.1", 1)


async def test_a_server_that_changes_its_protocol_is_learned_anew(certificates: Certificates) -> None:
    context = certificates.server_context("http/1.1")

    async def script(wire: Wire) -> None:
        if wire.number == 1:
            await wire.request()
            await wire.answer()
            context.set_alpn_protocols(["h2"])
            return
        peer = Http2Wire(wire)
        await peer.hello()
        while True:
            stream_id, _, _ = await peer.request()
            await peer.answer(stream_id)

    settings = ClientSettings(tls=certificates.trusting)
    async with listen(script, context) as peer, open_client(peer.endpoint, settings) as client:
        await client.request(GET)
        assert client.http_version == "1.1"
        with pytest.raises(NoAnswer, match="selected h2") as caught:
            await client.request(GET)
        assert (caught.value.phase, caught.value.not_processed) == (Phase.TLS, True)
        assert (await client.request(GET)).http_version == "2"


async def test_one_dial_for_many_that_wait() -> None:
    async def script(wire: Wire) -> None:
        peer = Http2Wire(wire)
        await peer.hello()
        while True:
            stream_id, _, _ = await peer.request()
            await peer.answer(stream_id)

    async with listen(script) as peer, open_client(peer.endpoint, ClientSettings(http=HttpChoice.TWO)) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(client.request, GET)
        assert peer.accepted == 1


async def test_a_cancelled_dial_leaves_the_client_usable() -> None:
    reached = trio.Event()

    async def script(wire: Wire) -> None:
        reached.set()
        if wire.number == 1:
            await wire.closed()  # no SETTINGS: the client waits for them
        peer = Http2Wire(wire)
        await peer.hello()
        stream_id, _, _ = await peer.request()
        await peer.answer(stream_id)
        await wire.closed()

    async with listen(script) as peer, open_client(peer.endpoint, ClientSettings(http=HttpChoice.TWO)) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.request, GET)
            await reached.wait()
            nursery.cancel_scope.cancel()
        assert (await client.request(GET)).status == 200


async def test_what_a_block_raises_comes_out_as_it_is() -> None:
    cause = KeyError("why")
    with pytest.raises(LookupError) as caught:
        async with open_client(Endpoint("http", "localhost", 1)):
            raise LookupError from cause
    assert caught.value.__cause__ is cause


async def test_the_first_failure_ends_the_other() -> None:
    async def fail() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        async with beside(fail):
            await trio.sleep_forever()
