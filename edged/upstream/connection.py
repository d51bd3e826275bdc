"""The HTTP client of one destination: what the forwarder holds and asks.

One client per destination. It dials when a request needs it and keeps what can be used again: HTTP/2 has one connection
that all requests share, HTTP/1.1 one connection a request, at most `max_connections` of them. Which of the two it is
the settings say, or, where they do not and the peer offers both by TLS, what is measured (`weighing`), anew for each
request. Whether to try again is for the retry policy to decide, but for one case: a connection that was idle and that
the peer closes before it has answered anything has told nothing about the request, which is then sent once more, on a
new one (RFC 9112 9.3.1, RFC 9110 9.2.2: to store and to ask are idempotent), unless the request says `once`; so is one
of which only the expectation was refused (417), without it.

Invariants: every connection is in the pool, is the shared one, or belongs to exactly one running request; whatever ends
the request, cancellation too, puts it back or closes it. What was learned is forgotten when dialling fails.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

import trio

from edged.telemetry.live import Phase
from edged.upstream.beside import beside
from edged.upstream.dial import Connector, Timeouts, dial
from edged.upstream.endpoint import Endpoint
from edged.upstream.expect import Expectation
from edged.upstream.http1 import Http1Connection
from edged.upstream.http2 import Http2Connection
from edged.upstream.http_choice import Chosen, Version
from edged.upstream.measuring import weighed
from edged.upstream.message import IdleEnded, NoAnswer, Request, Response
from edged.upstream.opening import H2, HTTP_1_1, Opener, Watcher
from edged.upstream.pool import IdleConnections
from edged.upstream.shared import Shared
from edged.upstream.tls import TLSSettings
from edged.upstream.transport import Transport
from edged.upstream.weighing import Weighing

TELL_S = 10.0
"""How long new figures wait to be told; another version is told at once."""


class HttpChoice(StrEnum):
    """The setting `http` of a destination."""

    AUTO = "auto"
    ONE = "1.1"
    TWO = "2"


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to reach a destination; the defaults are those of the configuration."""

    http: HttpChoice = HttpChoice.AUTO
    tls: TLSSettings = field(default_factory=TLSSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 4
    connector: Connector = dial
    watcher: Watcher | None = None


class Client:
    """Sends requests to one endpoint; made by `open_client`. Raises TLSSettingsError where a file cannot be used."""

    def __init__(self, nursery: trio.Nursery, endpoint: Endpoint, settings: ClientSettings) -> None:
        self.endpoint = endpoint
        self._settings = settings
        timeouts, watcher = settings.timeouts, settings.watcher
        self._opener = Opener(endpoint, settings.tls, timeouts, connector=settings.connector, watcher=watcher)
        self._weighing: Weighing | None = None
        if settings.http is HttpChoice.AUTO and endpoint.secure:
            self._weighing = Weighing(trio.current_time())
        self._expectation = Expectation()
        self._spoken: Version | None = None
        self._idle = IdleConnections()
        self._slots = trio.Semaphore(settings.max_connections)
        self._shared = Shared(nursery, endpoint, timeouts, opener=self._opener)
        self._dialling = trio.Lock()
        self._told: Chosen | None = None
        self._tell_at = 0.0
        self._closed = False

    @property
    def http_version(self) -> str | None:
        """What the last connection spoke, "1.1" or "2"; None before the first."""
        return self._spoken.value if self._spoken else None

    @property
    def connections_opened(self) -> int:
        """How many there have been."""
        return self._opener.opened

    async def request(self, request: Request, *, fresh: bool = False) -> Response:
        """Send `request` and give its final response; `fresh`: on a connection that was not used before.

        Raises NoAnswer, what the body's pieces and the sink raise, and trio.ClosedResourceError once it is closed.
        """
        self._check_open()
        shared = await self._share(fresh=fresh)
        with weighed(self._weighing, Version.ONE if shared is None else Version.TWO, request) as sent:
            if shared is not None:
                return await shared.exchange(sent)
            return await self._exchange(sent, fresh=fresh)

    async def aclose(self) -> None:
        """Close the idle connections and the shared one; what still runs on its own connection may end."""
        self._closed = True
        self._idle.close()
        self._shared.close()
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this client has been closed")

    # HTTP/1.1: a connection for each request

    async def _exchange(self, request: Request, *, fresh: bool) -> Response:
        async with self._slots:
            idle = None if fresh else self._idle.take_nowait()
            if idle is not None:
                try:
                    return await self._exchange_on(idle, request)
                except IdleEnded:  # it says nothing about the request
                    if request.once:
                        raise
            return await self._exchange_on(await self._dial_one(), request)

    async def _exchange_on(self, connection: Http1Connection, request: Request) -> Response:
        asks = self._expectation.wanted(request.content_length)
        try:
            response = await connection.exchange(request)
        except NoAnswer:
            self._expectation.lost()
            raise
        finally:
            self._give_back(connection)
        self._expectation.answered(request.content_length, response.status)
        if asks and self._expectation.is_refused(response.status):
            return await self._exchange_on(await self._dial_one(), request)
        return response

    def _give_back(self, connection: Http1Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.give_back(connection)

    async def _dial_one(self) -> Http1Connection:
        """Connect in HTTP/1.1; where the peer did not offer HTTP/2, both are offered, to learn when it does."""
        both = self._weighing is not None and not self._weighing.seen.offered
        try:
            transport = await self._dial(*((H2, HTTP_1_1) if both else (HTTP_1_1,)))
        except NoAnswer as error:
            if self._weighing is not None and error.phase is Phase.TLS and not both:
                self._weighing.one_failed(trio.current_time())
            raise
        if transport.alpn not in {HTTP_1_1, None}:
            raise self._unexpected(transport)
        return self._http1(transport)

    def _http1(self, transport: Transport) -> Http1Connection:
        self._spoken = Version.ONE
        return Http1Connection(transport, self.endpoint, self._settings.timeouts, expectation=self._expectation)

    # HTTP/2: a connection for all

    async def _share(self, *, fresh: bool) -> Http2Connection | None:
        """Give the connection that all requests share, `fresh`: a new one, or None where each has its own."""
        async with self._dialling:
            if fresh:
                self._shared.retire()
            if self._weighing is not None:
                return await self._share_weighed(self._weighing)
            if self._settings.http is HttpChoice.TWO:
                return await self._share_set()
            asked = self._settings.http is HttpChoice.ONE
            self._tell(Chosen(Version.ONE, "as set" if asked else "over http:// only `http` = 2 makes it HTTP/2"))
            return None

    async def _share_weighed(self, weighing: Weighing) -> Http2Connection | None:
        if weighing.seen.offered is None and not await self._shared.is_usable():
            await self._learn(weighing)
        chosen = weighing.chosen(trio.current_time())
        if chosen.version is Version.TWO and not await self._shared.is_usable():
            await self._learn(weighing)
            chosen = weighing.chosen(trio.current_time())
        self._tell(chosen)
        if chosen.version is Version.TWO:
            return self._shared.current
        self._shared.retire()
        return None

    async def _learn(self, weighing: Weighing) -> None:
        """Connect by what TLS selects; of HTTP/2 the way to the peer is measured."""
        transport = await self._dial(H2, HTTP_1_1)
        weighing.offers(transport.alpn == H2)
        if transport.alpn != H2:
            self._give_back(self._http1(transport))
            return
        await self._begin(transport)
        if (current := self._shared.current) is not None:
            await current.round_trip.wait_measured(self._settings.timeouts.tls_s)
            window = current.window_bytes(self._settings.max_connections)
            weighing.path(trio.current_time(), round_trip_s=current.round_trip.seconds, window_bytes=window)

    async def _share_set(self) -> Http2Connection | None:
        """Give the connection where the settings ask for HTTP/2; None: the peer knows only HTTP/1.1, without TLS."""
        if await self._shared.is_usable():
            return self._shared.current
        if self.endpoint.secure:
            transport = await self._dial(H2)
            if transport.alpn != H2:
                raise self._unexpected(transport)
            await self._begin(transport)
        elif not await self._begin_plain():
            self._tell(Chosen(Version.ONE, "the peer does not speak HTTP/2 without TLS"))
            return None
        self._tell(Chosen(Version.TWO, "as set"))
        return self._shared.current

    async def _begin(self, transport: Transport) -> None:
        await self._shared.begin(transport)
        self._begun()

    async def _begin_plain(self) -> bool:
        try:
            begun = await self._shared.begin_plain()
        except NoAnswer:
            self._forget()
            raise
        if begun:
            self._begun()
        return begun

    def _begun(self) -> None:
        self._spoken = Version.TWO
        if self._closed:
            self._shared.close()

    # Both

    async def _dial(self, *protocols: str) -> Transport:
        try:
            return await self._opener.open(*protocols)
        except NoAnswer:
            self._forget()
            raise

    def _unexpected(self, transport: Transport) -> NoAnswer:
        transport.close()
        self._forget()
        text = f"{self.endpoint.peer} selected {transport.alpn or 'no protocol'} by ALPN, which was not expected"
        return NoAnswer(Phase.TLS, text, not_processed=True)

    def _forget(self) -> None:
        """The peer may be another one when it is back."""
        self._spoken = None
        self._shared.forget()
        if self._weighing is not None:
            self._weighing.offers(None)

    def _tell(self, chosen: Chosen) -> None:
        now, watcher = trio.current_time(), self._settings.watcher
        if watcher is None or chosen == self._told:
            return
        if self._told is None or chosen.version is not self._told.version or now >= self._tell_at:
            self._told, self._tell_at = chosen, now + TELL_S
            watcher.speaks(chosen.version.value, chosen.reason)


@asynccontextmanager
async def open_client(endpoint: Endpoint, settings: ClientSettings | None = None) -> AsyncGenerator[Client, None]:
    """Give a client for `endpoint` and close it, with everything that runs for it, when the block ends."""
    async with beside() as nursery:
        client = Client(nursery, endpoint, settings or ClientSettings())
        try:
            yield client
        finally:
            await client.aclose()
