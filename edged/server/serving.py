"""Serving an application: open the listeners, accept, one guarded task for each connection, drain.

What may live here: the accept loop and the life of a connection as a whole. Strategy: nested nurseries are
the shutdown order: stop accepting, let running requests finish until the deadline, cancel what is left.
Invariants: nothing that happens on a connection ends another one or the server: this is one of the named
guards; a lack of descriptors is waited out; when `run` returns every socket is closed.
"""

import contextlib
import logging
import socket
import ssl
from collections.abc import Sequence
from functools import partial

import trio

from edged.http.origin_policy import OriginPolicy
from edged.server.answers import NO_ORIGINS
from edged.server.door import Door
from edged.server.exchange import Application, Counters, Service
from edged.server.http1 import HTTP1Connection, ToHTTP2
from edged.server.http2 import HTTP2Connection
from edged.server.limits import Limits
from edged.server.listeners import Bound, Kind, Listener, ListenerError, close_socket, open_socket
from edged.server.pace import Pace
from edged.server.peer import address_of, peer_of
from edged.server.tally import Tally
from edged.server.tls import TLS, CertificateKeeper
from edged.server.wire import TCPStream, TLSStream, Wire, handshake

LOG = logging.getLogger("edged.server")
ACCEPT_PAUSE_S = 0.1  # after a failed accept, mostly for want of descriptors
KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))  # a dead peer is gone after 2 minutes


class Server:
    """An application behind listeners; `counters` may be read at any time."""

    def __init__(
        self,
        application: Application,
        listeners: Sequence[Listener],
        *,
        tls: TLS | None = None,
        limits: Limits | None = None,
        origins: OriginPolicy = NO_ORIGINS,
    ) -> None:
        """`origins`: whose pages may read what the server refuses by itself.

        Raises ListenerError if an https listener has no usable TLS files.
        """
        self._listeners = listeners
        self._limits = limits or Limits()
        self._service = Service.of(application, self._limits, origins)
        service = self._service
        self._door = Door(self._limits, service.counters, service.idle, inside=service.connections)
        self._unfinished = Tally("a TLS handshake was not completed")
        self.certificates = CertificateKeeper(tls) if tls is not None else None
        """The certificate of the https listeners; somebody must run its `keep`."""
        for listener in listeners:
            if listener.kind is Kind.HTTPS and self.certificates is None:
                raise ListenerError(f"{listener} needs a certificate and a private key")

    @property
    def counters(self) -> Counters:
        """What has happened to connections so far."""
        return self._service.counters

    async def run(
        self, shutdown: trio.Event, *, task_status: trio.TaskStatus[list[Bound]] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until `shutdown` is set and running requests have finished or had `drain_s`.

        `task_status.started` gets what listens once all do; raises OSError naming the listener that cannot.
        """
        with contextlib.ExitStack() as sockets:
            bound, accepts = [], []
            for listener in self._listeners:
                opened, where = open_socket(listener)
                sockets.callback(close_socket, opened, where)
                certificates = self.certificates if listener.kind is Kind.HTTPS else None
                bound.append(where)
                accepts.append(partial(self._accept, opened, certificates))
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    for accept in accepts:
                        accepting.start_soon(accept, connections)
                    task_status.started(bound)
                    await shutdown.wait()
                    accepting.cancel_scope.cancel()
                sockets.close()
                self._service.drain.begin()
                connections.cancel_scope.deadline = trio.current_time() + self._limits.drain_s

    async def _accept(
        self, opened: socket.socket, certificates: CertificateKeeper | None, connections: trio.Nursery
    ) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(opened))
        failing = False
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if not failing:
                    LOG.warning("cannot accept connections: %s; trying on", error)
                failing = True
                await trio.sleep(ACCEPT_PAUSE_S)
                continue
            failing = False
            address = address_of(stream.socket)
            if self._door.enter(address, capped=opened.family != socket.AF_UNIX):
                connections.start_soon(self._guard, stream, certificates, address)
            else:
                connections.start_soon(partial(self._door.turn_away, stream, told=certificates is None))

    async def _guard(self, stream: TCPStream, certificates: CertificateKeeper | None, address: str) -> None:
        """One connection, whatever it does."""
        try:
            await self._serve(stream, certificates, address)
        except* Exception as group:
            self._service.counters.failed += 1
            causes = ", ".join(sorted({type(error).__name__ for error in _leaves(group)}))
            LOG.warning("a connection failed: %s", causes, exc_info=group)
        finally:
            self._door.leave(address)
            stream.socket.close()

    async def _serve(self, stream: TCPStream, certificates: CertificateKeeper | None, address: str) -> None:
        _keep_alive(stream)
        secured = stream if certificates is None else await self._secure(stream, certificates.context, address)
        if secured is None:
            self._unfinished.count()
            return
        try:
            peer = peer_of(secured)
        except OSError:  # gone already
            return
        pace, service = Pace(self._limits), self._service
        wire = Wire(secured, write_s=self._limits.write_s, pace=pace, on_slow=service.count_slow)
        negotiated = secured.selected_alpn_protocol() if isinstance(secured, trio.SSLStream) else None
        start: ToHTTP2 | None = ToHTTP2(b"")
        if negotiated != "h2":
            start = await HTTP1Connection(wire, peer, service, negotiated=negotiated is not None).run()
        if start is not None:
            await HTTP2Connection(wire, peer, service).run(start)
        await wire.close()

    async def _secure(self, stream: TCPStream, context: ssl.SSLContext, address: str) -> TLSStream | None:
        """The TLS connection; None when the client does not complete the handshake, or there is no room to wait."""
        with trio.CancelScope() as scope, self._service.idle.beginning(address, scope.cancel):
            return await handshake(stream, context, within_s=self._limits.handshake_s)
        return None


def _keep_alive(stream: TCPStream) -> None:
    with contextlib.suppress(OSError):  # not on a Unix socket
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE:
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found
