"""The HTTP client of one destination: what the forwarder holds and asks.

One client per destination. It dials when a request needs it, keeps what can be used again, and learns from TLS which
HTTP the peer speaks: HTTP/2 has one connection that all requests share, HTTP/1.1 one connection a request, at most
`max_connections` of them. Whether to try again is for the retry policy to decide, but for one case: a connection that
was idle and that the peer closes before it has answered anything has told nothing about the request, which is then sent
once more, on a new one (RFC 9112 9.3.1, RFC 9110 9.2.2: to store and to ask are idempotent), unless the request says
`once`; so is one of which only the expectation was refused (417), without it.

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
from edged.upstream.message import IdleEnded, NoAnswer, Request, Response
from edged.upstream.pinning import pin_fault
from edged.upstream.pool import IdleConnections
from edged.upstream.tls import TLSSettings
from edged.upstream.transport import Transport


class HttpChoice(StrEnum):
    """The setting `http` of a destination."""

    AUTO = "auto"
    ONE = "1.1"
    TWO = "2"


_ALPN = {HttpChoice.AUTO: ("h2", "http/1.1"), HttpChoice.ONE: ("http/1.1",), HttpChoice.TWO: ("h2",)}
"""What TLS offers, by choice. Source: RFC 9113 3.2, RFC 7301 6."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """How to reach a destination; the defaults are those of the configuration."""

    http: HttpChoice = HttpChoice.AUTO
    tls: TLSSettings = field(default_factory=TLSSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_connections: int = 4
    connector: Connector = dial


class Client:
    """Sends requests to one endpoint; made by `open_client`. Raises TLSSettingsError where a file cannot be used."""

    def __init__(self, nursery: trio.Nursery, endpoint: Endpoint, settings: ClientSettings) -> None:
        self.endpoint = endpoint
        self.connections_opened = 0
        self._nursery = nursery
        self._timeouts = settings.timeouts
        self._connector = settings.connector
        self._choice = settings.http
        if settings.http is HttpChoice.AUTO and not endpoint.secure:
            self._choice = HttpChoice.ONE  # there is nothing to learn it from
        self._pins = settings.tls.pins
        self._context = settings.tls.context(_ALPN[self._choice]) if endpoint.secure else None
        self._expectation = Expectation()
        self._learned: HttpChoice | None = None
        self._idle = IdleConnections()
        self._slots = trio.Semaphore(settings.max_connections)
        self._shared: Http2Connection | None = None
        self._dialling = trio.Lock()
        self._closed = False

    @property
    def http_version(self) -> str | None:
        """What the last connection spoke, "1.1" or "2"; None before the first."""
        return self._learned.value if self._learned else None

    async def request(self, request: Request, *, fresh: bool = False) -> Response:
        """Send `request` and give its final response; `fresh`: on a connection that was not used before.

        Raises NoAnswer, what the body's pieces and the sink raise, and trio.ClosedResourceError once it is closed.
        """
        self._check_open()
        if (shared := await self._share(fresh=fresh)) is not None:
            return await shared.exchange(request)
        async with self._slots:
            idle = None if fresh else self._idle.take_nowait()
            if idle is not None:
                try:
                    return await self._exchange_on(idle, request)
                except IdleEnded:  # it says nothing about the request
                    if request.once:
                        raise
            return await self._exchange_on(self._http1(await self._dial()), request)

    async def aclose(self) -> None:
        """Close the idle connections and the shared one; what still runs on its own connection may end."""
        self._closed = True
        self._idle.close()
        if self._shared is not None:
            self._shared.close()
        await trio.lowlevel.checkpoint()

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
            return await self._exchange_on(self._http1(await self._dial()), request)
        return response

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this client has been closed")

    def _http1(self, transport: Transport) -> Http1Connection:
        return Http1Connection(transport, self.endpoint, self._timeouts, expectation=self._expectation)

    def _give_back(self, connection: Http1Connection) -> None:
        if self._closed:
            connection.close()
        else:
            self._idle.give_back(connection)

    async def _share(self, *, fresh: bool) -> Http2Connection | None:
        """Give the connection that all requests share, `fresh`: a new one, or None where each has its own."""
        async with self._dialling:
            if HttpChoice.ONE in {self._choice, self._learned}:
                return None
            if fresh and self._shared is not None:
                self._shared.retire()
            if self._shared is None or not await self._shared.wait_usable():
                await self._renew_shared()
            return self._shared

    async def _renew_shared(self) -> None:
        self._shared = None
        transport = await self._dial()
        if self._learned is HttpChoice.ONE:
            self._give_back(self._http1(transport))
            return
        connection = Http2Connection(transport, self.endpoint, self._timeouts)
        await self._nursery.start(connection.run)
        self._shared = connection
        if self._closed:
            connection.close()

    async def _dial(self) -> Transport:
        try:
            transport = await self._connector(self.endpoint, self._context, self._timeouts)
        except NoAnswer:
            self._learned = None
            raise
        self.connections_opened += 1
        if self._context is not None and (fault := pin_fault(transport.certificate(), self._pins)):
            transport.close()
            self._learned = None
            raise NoAnswer(Phase.TLS, f"no TLS with {self.endpoint.peer}: {fault}", not_processed=True)
        spoken = _spoken(transport, self._choice)
        if spoken is None or self._learned not in {None, spoken}:
            transport.close()
            self._learned = None
            text = f"{self.endpoint.peer} selected {transport.alpn or 'no protocol'} by ALPN, which was not expected"
            raise NoAnswer(Phase.TLS, text, not_processed=True)
        self._learned = spoken
        return transport


def _spoken(transport: Transport, choice: HttpChoice) -> HttpChoice | None:
    """What a new connection speaks; None where it is not what was chosen. Without ALPN it is HTTP/1.1."""
    if choice is HttpChoice.AUTO:
        return HttpChoice.TWO if transport.alpn == "h2" else HttpChoice.ONE
    if not transport.secure or transport.alpn == _ALPN[choice][0]:
        return choice
    return HttpChoice.ONE if choice is HttpChoice.ONE and transport.alpn is None else None


@asynccontextmanager
async def open_client(endpoint: Endpoint, settings: ClientSettings | None = None) -> AsyncGenerator[Client, None]:
    """Give a client for `endpoint` and close it, with everything that runs for it, when the block ends."""
    async with beside() as nursery:
        client = Client(nursery, endpoint, settings or ClientSettings())
        try:
            yield client
        finally:
            await client.aclose()
