"""One HTTP/1 request and its answer, as the application sees them: it pulls the body off the wire itself.

What may live here: ASGI's `receive` and `send` over one connection. Strategy: the connection's own task runs
the application, and `receive` reads only when it is asked, so a slow application holds its client back by
that alone; nothing is read while it works, so it learns that a client has left from `receive` after the
body, or from a failing `send`. Invariants: a body that stops in the middle ends with the disconnect, never
with `more_body` false; other tasks have their turns, whatever work a body is; what the client sends behind its
request is kept for the next one, within a head's limit; an answer that did not become whole does not look
whole.
"""

import contextlib
import logging
from enum import Enum
from http import HTTPStatus

import trio

from edged.http.problem import INTERNAL_ERROR, Problem
from edged.server.answers import refusal, request_id_field
from edged.server.exchange import Exchange, Service, scope_of
from edged.server.head_gate import Head, hints_of
from edged.server.http1_answer import Answer, AnswerError
from edged.server.http1_body import BodyError, body_of
from edged.server.inbox import Message
from edged.server.pace import Pace
from edged.server.peer import Peer
from edged.server.wire import Disconnected, Wire

LOG = logging.getLogger("edged.server")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Fault(Enum):
    """Why a request body is not whole, and what a client is told that has not been answered."""

    GONE = None
    SLOW = Problem(status=HTTPStatus.REQUEST_TIMEOUT, detail="The request body did not arrive in time.", temporary=True)
    MALFORMED = Problem(status=HTTPStatus.BAD_REQUEST, detail="The framing of the request body is malformed.")


class HTTP1Exchange(Exchange):
    """A request whose head was read; `rest` is what came behind it."""

    def __init__(self, service: Service, peer: Peer, wire: Wire, *, head: Head, octets: bytes) -> None:
        super().__init__(service, peer)
        self._wire = wire
        self._head = head
        self._limits = service.limits
        self._body = body_of(head)
        self._piece = b""  # of the body, read and not handed over
        self._told = False  # all of the body was handed over
        self._fault: Fault | None = None
        self._answer = Answer(head.method, head.version)
        self._pace = Pace(service.limits)
        options = head.tokens(b"connection")
        self._last = b"close" in options or (head.version == "1.0" and b"keep-alive" not in options)
        self._waiting = head.version == "1.1" and b"100-continue" in head.tokens(b"expect") and not octets
        if self._body.complete:
            self.rest = octets
        else:
            self.rest = b""
            self._take(octets)

    async def run(self) -> bool:
        """Let the application answer; whether the connection is kept. Raises Disconnected."""
        await self._run(scope_of(self._head, self._peer), self.receive, self.send)
        if self._wire.broken:
            return False
        if not self._answer.begun:
            await self._answer_instead()
        elif not self._answer.complete:  # the client must see that this is not the whole answer
            self._wire.abort()
        elif self._answer.close or self._service.drain.begun.is_set():
            await self._wire.linger(self._limits.linger_s)
        else:
            return True
        return False

    async def receive(self) -> Message:
        """ASGI's receive: the next piece of the body, then the client's end."""
        if self._told:
            await self._wait_end()
            return {"type": "http.disconnect"}
        if not self._piece and not self._body.complete:
            await self._read()
        if self._fault and not self._piece:
            return {"type": "http.disconnect"}
        piece, self._piece = self._piece, b""
        self._told = self._body.complete
        return {"type": "http.request", "body": piece, "more_body": not self._told}

    async def send(self, message: Message) -> None:
        """ASGI's send; raises Disconnected when the client is gone, AnswerError for what is no answer."""
        match message["type"]:
            case "http.response.start":
                last = self._last or not self._body.complete or self._service.drain.begun.is_set()
                fields = (*message.get("headers", ()), request_id_field(self.request_id))
                self._answer.start(int(message["status"]), fields, close=last)
            case "http.response.body":
                pieces = self._answer.body(message.get("body", b""), more=message.get("more_body", False))
                await self._wire.send(pieces)
            case other:
                raise AnswerError(f"an answer has no message {other}")

    async def _read(self) -> None:
        """Until there is a piece of the body, or its end, or a reason why there will be none."""
        if self._waiting:
            await self._continue()
        before_s = self._wire.waited_s
        while not (self._piece or self._body.complete or self._fault):
            if self._body.interrupted:
                await trio.lowlevel.checkpoint()
                self._take(b"")
                continue
            try:
                octets = await self._wire.receive(within_s=self._limits.body_s + before_s - self._wire.waited_s)
            except trio.TooSlowError:
                self._too_slow("a request body stalled")
                return
            if octets:
                self._take(octets)
            else:
                self._service.tallies.broken_off.count()
                self._fault = Fault.GONE
        self._pace.moved(len(self._piece))
        slow = self._pace.is_slow_after(self._wire.waited_s - before_s)
        if slow and not (self._body.complete or self._fault):
            self._too_slow("a request body comes too slowly")

    def _too_slow(self, text: str) -> None:
        self._service.count_slow(text)
        self._fault = Fault.SLOW

    def _take(self, octets: bytes) -> None:
        try:
            self._piece = self._body.take(octets)
        except BodyError as error:
            LOG.debug("a request body is malformed: %s", error)
            self._service.tallies.malformed.count()
            self._fault = Fault.MALFORMED
            self._service.counters.malformed += 1
        self.rest = self._body.rest

    async def _continue(self) -> None:
        """100 Continue, when the application first asks for the body (RFC 9110 10.1.1)."""
        self._waiting = False
        if not self._answer.begun:
            with contextlib.suppress(Disconnected):
                await self._wire.send((CONTINUE,))

    async def _wait_end(self) -> None:
        """Until the client has ended; what it sends before that belongs to its next request."""
        while len(self.rest) < self._limits.head_bytes:
            octets = await self._wire.receive()
            if not octets:
                return
            self.rest += octets
        await trio.sleep_forever()

    async def _answer_instead(self) -> None:
        """The application has not answered."""
        if self._fault is Fault.GONE:
            self._wire.abort()
            return
        if self._fault is None:
            self._log_silence()
        octets = refusal(
            INTERNAL_ERROR if self._fault is None else self._fault.value,
            hints_of(self._head.method, self._head.fields),
            request_id=self.request_id,
            origins=self._service.origins,
        )
        await self._wire.send((octets,))
        await self._wire.linger(self._limits.linger_s)
