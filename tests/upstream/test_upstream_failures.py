"""Ten thousand failures of every kind, over real sockets: none leaves a descriptor, and each is named by its phase."""

import gc
import os
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import trio
import trio.testing

from edged.telemetry.live import Phase
from edged.upstream.connection import Client, ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.proxy import Proxy
from edged.upstream.tls import TLSSettings
from tests.support.upstream_body import post
from tests.support.upstream_peer import Http2Wire, Script, Wire, listen
from tests.upstream.conftest import Certificates

FAILURES = 10_000
AT_ONCE = 8
CHEAP = {"refused", "no address"}
DEAR = {"not accepted", "silent", "stops in body", "no trust", "wrong pin", "no TLS"}
"""Four times as many as of the others, and a quarter as many: these wait, or do TLS."""
SLOW_S = 0.2
PLAIN = ClientSettings(max_connections=AT_ONCE)
TWO = replace(PLAIN, http=HttpChoice.TWO)
UNACCEPTED = replace(PLAIN, timeouts=Timeouts(connect_s=SLOW_S))
SILENT = replace(PLAIN, timeouts=Timeouts(answer_s=SLOW_S))
STOPS = replace(PLAIN, timeouts=Timeouts(body_s=SLOW_S))
BODY = post(2000)


async def reset_before_an_answer(wire: Wire) -> None:
    await wire.head()
    wire.reset()


async def reset_in_the_head(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    wire.reset()


async def ended_in_the_body(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")


async def garbage(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"SSH-2.0-OpenSSH\r\n\r\n")


async def silent(wire: Wire) -> None:
    await wire.request()
    await wire.closed()


async def stops_in_the_body(wire: Wire) -> None:
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc")
    await wire.closed()


async def refuses_early(wire: Wire) -> None:
    await wire.head()
    await wire.answer(413)


async def goes_away(wire: Wire) -> None:
    peer = Http2Wire(wire)
    await peer.hello()
    await peer.request()
    peer.protocol.close_connection(last_stream_id=0)
    await peer.flush()


async def resets_the_stream(wire: Wire) -> None:
    peer = Http2Wire(wire)
    await peer.hello()
    while True:
        stream_id, _, _ = await peer.request()
        peer.protocol.reset_stream(stream_id, 7)
        await peer.flush()


async def no_http2(wire: Wire) -> None:
    await wire.read_some()


async def wants_a_password(wire: Wire) -> None:
    await wire.head()
    await wire.answer(407)


async def answers(wire: Wire) -> None:
    await wire.request()
    await wire.answer()


Kind = tuple[Endpoint, ClientSettings, Phase | None]


class Resolver(trio.abc.HostnameResolver):
    """Knows this machine, and nobody else."""

    async def getaddrinfo(self, host: bytes | None, port: object, *_: object, **__: object) -> list[object]:  # type: ignore[override]
        await trio.lowlevel.checkpoint()
        if host != b"localhost":
            raise socket.gaierror(socket.EAI_NONAME, "Name not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise NotImplementedError


@asynccontextmanager
async def kinds(certificates: Certificates, unused: int, full: int) -> AsyncIterator[dict[str, Kind]]:
    """Every kind of failure: where it happens, to whom, and in which phase (None: it is an answer)."""
    context = certificates.server_context("http/1.1")
    async with AsyncExitStack() as stack:

        async def at(script: Script, tls: ssl.SSLContext | None = None) -> Endpoint:
            return (await stack.enter_async_context(listen(script, tls))).endpoint

        tls = await at(answers, context)
        trusting, wrong = certificates.trusting, TLSSettings(certificates.authority, pins=("0" * 64,))
        proxy = Proxy(await at(wants_a_password))
        yield {
            "refused": (Endpoint("http", "localhost", unused), PLAIN, Phase.TCP),
            "no address": (Endpoint("http", "archive.invalid", 80), PLAIN, Phase.DNS),
            "not accepted": (Endpoint("http", "localhost", full), UNACCEPTED, Phase.TCP),
            "no trust": (tls, replace(PLAIN, tls=TLSSettings(certificates.stranger)), Phase.TLS),
            "wrong pin": (tls, replace(PLAIN, tls=wrong), Phase.TLS),
            "no TLS": (replace(await at(no_http2), scheme="https"), replace(PLAIN, tls=trusting), Phase.TLS),
            "proxy": (Endpoint("http", "archive.invalid", 80), replace(PLAIN, connector=proxy), Phase.AUTH),
            "reset": (await at(reset_before_an_answer), PLAIN, Phase.HTTP),
            "reset in head": (await at(reset_in_the_head), PLAIN, Phase.HTTP),
            "ended in body": (await at(ended_in_the_body), PLAIN, Phase.BODY),
            "garbage": (await at(garbage), PLAIN, Phase.HTTP),
            "silent": (await at(silent), SILENT, Phase.HTTP),
            "stops in body": (await at(stops_in_the_body), STOPS, Phase.BODY),
            "early": (await at(refuses_early), PLAIN, None),
            "GOAWAY": (await at(goes_away), TWO, Phase.HTTP),
            "RST_STREAM": (await at(resets_the_stream), TWO, Phase.HTTP),
            "no HTTP/2": (await at(no_http2), TWO, Phase.HTTP),
        }


Seen = Counter[tuple[str, Phase | None]]


async def fail(name: str, client: Client, times: int, seen: Seen) -> None:
    for _ in range(times):
        try:
            await client.request(BODY)
        except NoAnswer as error:
            seen[name, error.phase] += 1
        else:
            seen[name, None] += 1


async def test_ten_thousand_failures_leave_no_descriptor(
    certificates: Certificates, free_port: Callable[[], int]
) -> None:
    trio.socket.set_custom_hostname_resolver(Resolver())
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        async with kinds(certificates, free_port(), full.getsockname()[1]) as all_kinds:
            gc.collect()
            before = len(os.listdir("/proc/self/fd"))
            seen = await _fail_all(all_kinds)
            await trio.testing.wait_all_tasks_blocked(0.05)
            left = len(os.listdir("/proc/self/fd")) - before
        expected = {(name, phase) for name, (_, _, phase) in all_kinds.items()}
        assert set(seen) ^ expected == set()
        assert left <= 0
        assert seen.total() >= FAILURES


async def _fail_all(all_kinds: dict[str, Kind]) -> Seen:
    seen: Seen = Counter()
    weights = {name: 16 if name in CHEAP else 1 if name in DEAR else 4 for name in all_kinds}
    each = -(-FAILURES // (sum(weights.values()) * AT_ONCE))
    async with AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(open_client(endpoint, settings))
            for name, (endpoint, settings, _) in all_kinds.items()
        }
        async with trio.open_nursery() as nursery:
            for name in [*clients] * AT_ONCE:
                nursery.start_soon(fail, name, clients[name], each * weights[name], seen)
    return seen
