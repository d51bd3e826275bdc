"""One request and the application that answers it.

What may live here: what exchanges of all protocols share, and the seam to hypercorn. `Exchange` guards the
application: whatever it raises ends in a log entry and, if nothing was sent yet, a 500, never in another
exchange. hypercorn's `HTTPStream` (for HTTP/2) and `WSStream` are kept: they are the ASGI state machines
between protocol events and an application, and ask a task group to start it. `StreamExchange` is that task
group, one for each request; it owns the inbox and adds what the wire knows to the scope.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Event
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from edged.server.drain import Drain
from edged.server.inbox import Inbox, Message
from edged.server.limits import Limits
from edged.server.windows import WindowPool
from edged.server.wire import Disconnected, Peer

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
SendEvent = Callable[[Event], Awaitable[None]]
AppPut = Callable[[Message], Awaitable[None]]
AppSend = Callable[[Message | None], Awaitable[None]]

LOG = logging.getLogger("edged.server")
NO_STATE = ConnectionState({})
CONTEXT = WorkerContext(None)
ASGI = {"version": "3.0", "spec_version": "2.4"}
NOT_OFFERED = ("http.response.push", "http.response.early_hint", "http.response.trailers")


@dataclass(slots=True)
class Counters:
    """What has happened to connections since the server was made; `open` is now."""

    accepted: int = 0
    open: int = 0
    refused: int = 0  # over the cap
    failed: int = 0  # ended by an error of ours


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a server share."""

    application: Application
    limits: Limits
    config: Config
    windows: WindowPool
    drain: Drain = field(default_factory=Drain)
    counters: Counters = field(default_factory=Counters)

    @classmethod
    def of(cls, application: Application, limits: Limits) -> Self:
        """What the connections of one server share, for an application and its limits."""
        config = Config()
        config.accesslog = None
        config.errorlog = LOG
        config.websocket_max_message_size = limits.message_bytes
        return cls(application, limits, config, WindowPool(limits.windows_bytes))


class Exchange:
    """A request and its application, behind the guard that all of them share."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; an error of its own ends here, one of the client's leaves no trace."""
        try:
            await self._service.application(scope, receive, send)
        except Exception as error:
            if not _is_disconnect(error):
                LOG.exception("the application failed")


class StreamExchange(Exchange):
    """A request, its inbox and its application task; hypercorn's streams know it as their task group.

    Invariant: `on_done` runs exactly once, after the application has returned.
    """

    def __init__(self, service: Service, peer: Peer, nursery: trio.Nursery, *, inbox: Inbox) -> None:
        super().__init__(service, peer)
        self._nursery = nursery
        self.inbox = inbox
        self.over = False  # the server has ended the exchange: the application may send no more
        self.on_done: Callable[[], None] = _done

    def http(self, stream_id: int, send: SendEvent) -> HTTPStream:
        """Hypercorn's state machine for a request with an answer; its events go to `send`."""
        return HTTPStream(*self._stream_arguments(send, stream_id))

    def websocket(self, stream_id: int, send: SendEvent) -> WSStream:
        """Hypercorn's state machine for a WebSocket; its events go to `send`."""
        return WSStream(*self._stream_arguments(send, stream_id))

    async def spawn_app(self, *call: Any) -> AppPut:  # noqa: ANN401
        """Hypercorn's TaskGroup, called with (application, configuration, scope, send): the way to the inbox."""
        scope, send = call[2:]
        scope["asgi"] = dict(ASGI)
        for name in NOT_OFFERED:
            scope["extensions"].pop(name, None)
        scope["extensions"].update(self._peer.extensions)
        self._nursery.start_soon(self._answer, scope, send)
        return self.inbox.put

    def spawn(self, function: Callable[..., Awaitable[None]], *arguments: object) -> None:
        """Hypercorn's TaskGroup: a task beside the application."""
        self._nursery.start_soon(function, *arguments)

    async def _answer(self, scope: Scope, stream_send: AppSend) -> None:
        async def send(message: Message) -> None:
            if self.over:
                raise Disconnected("the server has ended this exchange")
            await stream_send(message)

        try:
            await self._run(scope, self.inbox.receive, send)
            with contextlib.suppress(Disconnected):
                await stream_send(None)
        finally:
            self.on_done()

    def _stream_arguments(self, send: SendEvent, stream_id: int) -> tuple[Any, ...]:
        peer = self._peer
        return (None, self._service.config, CONTEXT, self, peer.secure, peer.client, peer.server, send, stream_id)


def _is_disconnect(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_is_disconnect(each) for each in error.exceptions)
    return isinstance(error, Disconnected)


def _done() -> None:
    pass
