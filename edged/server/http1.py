"""HTTP/1.0 and 1.1 on one connection: heads in, one exchange after the other, keep-alive, hand-over to HTTP/2.

What may live here: the life of a connection between its heads. The connection's own task does it all: it
reads a head, runs the application on it, and reads the next. Invariants: every head passes the head gate and
is read nowhere else; what one request leaves unread is the next one's, never a part of itself; the
connection is kept only if both sides are done with it.
"""

import contextlib
import logging
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import trio

from edged.http.problem import Problem
from edged.server.answers import refusal
from edged.server.exchange import Service
from edged.server.head_gate import PREFACE, Head, HeadError, check_head, head_length, hints_in
from edged.server.http1_answer import head as answer_head
from edged.server.http1_exchange import HTTP1Exchange
from edged.server.http1_websocket import serve_websocket
from edged.server.peer import Peer
from edged.server.upgrade import http2_settings, upgrade_fields, wants_websocket
from edged.server.wire import Disconnected, Wire
from edged.telemetry.request import new_request_id, serving_request

LOG = logging.getLogger("edged.server")
HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"http2-settings"})  # of an upgrade: gone with HTTP/1
SWITCHING = HTTPStatus.SWITCHING_PROTOCOLS
TOO_SLOW = Problem(status=HTTPStatus.REQUEST_TIMEOUT, detail="The request head did not arrive in time.", temporary=True)


@dataclass(frozen=True, slots=True)
class ToHTTP2:
    """Go on in HTTP/2: octets already read, and the request of an h2c upgrade with its settings."""

    octets: bytes
    head: Head | None = None
    settings: bytes | None = None


class HTTP1Connection:
    """One HTTP/1 connection; `run` returns when it has ended or goes on in HTTP/2."""

    def __init__(self, wire: Wire, peer: Peer, service: Service, *, negotiated: bool = False) -> None:
        """`negotiated`: HTTP/1.1 was, by ALPN; then the connection stays with it."""
        self._wire = wire
        self._peer = peer
        self._service = service
        self._limits = service.limits
        self._octets = b""  # read, and of no request yet
        self._kept = False  # a request was served before
        self._gave_way = False
        self._negotiated = negotiated

    async def run(self) -> ToHTTP2 | None:
        """Serve requests until the connection ends (None) or goes on in HTTP/2."""
        try:
            while (length := await self._read_head()) is not None:
                if self._octets.startswith(PREFACE) and not (self._kept or self._negotiated):
                    return ToHTTP2(self._octets)
                head = check_head(self._octets[:length], self._limits)
                self._octets = self._octets[length:]
                if wants_websocket(head):
                    await serve_websocket(self._service, self._peer, self._wire, head=head, octets=self._octets)
                    return None
                settings = None if self._peer.secure else http2_settings(head)
                if settings is not None:
                    return await self._to_http2(head, settings)
                if not await self._serve(head):
                    return None
        except HeadError as error:
            self._service.counters.malformed += 1
            await self._refuse(error.refusal.problem)
        except Disconnected:
            LOG.debug("a client went away")
        return None

    async def _read_head(self) -> int | None:
        """Read until a whole head is there; its length, None when the connection ends instead."""
        if (length := self._head_length()) is not None:
            return length
        service, whose = self._service, self._peer.counts_as
        kept = self._kept and not self._octets
        patience_s = self._limits.idle_s if kept else self._limits.head_s
        with service.drain.interruptible(within_s=patience_s) as patience:
            if kept:
                with service.idle.waiting(whose, patience.cancel):
                    self._octets = await self._wire.receive()
                if not self._octets:
                    return None
                if (length := self._head_length()) is not None:
                    return length
                patience.deadline = trio.current_time() + self._limits.head_s
            with service.idle.beginning(whose, partial(self._give_way, patience)):
                length = await self._complete_head()
        if patience.cancelled_caught and self._octets and not (self._gave_way or service.drain.begun.is_set()):
            service.counters.slow += 1
            await self._refuse(TOO_SLOW)
        return length

    async def _complete_head(self) -> int | None:
        while octets := await self._wire.receive():
            self._octets += octets
            if (length := self._head_length()) is not None:
                return length
        return None

    def _give_way(self, patience: trio.CancelScope) -> None:
        """End: there is no room for others, and it is not a request that would be lost."""
        self._gave_way = True
        patience.cancel()

    def _head_length(self) -> int | None:
        """The length of the head that has been read, None while it is incomplete; raises HeadError."""
        octets = self._octets = self._octets.removeprefix(b"\r\n")  # RFC 9112 2.2
        return head_length(octets, self._limits) if octets and octets != b"\r" else None

    async def _serve(self, head: Head) -> bool:
        """One exchange; whether the connection is kept."""
        exchange = HTTP1Exchange(self._service, self._peer, self._wire, head=head, octets=self._octets)
        self._octets = b""
        self._kept = await exchange.run()
        self._octets = exchange.rest
        return self._kept

    async def _to_http2(self, head: Head, settings: bytes) -> ToHTTP2:
        await self._wire.send((answer_head(SWITCHING, upgrade_fields(b"h2c")),))
        return ToHTTP2(self._octets, _in_http2(head), settings)

    async def _refuse(self, problem: Problem) -> None:
        """Answer the head that is there, as far as it is, and end."""
        request_id = new_request_id()
        with serving_request(request_id):
            LOG.debug("refused a request head: %s", problem.detail)
            self._service.tallies.refused.count()
        hints = hints_in(self._octets[: self._limits.head_bytes])
        octets = refusal(problem, hints, request_id=request_id, origins=self._service.origins)
        with contextlib.suppress(Disconnected):
            await self._wire.send((octets,))
        await self._wire.linger(self._limits.linger_s)


def _in_http2(head: Head) -> Head:
    """The request of an upgrade, as if it had come in HTTP/2."""
    fields = [field for field in head.fields if field[0] not in HOP_BY_HOP]
    named = {name: values for name, values in head.named.items() if name not in HOP_BY_HOP}
    return Head(head.method, head.target, "2", fields, named)
