"""`http = "auto"` over TLS, on links in virtual time: what it chose is nearly the better, and it says so."""

import ssl

import pytest
import trio
import trio.testing

from edged.telemetry.live import Phase
from edged.upstream.connection import TELL_S, Client, ClientSettings, HttpChoice, open_client
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.message import NoAnswer
from edged.upstream.transport import Transport
from tests.support.upstream_body import GET, post
from tests.support.virtual_link import Link
from tests.upstream.conftest import Certificates

ENDPOINT = Endpoint("https", "localhost", 443)
SIZE = 1 << 20
WORKERS = 4


class Told:
    """Who is told what is spoken."""

    def __init__(self) -> None:
        self.spoken: list[tuple[str, str]] = []

    def speaks(self, version: str, reason: str) -> None:
        self.spoken.append((version, reason))

    def loads(self, fault: str | None) -> None:
        raise AssertionError(fault)


async def send(client: Client, count: int) -> float:
    """Send so many bodies, some at a time; gives the seconds that it took."""
    left, began = iter(range(count)), trio.current_time()

    async def work() -> None:
        for _ in left:
            assert (await client.request(post(SIZE))).status == 200

    async with trio.open_nursery() as nursery:
        for _ in range(WORKERS):
            nursery.start_soon(work)
    return trio.current_time() - began


async def seconds(link: Link, http: HttpChoice, certificates: Certificates, told: Told) -> float:
    """How long a row of bodies takes, after as many that were sent before."""
    context = certificates.server_context("h2", "http/1.1")
    async with trio.open_nursery() as nursery:
        connector = link.connector(nursery, context)
        settings = ClientSettings(http, certificates.trusting, connector=connector, watcher=told)
        async with open_client(ENDPOINT, settings) as client:
            await send(client, 64 if http is HttpChoice.AUTO else WORKERS)
            took = await send(client, 12)
            await trio.sleep(TELL_S)  # a reason is told no more often
            await send(client, 1)
        nursery.cancel_scope.cancel()
    return took


@pytest.mark.parametrize(
    ("rate", "round_trip_s", "window_bytes", "version", "reason"),
    [
        (20e6, 0.04, 65_535, "1.1", "the window of HTTP/2 (64 KiB, round trip 40 ms) allows 1.6 MB/s"),
        (20e6, 0.2, 65_535, "1.1", "the window of HTTP/2 (64 KiB, round trip 200 ms) allows 0.3 MB/s"),
        (8e6, 0.2, 1 << 19, "1.1", "HTTP/1.1 reached"),
        (20e6, 0.04, 16 << 20, "2", "HTTP/1.1 reached"),
        (8e6, 0.2, 16 << 20, "2", "HTTP/1.1 reached"),
        (1e6, 0.04, 1 << 20, "2", "HTTP/1.1 reached"),
    ],
)
async def test_auto_is_nearly_as_fast_as_the_better(
    autojump_clock: trio.testing.MockClock,
    certificates: Certificates,
    rate: float,
    round_trip_s: float,
    window_bytes: int,
    version: str,
    reason: str,
) -> None:
    took, told = {}, {each: Told() for each in HttpChoice}
    for http in HttpChoice:
        link = Link(rate, round_trip_s, window_bytes)
        took[http] = await seconds(link, http, certificates, told[http])
    assert took[HttpChoice.AUTO] <= min(took.values()) / 0.85
    spoken, why = told[HttpChoice.AUTO].spoken[-1]
    assert (spoken, reason in why) == (version, True), why
    assert told[HttpChoice.ONE].spoken == [("1.1", "as set")]
    assert told[HttpChoice.TWO].spoken == [("2", "as set")]


async def test_a_peer_that_offers_http_1_1_alone(
    autojump_clock: trio.testing.MockClock, certificates: Certificates
) -> None:
    told, link = Told(), Link(1e9, 0.0, 65_535)
    async with trio.open_nursery() as nursery:
        connector = link.connector(nursery, certificates.server_context("http/1.1"))
        settings = ClientSettings(tls=certificates.trusting, connector=connector, watcher=told)
        async with open_client(ENDPOINT, settings) as client:
            await client.request(GET)
        nursery.cancel_scope.cancel()
    assert told.spoken == [("1.1", "the peer does not offer HTTP/2")]


async def test_a_peer_that_offers_http_2_alone_is_not_lost(
    autojump_clock: trio.testing.MockClock, certificates: Certificates
) -> None:
    """Its window speaks for HTTP/1.1, which it then refuses."""
    link = Link(20e6, 0.2, 65_535)
    async with trio.open_nursery() as nursery:
        connect = link.connector(nursery, certificates.server_context("h2"))

        async def strict(endpoint: Endpoint, context: ssl.SSLContext | None, timeouts: Timeouts) -> Transport:
            transport = await connect(endpoint, context, timeouts)
            if transport.alpn != "h2":
                transport.close()
                raise NoAnswer(Phase.TLS, "no application protocol", not_processed=True)
            return transport

        settings = ClientSettings(tls=certificates.trusting, connector=strict)
        async with open_client(ENDPOINT, settings) as client:
            with pytest.raises(NoAnswer):
                await client.request(GET)
            assert (await client.request(GET)).http_version == "2"
            assert (await client.request(GET)).http_version == "2"
        nursery.cancel_scope.cancel()
