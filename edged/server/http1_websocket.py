"""A WebSocket on a connection of HTTP/1.1 (RFC 6455 4): the session's octets follow the head that accepts it.

What may live here: the seam between the two, nothing of either.
"""

import logging
from http import HTTPStatus

from edged.server.exchange import Service
from edged.server.head_gate import Head
from edged.server.http1_answer import Answer, Fields
from edged.server.http1_answer import head as answer_head
from edged.server.peer import Peer
from edged.server.websocket import WebSocket
from edged.server.wire import Disconnected, Wire

LOG = logging.getLogger("edged.server")


class _Channel:
    """What a session reads from and sends to; `octets` came together with its request."""

    def __init__(self, service: Service, peer: Peer, wire: Wire, *, head: Head, octets: bytes) -> None:
        self._service = service
        self._address = peer.counts_as
        self._entered = False
        self._wire = wire
        self._octets = octets
        self._answer = Answer(head.method, head.version)

    def enter(self) -> bool:
        """Have the connection count as a session from now on, if there is room."""
        sessions = self._service.websockets
        if sessions.full or (self._address and sessions.crowded(self._address)):
            return False
        self._service.connections.leave(self._address)
        sessions.enter(self._address)
        self._entered = True
        return True

    def leave(self) -> None:
        """Have it count as before: it ends at once."""
        if self._entered:
            self._service.websockets.leave(self._address)
            self._service.connections.enter(self._address)

    async def begin(self, status: int, fields: Fields) -> None:
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            await self._wire.send((answer_head(status, fields),))
        else:
            self._answer.start(status, fields, close=True)

    async def deny(self, body: bytes, *, more: bool) -> None:
        await self._wire.send(self._answer.body(body, more=more))

    async def send(self, octets: bytes) -> None:
        await self._wire.send((octets,))

    async def receive(self) -> bytes:
        octets, self._octets = self._octets, b""
        return octets or await self._wire.receive()


async def serve_websocket(service: Service, peer: Peer, wire: Wire, *, head: Head, octets: bytes) -> None:
    """Serve a session from its opening handshake to its end; the connection ends with it."""
    channel = _Channel(service, peer, wire, head=head, octets=octets)
    session = WebSocket(service, peer, head, channel=channel)
    try:
        await _serve(session)
        if not session.settled:
            await wire.linger(session.left_s)
    finally:
        channel.leave()


async def _serve(session: WebSocket) -> None:
    try:
        await session.run()
    except* Disconnected:
        LOG.debug("a client went away")
