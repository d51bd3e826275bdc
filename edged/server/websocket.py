"""One WebSocket, over HTTP/1 or a stream of HTTP/2: ASGI on one side, frames on the other (RFC 6455, RFC 8441).

What may live here: the session from its handshake to its end; frames are wsproto's and websocket_frames'. Strategy:
the calling task reads, and holds the client back while the application does not take what came; who is silent
is asked whether it is there. Invariants: nothing is read before the application has accepted; a violation of
the protocol ends the session with a close frame and never leaves this file; after that, and after the client's own
close frame, nothing of what still comes is looked at or held; a message is bounded, compressed or not; other tasks have
their turn every EVENTS_PER_TURN frames, however many of them come at once; an open session has no idle limit, but every
wait for its client has a deadline, and so has every closing one.
"""

import contextlib
import logging
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.events import Event as FrameEvent
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from edged.http.problem import INTERNAL_ERROR, Problem
from edged.server.answers import report, request_id_field
from edged.server.exchange import Exchange, Service
from edged.server.head_gate import Head, hints_of
from edged.server.http1_answer import AnswerError, Fields
from edged.server.inbox import Inbox
from edged.server.inbox import Message as ASGIMessage
from edged.server.peer import Peer
from edged.server.websocket_deflate import Agreed, Inflating
from edged.server.websocket_handshake import (
    VERSION_FIELD,
    HandshakeError,
    accept_fields,
    check_handshake,
    websocket_scope,
)
from edged.server.websocket_message import Assembly, MessageTooBig
from edged.server.wire import Disconnected
from edged.telemetry.request import serving_request

LOG = logging.getLogger("edged.server")
EVENTS_PER_TURN = 64  # a millisecond; one read may hold 20,000 frames
EXTENSIONS = b"sec-websocket-extensions"
NO_ROOM = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="There are too many WebSockets at this moment.",
    temporary=True,
    retry_after=30,
)
REFUSED = Problem(status=HTTPStatus.FORBIDDEN, detail="The WebSocket was refused.")


class State(Enum):
    """How far a session is."""

    ASKED = auto()
    DENYING = auto()  # the head of another answer is known
    OPEN = auto()
    OVER = auto()


class Channel(Protocol):
    """What carries a session: a connection of HTTP/1, a stream of HTTP/2. Each raises Disconnected."""

    def enter(self) -> bool:
        """Whether there is room for a session; it is taken."""

    async def begin(self, status: int, fields: Fields) -> None:
        """Send the head of the answer, by which the session begins or is denied."""

    async def deny(self, body: bytes, *, more: bool) -> None:
        """Send a piece of an answer that denies it."""

    async def send(self, octets: bytes) -> None:
        """Send octets of the session."""

    async def receive(self) -> bytes:
        """The next octets of the session, b"" at the end."""


