"""One WebSocket, over HTTP/1 or a stream of HTTP/2, fed only when it is ready and ended in order.

What may live here: when hypercorn's WSStream sees what, when frames are read and when the session is over;
the frames themselves are wsproto's. Invariants: nothing the client sends reaches WSStream before the
application has accepted; a violation of the protocol ends the session with a close frame and never leaves
this file; compression is not negotiated, so that a small frame stays small; an open session has no idle
limit, but every closing one has a deadline.
"""

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable

import trio
from hypercorn.protocol.events import Data, EndData, Event, Request, Response, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from edged.server.exchange import SendEvent, Service, StreamExchange
from edged.server.inbox import Inbox
from edged.server.wire import Disconnected, Peer

LOG = logging.getLogger("edged.server")


class WebSocket:
    """A session from its request to its end. `read` gives octets, b"" at the end; `send` takes protocol events."""

    def __init__(
        self, service: Service, peer: Peer, request: Request, *, send: SendEvent, read: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._service = service
        self._peer = peer
        self._request = request
        self._send_event = send
        self._read = read
        self._accepted = trio.Event()
        self._done = trio.Event()  # the application has returned
        self._reading = trio.CancelScope()
        self._handling = False  # what WSStream says now, it says about the client
        self._over = False  # the client has closed

    async def run(self) -> None:
        """Serve the session; returns when the application has, and the client has closed or had its time to."""
        async with trio.open_nursery() as nursery:
            self._exchange = StreamExchange(self._service, self._peer, nursery, inbox=Inbox(stall_s=math.inf))
            self._exchange.on_done = self._application_done
            self._stream = self._exchange.websocket(self._request.stream_id, self._send)
            await self._stream.handle(_readable(self._request))
            if not self._stream.closed:  # the handshake is valid: the application runs
                nursery.start_soon(self._close_at_drain)
                with self._reading:
                    await self._read_frames()
                await self._stream.handle(StreamClosed(self._request.stream_id))
                await self._done.wait()
            nursery.cancel_scope.cancel()

    async def _read_frames(self) -> None:
        await self._accepted.wait()
        while not self._over and (octets := await self._read()):
            self._handling = True
            try:
                await self._stream.handle(Data(self._request.stream_id, octets))
            except (LocalProtocolError, RemoteProtocolError, Disconnected):  # octets after its close frame, or gone
                return
            self._handling = False
        if self._over and self._stream.connection.state is ConnectionState.OPEN:  # not closed: broken
            LOG.info("a WebSocket client broke the protocol")
            close = self._stream.connection.send(CloseConnection(CloseReason.PROTOCOL_ERROR))
            with contextlib.suppress(Disconnected):
                await self._send(Data(self._request.stream_id, close))

    async def _close_at_drain(self) -> None:
        await self._service.drain.begun.wait()
        if self._stream.state is ASGIWebsocketState.CONNECTED:
            self._exchange.over = True
            code = CloseReason.GOING_AWAY
            with contextlib.suppress(Disconnected):
                await self._stream.app_send({"type": "websocket.close", "code": code, "reason": None})
            await self._exchange.inbox.put({"type": "websocket.disconnect", "code": int(code)})
            self._reading.deadline = trio.current_time() + self._service.limits.linger_s

    def _application_done(self) -> None:
        self._done.set()
        patience_s = self._service.limits.linger_s if self._accepted.is_set() else 0
        self._reading.deadline = trio.current_time() + patience_s

    async def _send(self, event: Event) -> None:
        if isinstance(event, (EndData, StreamClosed)):  # the application may be done; the client has to be too
            self._over = self._over or self._handling
            return
        await self._send_event(event)
        if isinstance(event, Response) and self._stream.handshake.accepted:
            self._accepted.set()


def _readable(request: Request) -> Request:
    """The request without what WSStream must not see: extensions, and handshake fields that are not ASCII."""
    headers = [
        (name, value)
        for name, value in request.headers
        if name != b"sec-websocket-extensions"
        and (value.isascii() or not (name.startswith(b"sec-websocket-") or name in {b"connection", b"upgrade"}))
    ]
    return Request(
        stream_id=request.stream_id,
        headers=headers,
        http_version=request.http_version,
        method=request.method,
        raw_path=request.raw_path,
        state=request.state,
    )
