"""HTTP/1.0 and 1.1 on one connection: heads in, one exchange after the other, keep-alive, hand-over to HTTP/2.

What may live here: the life of a connection between its heads. It takes the place of hypercorn's H11Protocol, whose
structure (callbacks from the reader) leaves no place for the head gate, for 100 Continue on demand, for reading on after
an early answer, or for deadlines. Invariants: every head passes the head gate before h11 sees it; each request has an h11
connection of its own, so nothing of one request can be taken for a part of the next; the connection is kept only if both
sides are done.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus

import h11
import trio
from hypercorn.protocol.events import Body, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream

from edged.server.answers import reason, refusal, with_date
from edged.server.exchange import NO_STATE, Exchange, Service
from edged.server.head_gate import PREFACE, HeadError, check_head, head_length, origin_form
from edged.server.inbox import Inbox
from edged.server.upgrade import Upgrade, upgrade_of
from edged.server.websocket import WebSocket
from edged.server.wire import Disconnected, Peer, Wire

LOG = logging.getLogger("edged.server")
STREAM_ID = 1


@dataclass(frozen=True, slots=True)
class ToHTTP2:
    """Go on in HTTP/2: octets already read, and the request of an h2c upgrade with its settings."""

    octets: bytes
    request: Request | None = None
    settings: bytes | None = None


class HTTP1Connection:
    """One HTTP/1 connection; `run` returns when it has ended or goes on in HTTP/2."""

    def __init__(self, wire: Wire, peer: Peer, service: Service) -> None:
        self._wire = wire
        self._peer = peer
        self._service = service
        self._limits = service.limits
        self._octets = b""  # read and not yet given to h11
        self._patience_s = self._limits.head_s  # for the first octet of the next head
        self._h11 = h11.Connection(h11.SERVER)
        self._pending: list[bytes] = []
        self._reading = trio.CancelScope()

    async def run(self) -> ToHTTP2 | None:
        """Serve requests until the connection ends (None) or goes on in HTTP/2."""
        while True:
            try:
                length = await self._read_head()
                if length is None:
                    return None
                if self._octets.startswith(PREFACE):
                    return ToHTTP2(self._octets)
                check_head(self._octets[:length])
                request = self._parse_head(length)
            except HeadError as error:
                LOG.info("refused a request head: %s", error)
                await self._refuse(error.refusal.status, error.refusal.text)
                return None
            match upgrade_of(request, self._h11, secure=self._peer.secure):
                case Upgrade.WEBSOCKET:
                    return await self._run_websocket(request)
    ...
