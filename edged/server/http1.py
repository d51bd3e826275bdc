"""HTTP/1.0 and 1.1 on one connection: heads in, one exchange after the other, keep-alive, hand-over to HTTP/2.

What may live here: the life of a connection between its heads. The connection's own task does it all: it
reads a head, runs the application on it, and reads the next. Invariants: every head passes the head gate and
is read nowhere else; what one request leaves unread is the next one's, never a part of itself; the
connection is kept only if both sides are done with it.
"""

import contextlib
import logging
from dataclasses import dataclass
from http import HTTPStatus

import trio
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response

from edged.server.answers import refusal
from edged.server.exchange import NO_STATE, Service
from edged.server.head_gate import PREFACE, Head, HeadError, check_head, head_length
from edged.server.http1_answer import Answer
from edged.server.http1_answer import head as answer_head
from edged.server.http1_exchange import HTTP1Exchange
from edged.server.upgrade import http2_settings, upgrade_fields, wants_websocket
from edged.server.websocket import WebSocket
from edged.server.wire import Disconnected, Peer, Wire

LOG = logging.getLogger("edged.server")
STREAM_ID = 1
HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"http2-settings"})  # of an upgrade: gone with HTTP/1
SWITCHING = HTTPStatus.SWITCHING_PROTOCOLS


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
        self._octets = b""  # read, and of no request yet
        self._kept = False  # a request was served before

    async def run(self) -> ToHTTP2 | None:
        """Serve requests until the connection ends (None) or goes on in HTTP/2."""
        try:
            while (length := await self._read_head()) is not None:
                if self._octets.startswith(PREFACE):
                    return ToHTTP2(self._octets)
                head = check_head(self._octets[:length])
                self._octets = self._octets[length:]
                if wants_websocket(head):
                    await self._serve_websocket(head)
                    return None
                settings = None if self._peer.secure else http2_settings(head)
                if settings is not None:
                    return await self._to_http2(head, settings)
                if not await self._serve(head):
                    return None
        except HeadError as error:
            LOG.info("refused a request head: %s", error)
            await self._refuse(error.refusal.status, error.refusal.text)
        except Disconnected:
            LOG.debug("a client went away")
        return None

    async def _read_head(self) -> int | None:
        """Read until a whole head is there; its length, None when the connection ends instead."""
        if (length := self._head_length()) is not None:
            return length
        idle = self._kept and not self._octets
        patience_s = self._limits.idle_s if idle else self._limits.head_s
        with self._service.drain.interruptible(within_s=patience_s) as patience:
            while octets := await self._wire.receive():
                if idle:
                    idle, patience.deadline = False, trio.current_time() + self._limits.head_s
                self._octets += octets
                if (length := self._head_length()) is not None:
                    return length
        if patience.cancelled_caught and not self._service.drain.begun.is_set() and self._octets:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request head did not arrive in time.")
        return None

    def _head_length(self) -> int | None:
        """The length of the head that has been read, None while it is incomplete; raises HeadError."""
        self._octets = self._octets.removeprefix(b"\r\n")  # RFC 9112 2.2
        return head_length(self._octets, self._limits.head_bytes) if self._octets not in {b"", b"\r"} else None

    async def _serve(self, head: Head) -> bool:
        """One exchange; whether the connection is kept."""
        exchange = HTTP1Exchange(self._service, self._peer, self._wire, head=head, octets=self._octets)
        self._octets = b""
        self._kept = await exchange.run()
        self._octets = exchange.rest
        return self._kept

    async def _serve_websocket(self, head: Head) -> None:
        answer = Answer(head.method, head.version)

        async def send(event: Event) -> None:
            match event:
                case Response(status_code=status) if status == SWITCHING:
                    await self._wire.send((answer_head(status, event.headers),))
                case Response(status_code=status):
                    answer.start(status, event.headers, close=True)
                case Body(data=data):
                    await self._wire.send(answer.body(data, more=True))
                case EndBody():
                    await self._wire.send(answer.body(b"", more=False))
                case Data(data=data):
                    await self._wire.send((data,))

        request = _request(head, http_version=head.version)
        await WebSocket(self._service, self._peer, request, send=send, read=self._read_frames).run()
        await self._wire.linger(self._limits.linger_s)

    async def _read_frames(self) -> bytes:
        """What a WebSocket client sent: first what came together with its request."""
        octets, self._octets = self._octets, b""
        return octets or await self._wire.receive()

    async def _to_http2(self, head: Head, settings: bytes) -> ToHTTP2:
        await self._wire.send((answer_head(SWITCHING, upgrade_fields(b"h2c")),))
        request = _request(head, http_version="2", without=HOP_BY_HOP)
        return ToHTTP2(self._octets, request, settings)

    async def _refuse(self, status: HTTPStatus, text: str) -> None:
        with contextlib.suppress(Disconnected):
            await self._wire.send((refusal(status, text),))
        await self._wire.linger(self._limits.linger_s)


def _request(head: Head, *, http_version: str, without: frozenset[bytes] = frozenset()) -> Request:
    """The request as hypercorn's streams take it."""
    return Request(
        stream_id=STREAM_ID,
        headers=[field for field in head.fields if field[0] not in without],
        http_version=http_version,
        method=head.method,
        raw_path=head.target,
        state=NO_STATE,
    )