class WebSocket(Exchange):
    """A session from its request to its end."""

    def __init__(self, service: Service, peer: Peer, head: Head, *, channel: Channel) -> None:
        super().__init__(service, peer)
        self._head = head
        self._channel = channel
        self._limits = service.limits
        self._inbox = Inbox()
        self._frames = Connection(ConnectionType.SERVER)
        self._writing = trio.Lock()
        self._state = State.ASKED
        self._accepted = trio.Event()
        self._done = trio.Event()  # the application has returned
        self._reading = trio.CancelScope()
        self._begun = Assembly(service.limits.message_bytes)
        self._events = 0  # taken since other tasks had their turn
        self._failed = False
        self.settled = False
        """Whether the client has answered our close frame, after which it waits for nothing."""
        self._agreed: Agreed | None = None  # of compression
        self._code, self._reason = int(CloseReason.ABNORMAL_CLOSURE), ""  # what the application is told

    async def run(self) -> None:
        """Serve the session; returns when the application has, and the client has closed or had its time to."""
        try:
            self._agreed = check_handshake(self._head)
        except HandshakeError as error:
            with serving_request(self.request_id):
                LOG.debug("refused a WebSocket: %s", error)
            with contextlib.suppress(Disconnected):
                await self._answer(error.problem)
            return
        if self._agreed is not None:
            self._frames = Connection(ConnectionType.SERVER, [Inflating(self._limits.message_bytes)])
        self._inbox.put_nowait({"type": "websocket.connect"})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._close_at_drain)
            nursery.start_soon(self._serve)
            with self._reading, contextlib.suppress(Disconnected):
                await self._follow()
            self._state = State.OVER
            self._tell_end()
            await self._done.wait()
            nursery.cancel_scope.cancel()

    @property
    def left_s(self) -> float:
        """What the client still has of its time to close: all of it where no session began."""
        patience_s = self._limits.linger_s
        if not self._accepted.is_set():
            return patience_s
        return min(patience_s, max(0.0, self._reading.deadline - trio.current_time()))

    async def send(self, message: ASGIMessage) -> None:
        """ASGI's send; raises Disconnected when the session is over, AnswerError for what has no place in it."""
        if self._state is State.OVER:
            raise Disconnected("the WebSocket is closed")
        match self._state, message["type"]:
            case State.ASKED, "websocket.accept":
                await self._accept(message.get("subprotocol"), message.get("headers", ()))
            case State.ASKED, "websocket.close":
                await self._answer(REFUSED)
            case State.ASKED, "websocket.http.response.start":
                self._state = State.DENYING
                await self._begin(int(message["status"]), message.get("headers", ()))
            case State.DENYING, "websocket.http.response.body":
                await self._deny(message.get("body", b""), more=message.get("more_body", False))
            case State.OPEN, "websocket.send":
                octets, text = message.get("bytes"), message.get("text")
                await self._write_message((text or "") if octets is None else octets)
            case State.OPEN, "websocket.close":
                await self._close(int(message.get("code", CloseReason.NORMAL_CLOSURE)), message.get("reason"))
            case _, other:
                raise AnswerError(f"a WebSocket has no message {other} now")

    async def _accept(self, subprotocol: str | None, more: Fields) -> None:
        """Begin the session; raises Disconnected where there is no room for it, and the client was told so."""
        fields = accept_fields(self._head, subprotocol, more)
        if not self._channel.enter():
            self._service.tallies.refused.count()
            await self._answer(NO_ROOM)
            raise Disconnected("there is no room for another WebSocket")
        if self._agreed is not None:
            fields.append((EXTENSIONS, self._agreed.answer.encode()))
        await self._begin(self._accepting_status(), fields)
        self._state = State.OPEN
        self._accepted.set()

    async def _serve(self) -> None:
        """Let the application run, and end in order what it leaves open."""
        try:
            await self._run(websocket_scope(self._head, self._peer), self._inbox.receive, self.send)
            with contextlib.suppress(Disconnected):
                if self._state is State.ASKED:
                    await self._answer(INTERNAL_ERROR)
                    self._log_silence()
                elif self._state is State.OPEN:
                    await self._close(CloseReason.INTERNAL_ERROR)
        finally:
            self._done.set()
            self._limit(self._limits.linger_s if self._accepted.is_set() else 0)

    async def _follow(self) -> None:
        """Take what the client sends until it closes, breaks the protocol, or is gone."""
        await self._accepted.wait()
        while self._frames.state is not ConnectionState.CLOSED and (octets := await self._next()):
            try:
                self._frames.receive_data(octets)
                for event in self._frames.events():
                    await self._take(event)
                    if self._failed:
                        return
                    await self._give_turn()
            except RemoteProtocolError:
                await self._fail(CloseReason.PROTOCOL_ERROR)
                return
            except LocalProtocolError:  # frames after its close frame
                return

    async def _give_turn(self) -> None:
        """Let others work when enough was taken: a frame that nobody waits for has no other checkpoint."""
        self._events += 1
        if self._events >= EVENTS_PER_TURN:
            self._events = 0
            await trio.lowlevel.checkpoint()

    async def _next(self) -> bytes:
        """The next octets; b"" when the client has ended or does not answer."""
        with trio.move_on_after(self._limits.websocket_ping_s):
            return await self._channel.receive()
        await self._write(Ping())
        with trio.move_on_after(self._limits.websocket_pong_s):
            return await self._channel.receive()
        LOG.debug("a WebSocket client does not answer")
        return b""

    async def _take(self, event: FrameEvent) -> None:
        match event:
            case TextMessage(data=data, message_finished=finished):
                await self._take_part(data, finished=finished)
            case BytesMessage(data=data, message_finished=finished):
                await self._take_part(bytes(data), finished=finished)
            case Ping():
                await self._write(event.response())
            case CloseConnection(code=code) if self._frames.state is ConnectionState.OPEN:  # wsproto's word for a fault
                await self._fail(CloseReason(code))
            case CloseConnection() if self._frames.state is ConnectionState.LOCAL_CLOSING:  # another one, after ours
                self._failed = True
            case CloseConnection(code=code, reason=reason):
                self._code, self._reason = int(code), reason or ""
                self.settled = self._frames.state is ConnectionState.CLOSED
                if self._frames.state is ConnectionState.REMOTE_CLOSING:
                    await self._write(event.response())

    async def _take_part(self, data: str | bytes, *, finished: bool) -> None:
        if self._state is not State.OPEN:  # we have closed: it has not seen that yet
            return
        try:
            message = self._begun.add(data, finished=finished)
        except MessageTooBig:
            await self._fail(CloseReason.MESSAGE_TOO_BIG)
            return
        if message is not None:
            await self._inbox.put(message)

    async def _fail(self, code: CloseReason) -> None:
        """End the session for the client's fault: what it sends from now on is not looked at."""
        LOG.debug("a WebSocket client broke the protocol: %s", code.name)
        self._service.tallies.malformed.count()
        self._service.counters.malformed += 1
        self._failed = True
        self._code = code
        self._tell_end()
        await self._close(code)

    async def _close(self, code: int, reason: str | None = None) -> None:
        """Send the close frame; the client has its time to answer it."""
        self._state = State.OVER
        self._limit(self._limits.linger_s)
        await self._write(CloseConnection(code, reason))

    def _limit(self, patience_s: float) -> None:
        """Give the client its time to close, unless it runs already."""
        self._reading.deadline = min(self._reading.deadline, trio.current_time() + patience_s)

    async def _close_at_drain(self) -> None:
        await self._service.drain.begun.wait()
        if self._state is State.OPEN:
            self._code = CloseReason.GOING_AWAY
            self._tell_end()
            with contextlib.suppress(Disconnected):
                await self._close(self._code)

    async def _write(self, event: FrameEvent) -> None:
        """Send one frame; raises Disconnected."""
        async with self._writing:
            try:
                octets = self._frames.send(event)
            except LocalProtocolError:
                raise Disconnected("the WebSocket is closed") from None
            await self._channel.send(octets)

    async def _write_message(self, message: str | bytes) -> None:
        """Send one message; raises Disconnected."""
        frame = self._service.frames.of(message, None if self._agreed is None else self._agreed.window_bits)
        async with self._writing:
            if self._frames.state is not ConnectionState.OPEN:
                raise Disconnected("the WebSocket is closed")
            await self._channel.send(frame.octets)

    async def _answer(self, problem: Problem) -> None:
        """Answer with a Status Report instead of a session."""
        hints = hints_of(self._head.method, self._head.fields)
        fields, body = report(problem, hints, request_id=self.request_id, origins=self._service.origins)
        await self._channel.begin(problem.status, [*fields, VERSION_FIELD])
        await self._deny(body, more=False)

    async def _begin(self, status: int, fields: Fields) -> None:
        await self._channel.begin(status, [*fields, request_id_field(self.request_id)])

    async def _deny(self, body: bytes, *, more: bool) -> None:
        if not more:
            self._state = State.OVER
        await self._channel.deny(body, more=more)

    def _accepting_status(self) -> HTTPStatus:
        return HTTPStatus.OK if self._head.version == "2" else HTTPStatus.SWITCHING_PROTOCOLS

    def _tell_end(self) -> None:
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": self._code, "reason": self._reason})
