"""HTTP/1.0 and 1.1 on one connection: heads in, one exchange after the other, keep-alive, hand-over to HTTP/2.

What may live here: the life of a connection between its heads. It takes the place of hypercorn's H11Protocol,
whose callbacks leave no room for the head gate, for 100 Continue on demand, for reading on after an early
answer, or for deadlines. Invariants: every head passes the head gate before h11 sees it; each request has an
h11 connection of its own, so that nothing of one can be taken for a part of the next; the connection is kept
only if both sides are done with it.
"""

import contextlib
import logging
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus

import h11
import trio
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed
from hypercorn.protocol.http_stream import HTTPStream

from edged.server.answers import reason, refusal, with_date
from edged.server.exchange import NO_STATE, Exchange, Service
from edged.server.head_gate import PREFACE, HeadError, Refusal, check_head, head_length, origin_form
from edged.server.inbox import Inbox
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
        self._octets = b""  # read and not yet given to h11
        self._kept = False  # a request was served before
        self._ended = False  # the client has ended its side
        self._complete = False  # the whole request was read
        self._stalled = False
        self._h11 = h11.Connection(h11.SERVER)
        self._pending: list[bytes] = []  # made by h11 and not yet written

    async def run(self) -> ToHTTP2 | None:
        """Serve requests until the connection ends (None) or goes on in HTTP/2."""
        try:
            while (length := await self._read_head()) is not None:
                if self._octets.startswith(PREFACE):
                    return ToHTTP2(self._octets)
                request = self._parse_head(length)
                if wants_websocket(request):
                    await self._serve_websocket(request)
                    return None
                settings = None if self._peer.secure else http2_settings(request)
                if settings is not None:
                    return await self._to_http2(request, settings)
                if not await self._serve(request):
                    return None
        except HeadError as error:
            LOG.info("refused a request head: %s", error)
            await self._refuse(error.refusal.status, error.refusal.text)
        except Disconnected:
            LOG.debug("a client went away")
        return None

    async def _read_head(self) -> int | None:
        """Read until a whole head is there; its length, None when the connection ends instead."""
        idle = self._kept and not self._octets
        patience_s = self._limits.idle_s if idle else self._limits.head_s
        with self._service.drain.interruptible(), trio.move_on_after(patience_s) as patience:
            while True:
                self._octets = self._octets.removeprefix(b"\r\n")  # RFC 9112 2.2
                length = head_length(self._octets, self._limits.head_bytes) if self._octets != b"\r" else None
                if length is not None:
                    return length
                octets = await self._wire.receive()
                if not octets:
                    return None
                if idle:
                    idle, patience.deadline = False, trio.current_time() + self._limits.head_s
                self._octets += octets
        if patience.cancelled_caught and self._octets:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request head did not arrive in time.")
        return None

    def _parse_head(self, length: int) -> Request:
        """Check the head and give all that was read to h11; raises HeadError."""
        check_head(self._octets[:length])
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)
        self._h11.receive_data(self._octets)
        self._octets = b""
        self._complete = False
        try:
            head = self._h11.next_event()
        except h11.RemoteProtocolError:
            raise HeadError(Refusal.REQUEST_LINE) from None
        assert isinstance(head, h11.Request)
        target, authority = origin_form(head.target)
        headers = list(head.headers)
        if authority is not None:
            headers = [(b"host", authority), *(field for field in headers if field[0] != b"host")]
        return Request(
            stream_id=STREAM_ID,
            headers=headers,
            http_version=head.http_version.decode("ascii"),
            method=head.method.decode("ascii"),
            raw_path=target,
            state=NO_STATE,
        )

    async def _serve(self, request: Request) -> bool:
        """One exchange; whether the connection is kept."""
        async with trio.open_nursery() as nursery:
            inbox = Inbox(stall_s=self._limits.body_s)
            exchange = Exchange(self._service, self._peer, nursery, inbox=inbox)
            stream = exchange.http(STREAM_ID, self._send)
            reading = trio.CancelScope()
            exchange.on_sent = self._flush
            exchange.on_done = reading.cancel
            inbox.on_first = self._continue
            inbox.on_stall = partial(self._stall, stream)
            await stream.handle(request)
            with reading:
                await self._read_body(stream)
        return await self._end_exchange()

    async def _read_body(self, stream: HTTPStream) -> None:
        """Feed the body to the application as it takes it, then watch for the end of the connection."""
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as error:
                if not self._complete:  # else it is what follows a last request: it has no meaning
                    LOG.info("a request body broke off: %s", error)
                    await stream.handle(StreamClosed(STREAM_ID))
                return
            if isinstance(event, h11.Data):
                await stream.handle(Body(STREAM_ID, event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._complete = True
                await stream.handle(EndBody(STREAM_ID))
            elif event is h11.NEED_DATA:
                octets = await self._wire.receive()
                self._ended = not octets
                self._h11.receive_data(octets)
            else:  # the next request waits, or the client has ended
                if isinstance(event, h11.ConnectionClosed):
                    await stream.handle(StreamClosed(STREAM_ID))
                return

    async def _end_exchange(self) -> bool:
        """After the application has returned: whether the connection is kept."""
        ours, theirs = self._h11.our_state, self._h11.their_state
        if self._wire.broken:
            return False
        if ours is h11.DONE and theirs is h11.DONE:
            self._kept = True
            self._octets = self._h11.trailing_data[0]
            return not self._service.drain.begun.is_set()
        if ours in {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            await self._wire.linger(self._limits.linger_s)
        elif ours is h11.SEND_BODY or self._ended:  # the client must see that this is not the whole answer
            self._wire.abort()
        elif ours is h11.ERROR:
            await self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "The answer could not be made.")
        elif self._stalled:
            await self._refuse(HTTPStatus.REQUEST_TIMEOUT, "The request body did not arrive in time.")
        else:
            await self._refuse(HTTPStatus.BAD_REQUEST, "The request body is malformed.")
        return False

    async def _serve_websocket(self, request: Request) -> None:
        self._octets = self._h11.trailing_data[0]
        websocket = WebSocket(self._service, self._peer, request, send=self._send_now, read=self._read_frames)
        await websocket.run()
        await self._wire.linger(self._limits.linger_s)

    async def _read_frames(self) -> bytes:
        """What a WebSocket client sent: first what came together with its request."""
        octets, self._octets = self._octets, b""
        return octets or await self._wire.receive()

    async def _to_http2(self, request: Request, settings: bytes) -> ToHTTP2:
        event = h11.InformationalResponse(
            status_code=SWITCHING, headers=upgrade_fields(b"h2c"), reason=reason(SWITCHING)
        )
        await self._wire.send([self._h11.send(event) or b""])
        headers = [field for field in request.headers if field[0] not in HOP_BY_HOP]
        return ToHTTP2(self._h11.trailing_data[0], replace(request, http_version="2", headers=headers), settings)

    async def _send(self, event: Event) -> None:
        """Turn an event of hypercorn's stream into octets, to be written by `_flush`."""
        match event:
            case Response(status_code=status) if status == SWITCHING:
                switching = h11.InformationalResponse(status_code=status, headers=event.headers, reason=reason(status))
                self._queue(switching)
            case Response(status_code=status):
                headers = self._answer_headers(event)
                self._queue(h11.Response(status_code=status, headers=headers, reason=reason(status)))
            case Body(data=data):
                self._queue(h11.Data(data=data))
            case EndBody():
                self._queue(h11.EndOfMessage())
            case Data(data=data):
                self._pending.append(data)

    async def _send_now(self, event: Event) -> None:
        await self._send(event)
        await self._flush()

    def _answer_headers(self, answer: Response) -> list[tuple[bytes, bytes]]:
        headers = with_date(answer.headers)
        if not self._complete or self._service.drain.begun.is_set():
            headers = [*headers, (b"connection", b"close")]
        return headers

    def _queue(self, event: h11.Event) -> None:
        self._pending += self._h11.send_with_data_passthrough(event) or ()

    async def _flush(self) -> None:
        if self._pending:
            pieces, self._pending = self._pending, []
            await self._wire.send(pieces)

    async def _continue(self) -> None:
        """100 Continue, when the application first asks for the body (RFC 9110 10.1.1)."""
        if self._h11.they_are_waiting_for_100_continue:
            self._queue(h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[], reason=b"Continue"))
            with contextlib.suppress(Disconnected):
                await self._flush()

    async def _stall(self, stream: HTTPStream) -> None:
        LOG.info("a request body stalled")
        self._stalled = True
        await stream.handle(StreamClosed(STREAM_ID))

    async def _refuse(self, status: HTTPStatus, text: str) -> None:
        with contextlib.suppress(Disconnected):
            await self._wire.send([refusal(status, text)])
        await self._wire.linger(self._limits.linger_s)
