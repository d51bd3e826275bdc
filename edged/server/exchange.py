"""One request and the application that answers it.

What may live here: what exchanges of all protocols share: the service, its counters, and the guard of the
application: whatever it raises ends in a log entry and, if nothing was sent yet, a 500, never in another
exchange. Invariant: what is logged while the application runs carries the id of its request.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self
from urllib.parse import unquote

from edged.http.origin_policy import OriginPolicy
from edged.server.answers import NO_ORIGINS
from edged.server.crowd import Crowd
from edged.server.drain import Drain
from edged.server.head_gate import Head
from edged.server.idle import Idle
from edged.server.inbox import Message
from edged.server.limits import Limits
from edged.server.peer import Peer
from edged.server.tally import Tally
from edged.server.websocket_frames import Frames
from edged.server.windows import WindowPool
from edged.server.wire import Disconnected
from edged.telemetry.request import new_request_id, serving_request

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOG = logging.getLogger("edged.server")
ASGI = {"version": "3.0", "spec_version": "2.4"}


@dataclass(slots=True)
class Counters:
    """What has happened to connections since the server was made; `open` is now."""

    accepted: int = 0
    open: int = 0
    refused: int = 0  # over a cap
    crowded: int = 0  # of the refused: over the cap of their address
    malformed: int = 0  # ended by a request head or body that breaks the rules of HTTP/1
    slow: int = 0  # ended because a request head or body did not come, or an answer was not taken, in time
    failed: int = 0  # ended by an error of ours


@dataclass(frozen=True, slots=True)
class Tallies:
    """What clients do wrong, in the log: each kind once a minute, the single case at the level of debugging."""

    refused: Tally = field(default_factory=partial(Tally, "the server has refused a request by itself"))
    malformed: Tally = field(default_factory=partial(Tally, "a client broke the rules of its protocol"))
    slow: Tally = field(default_factory=partial(Tally, "a client sent its body, or took its answer, too slowly"))
    broken_off: Tally = field(default_factory=partial(Tally, "a request body broke off"))


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a server share."""

    application: Application
    limits: Limits
    windows: WindowPool  # of request bodies over HTTP/2
    websocket_windows: WindowPool  # over HTTP/2: sessions last, and must not take what uploads need
    connections: Crowd  # which carry requests
    websockets: Crowd  # connections of HTTP/1.1 that are sessions now
    origins: OriginPolicy = NO_ORIGINS  # whose pages may read what the server answers by itself
    frames: Frames = field(default_factory=Frames)  # of WebSockets
    drain: Drain = field(default_factory=Drain)
    idle: Idle = field(default_factory=Idle)
    counters: Counters = field(default_factory=Counters)
    tallies: Tallies = field(default_factory=Tallies)

    @classmethod
    def of(cls, application: Application, limits: Limits, origins: OriginPolicy = NO_ORIGINS) -> Self:
        """What the connections of one server share, for an application and its limits."""
        windows = WindowPool(limits.windows_bytes, reserve_bytes=limits.windows_bytes // 2)
        return cls(
            application,
            limits,
            windows=windows,
            websocket_windows=WindowPool(limits.websocket_windows_bytes),
            connections=Crowd(limits.connections, limits.connections_per_address),
            websockets=Crowd(limits.websockets, limits.websockets_per_address),
            origins=origins,
        )

    def count_slow(self, why: str) -> None:
        """A client is given up that sends, or takes, too little; `why` goes to the log."""
        LOG.debug(why)
        self.tallies.slow.count()
        self.counters.slow += 1


class Exchange:
    """A request and its application, behind the guard that all of them share; its id is in the log and the answer."""

    def __init__(self, service: Service, peer: Peer) -> None:
        self._service = service
        self._peer = peer
        self.request_id = new_request_id()
        self._raised = False

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer; an error of its own ends here, one of the client's leaves no trace."""
        with serving_request(self.request_id):
            try:
                await self._service.application(scope, receive, send)
            except Exception as error:
                if not _is_disconnect(error):
                    self._raised = True
                    LOG.exception("the application failed")

    def _log_silence(self) -> None:
        """The application has returned without an answer, and without a reason that was logged."""
        if not self._raised:
            with serving_request(self.request_id):
                LOG.error("the application gave no answer")


def scope_of(head: Head, peer: Peer) -> Scope:
    """The ASGI scope of a request, the same over every version."""
    path, _, query = head.target.partition(b"?")
    return {
        "type": "http",
        "http_version": head.version,
        "asgi": dict(ASGI),
        "method": head.method,
        "scheme": "https" if peer.secure else "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": head.fields,
        "client": peer.client,
        "server": peer.server,
        "state": {},
        "extensions": dict(peer.extensions),
    }


def _is_disconnect(error: Exception) -> bool:
    if isinstance(error, ExceptionGroup):
        return all(_is_disconnect(each) for each in error.exceptions)
    return isinstance(error, Disconnected)
