"""Who may connect: how many connections there are, in all and from one address, and what the others are told.

What may live here: counting accepted connections and turning some away. Strategy: where a cap is reached the
connection of a crowd that has been idle longest makes room, and where there is none, one of a crowd that has not
brought a whole request head (`idle`), so that a few addresses which keep all they can do not shut the others out.
Invariants: a Unix socket is outside both caps, because only the daemon's user and root can open it and the watchdog's
probe comes that way; loopback is outside the cap of an address, because a proxy on this machine brings all clients
from there; WebSockets are counted apart, see `crowd`; a cap is passed by `leaving` at most, while those that make room
are ending; turning away takes TURN_AWAY_S at most, and `refusals` at a time.
"""

import contextlib
import logging
from http import HTTPStatus

import trio

from edged.http.problem import Problem
from edged.server.answers import refusal
from edged.server.crowd import Crowd
from edged.server.exchange import Counters
from edged.server.idle import Idle
from edged.server.limits import KIB, Limits
from edged.server.tally import Tally
from edged.telemetry.request import new_request_id, serving_request

LOG = logging.getLogger("edged.server")
TURN_AWAY_S = 1.0
DROP_BYTES = 64 * KIB  # read at a time and thrown away
RETRY_AFTER_S = 10  # by then idle connections and slow heads may have ended
FULL = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="There are too many connections at this moment.",
    temporary=True,
    retry_after=RETRY_AFTER_S,
)


class Door:
    """The caps of one server, and the connections that are inside."""

    def __init__(
        self, limits: Limits, counters: Counters, idle: Idle | None = None, *, inside: Crowd | None = None
    ) -> None:
        """`inside`: those that carry requests; one that becomes a WebSocket leaves it for as long as it is one."""
        self._limits = limits
        self._counters = counters
        self._idle = idle or Idle()
        self._refused = Tally("refused a connection: too many")
        self._displaced = Tally("ended a connection without a whole request, of an address with many: no room")
        self._inside = inside or Crowd(limits.connections, limits.connections_per_address)
        self._turning_away = 0

    def enter(self, address: str, *, capped: bool = True) -> bool:
        """Count a connection in, or as refused; `address` is empty where its cap does not apply."""
        crowded = self._inside.crowded(address)
        if capped and (crowded or self._inside.full) and not self._make_room(address, crowded=crowded):
            self._counters.refused += 1
            self._counters.crowded += crowded
            self._refused.count()
            return False
        self._counters.accepted += 1
        self._counters.open += 1
        self._inside.enter(address)
        return True

    def _make_room(self, address: str, *, crowded: bool) -> bool:
        """Have another connection end, an idle one of this address if that is what has too many."""
        inside, limits = self._inside.by_address, self._limits
        of_address = inside.get(address, 0)
        if of_address >= limits.connections_per_address + limits.leaving:
            return False
        if self._inside.total >= limits.connections + limits.leaving:
            return False
        if crowded:
            return self._idle.end_one({address: of_address}, only=True)
        if self._idle.end_one(inside):
            return True
        if not self._idle.end_beginner(inside, above=max(limits.crowd, of_address + 1)):
            return False
        self._displaced.count()
        return True

    def leave(self, address: str) -> None:
        """Count a connection out that has entered."""
        self._counters.open -= 1
        self._inside.leave(address)

    async def turn_away(self, stream: trio.SocketStream, *, told: bool) -> None:
        """End a connection that may not enter, `told` why in HTTP/1.1 while few are."""
        try:
            if told and self._turning_away < self._limits.refusals:
                self._turning_away += 1
                try:
                    await _tell(stream)
                finally:
                    self._turning_away -= 1
        finally:
            stream.socket.close()


async def _tell(stream: trio.SocketStream) -> None:
    """Answer, and read what has been sent, so that the answer is not lost (RFC 9112 9.6)."""
    request_id = new_request_id()
    with serving_request(request_id):
        LOG.debug("refused a connection: too many")
    octets = refusal(FULL, request_id=request_id)
    with trio.move_on_after(TURN_AWAY_S), contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await stream.send_all(octets)
        await stream.send_eof()
        while await stream.receive_some(DROP_BYTES):
            pass
