"""One open notification connection: reports go out, acknowledgements come in (PS3.18 8.10.5, CP-1871 8.10.5.3).

What may live here: the session from the accepted handshake to its end. Strategy: one task sends, one receives; the n-th
acknowledgement answers the n-th report. A requester with a name is sent IN_FLIGHT reports beyond what it has
acknowledged. If it does not say that it acknowledges, and has acknowledged nothing PATIENCE_S after the first one, or
for as long in sum on connections that it closed itself, it knows only the plain 8.10: it is served without, and its
place moves with what was sent; should it begin to acknowledge after all, what was sent before counts as taken. Time on
a line that was cut does not count: what it told may have gone nowhere. One that used to acknowledge and stops is let go
after STALLED_S.
Invariants: a session holds one report, which it shares, and IN_FLIGHT positions; a message that has begun to leave ends
before the connection is closed, or FINISH_S later is cut.
"""

import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

import trio

from edged.dicomweb.acknowledgement import AcknowledgementError, read_acknowledgement
from edged.dicomweb.close_reason import CloseCode, Reason, read_reason, write_reason
from edged.origin.exchange import Receive, Send
from edged.services.event_reports import Report
from edged.services.notifications import Position
from edged.services.subscribers import PATIENCE_S, Seat

log = logging.getLogger(__name__)

IN_FLIGHT: Final = 64
STALLED_S: Final = 300.0
FINISH_S: Final = 5.0
MOST_NOISE: Final = 10
"""Messages that are no acknowledgement: by then it is not a requester of this service."""

ABNORMAL: Final = 1006
"""How a connection has ended that nobody closed (RFC 6455 7.1.5)."""

Reports = AsyncGenerator[tuple[Report | None, Position], None]
"""Each with where whoever has taken it is; None: there was nothing to tell up to there."""


class Session:
    """Sends reports to one follower, with a name or without, until either closes."""

    def __init__(self, receive: Receive, send: Send, seat: Seat | None = None) -> None:
        self._receive = receive
        self._send = send
        self._seat = seat
        self._in_flight: deque[Position] = deque()
        self._owed = 0  # acknowledgements of reports that counted as taken when they were sent
        self._begun = trio.Event()  # the first report is on its way
        self._sending = False
        self._room = trio.Event()
        self._plain = seat is None or seat.acknowledges is False
        self._closing: tuple[CloseCode, Reason] | None = None
        self._begun_s = 0.0

    async def run(self, reports: Reports) -> None:
        """Serve; returns when the connection is closed, by either side. Raises what `reports` raises."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._listen, nursery.cancel_scope)
            if self._seat is not None:
                nursery.start_soon(self._give_way, self._seat, nursery.cancel_scope)
                if self._seat.acknowledges is None:
                    nursery.start_soon(self._learn, self._seat)
            await self._report(reports, nursery.cancel_scope)
        if self._closing is not None:
            code, reason = self._closing
            await self._send({"type": "websocket.close", "code": int(code), "reason": write_reason(reason)})

    async def _report(self, reports: Reports, scope: trio.CancelScope) -> None:
        async with aclosing(reports):
            async for report, position in reports:
                if report is None:
                    self._passed(position)
                    continue
                if not await self._have_room():
                    self._close(scope, CloseCode.POLICY_VIOLATION, Reason("reports are not acknowledged any more"))
                    return
                await self._tell(report, position)
                if self._closing is not None:
                    scope.cancel()
                    return

    async def _tell(self, report: Report, position: Position) -> None:
        """Send one report. It is in flight before it leaves: its acknowledgement may be faster than this task."""
        plain = self._plain
        if plain:
            self._owed += 1
        else:
            self._in_flight.append(position)
        if not self._begun.is_set():
            self._begun.set()
            self._begun_s = trio.current_time()
        kind = "text" if isinstance(report.message, str) else "bytes"
        self._sending = True
        await self._send({"type": "websocket.send", kind: report.message})
        self._sending = False
        if plain and self._seat is not None:
            self._seat.moved(position)

    def _passed(self, position: Position) -> None:
        """Note that there was nothing to tell up to a position."""
        if self._in_flight:
            self._in_flight[-1] = position
        elif self._seat is not None:
            self._seat.moved(position)

    async def _have_room(self) -> bool:
        """Wait until another report may be in flight; False when it takes too long."""
        with trio.move_on_after(STALLED_S) as waiting:
            while not self._plain and len(self._in_flight) >= self._most_in_flight():
                self._room = trio.Event()
                await self._room.wait()
        return not waiting.cancelled_caught

    def _most_in_flight(self) -> int:
        """One where a report was too big before: it must be seen which one it is."""
        return 1 if self._seat is not None and self._seat.is_choked else IN_FLIGHT

    async def _listen(self, scope: trio.CancelScope) -> None:
        """Take what the follower says until it leaves."""
        noise = 0
        while (message := await self._receive())["type"] != "websocket.disconnect":
            try:
                taken = read_acknowledgement(message["bytes"] if "bytes" in message else message["text"].encode())
            except AcknowledgementError:
                noise += 1
                if noise == MOST_NOISE:
                    self._close(scope, CloseCode.POLICY_VIOLATION, Reason("this is not a service that takes messages"))
                    return
                continue
            if self._seat is not None:
                self._answered(self._seat, taken.status_report if not taken.taken else None)
        log.debug("a follower has closed: %s", read_reason(message.get("reason")).text)
        if self._seat is not None and self._begun.is_set():
            self._left(self._seat, message.get("code", ABNORMAL))
        scope.cancel()

    def _left(self, seat: Seat, code: int) -> None:
        """Note what can be learned of how a requester has left."""
        if code != ABNORMAL:
            seat.waited(trio.current_time() - self._begun_s)
        if code == CloseCode.MESSAGE_TOO_BIG and self._in_flight:
            seat.choked(self._in_flight[0])

    def _answered(self, seat: Seat, refusal: bytes | None) -> None:
        """Note the acknowledgement of the oldest report in flight; one of none says only that it does acknowledge."""
        seat.learned(acknowledges=True)
        seat.answered(None if refusal is None else refusal.decode(errors="replace"))
        if self._owed:
            self._owed -= 1
        elif self._in_flight:
            seat.moved(self._in_flight.popleft())
        self._plain = False
        self._room.set()

    async def _learn(self, seat: Seat) -> None:
        """Find out whether a requester acknowledges, if that is not known."""
        await self._begun.wait()
        await trio.sleep(PATIENCE_S)
        while self._sending:  # noqa: ASYNC110 - it may be the line
            await trio.sleep(PATIENCE_S)
        if seat.acknowledges is None:
            seat.learned(acknowledges=False)
            self._plain = True
            if self._in_flight:
                seat.moved(self._in_flight[-1])
            self._owed = len(self._in_flight)
            self._in_flight.clear()
            self._room.set()

    async def _give_way(self, seat: Seat, scope: trio.CancelScope) -> None:
        await seat.replaced.wait()
        self._close(scope, CloseCode.REPLACED, Reason("another connection of this requester has come"))

    def _close(self, scope: trio.CancelScope, code: CloseCode, reason: Reason) -> None:
        self._closing = code, reason
        if self._sending:
            scope.deadline = trio.current_time() + FINISH_S
        else:
            scope.cancel()
