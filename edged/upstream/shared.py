"""The one HTTP/2 connection of a client, which all its requests share: opened when there is none that takes them.

Over TLS it is what ALPN selects. Without TLS the peer is spoken to in HTTP/2 as if it were known to understand it, then
by Upgrade; one that stays with HTTP/1.1 is asked again after an hour (RFC 9113 3.3, RFC 7540 3.2).

Invariant: a connection that was opened is in `current`, or over.
"""

from contextlib import ExitStack
from enum import Enum, auto

import trio

from edged.telemetry.live import Phase
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http2 import Http2Connection
from edged.upstream.http2_protocol import Protocol
from edged.upstream.message import NoAnswer
from edged.upstream.opening import Opener
from edged.upstream.transport import Transport
from edged.upstream.upgrade import upgrade

ASK_AGAIN_S = 3600.0


class Way(Enum):
    """How HTTP/2 is come to without TLS."""

    PRIOR_KNOWLEDGE = auto()
    UPGRADE = auto()
    NONE = auto()


class Shared:
    """Holds the connection and opens another."""

    def __init__(self, nursery: trio.Nursery, endpoint: Endpoint, timeouts: Timeouts, *, opener: Opener) -> None:
        self.current: Http2Connection | None = None
        self.way = Way.PRIOR_KNOWLEDGE
        self._nursery = nursery
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._opener = opener
        self._ask_again_at = 0.0

    def retire(self) -> None:
        """Let the connection end with the requests that it has."""
        if self.current is not None:
            self.current.retire()

    def close(self) -> None:
        """Close the connection."""
        if self.current is not None:
            self.current.close()

    async def is_usable(self) -> bool:
        """Tell whether there is one that takes requests."""
        return self.current is not None and await self.current.wait_usable()

    def forget(self) -> None:
        """Forget how the peer is spoken to: it may be another one when it is back."""
        self.way = Way.PRIOR_KNOWLEDGE

    async def begin(self, transport: Transport, *, upgraded: Protocol | None = None) -> None:
        """Speak HTTP/2 on a transport. Raises NoAnswer where the peer does not."""
        self.current = None
        connection = Http2Connection(transport, self._endpoint, self._timeouts, upgraded=upgraded)
        await self._nursery.start(connection.run)
        self.current = connection

    async def begin_plain(self) -> bool:
        """Connect without TLS; False where the peer speaks HTTP/1.1 only. Raises NoAnswer."""
        if self.way is Way.NONE:
            if trio.current_time() < self._ask_again_at:
                return False
            self.way = Way.PRIOR_KNOWLEDGE
        if self.way is Way.PRIOR_KNOWLEDGE:
            transport = await self._opener.open()
            try:
                await self.begin(transport)
            except NoAnswer as error:
                if error.phase is not Phase.HTTP:
                    raise
            else:
                return True
        return await self._begin_upgraded()

    async def _begin_upgraded(self) -> bool:
        transport = await self._opener.open()
        with ExitStack() as undo:
            undo.callback(transport.close)
            protocol = await upgrade(transport, self._endpoint, self._timeouts)
            if protocol is not None:
                await self.begin(transport, upgraded=protocol)
                undo.pop_all()
        self.way = Way.UPGRADE if protocol is not None else Way.NONE
        self._ask_again_at = trio.current_time() + ASK_AGAIN_S
        return protocol is not None
