"""One HTTP/1.1 connection to a destination: requests one after the other, on h11.

Sending and reading run at once, so that an answer given while the body is still going out (413, 401, 503) is read and
not lost. After such an answer the rest of the body is not sent and the connection is not used again. The body goes to
the socket in large parts, what is small together with what follows it; h11 counts the bytes and never copies them. An
answer's body that goes into a sink is read no faster than the sink takes it.

Invariants: one exchange at a time. `reusable` is True only between exchanges of which everything, in both directions,
is known to be over. However an exchange ends, by cancellation too, the connection is then reusable or to be closed.
"""

import math
from contextlib import aclosing
from functools import partial

import h11
import trio

from edged.telemetry.live import Phase
from edged.upstream.beside import beside
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.expect import FIELD, WAIT_S, Expectation
from edged.upstream.message import Answer, Body, IdleEnded, NoAnswer, Request, Response, parts
from edged.upstream.progress import FLOOR_BYTES_PER_S, Progress, Steps
from edged.upstream.transport import Transport

PART_BYTES = 512 << 10
"""Sent at a time; each step of it has the deadline for progress (`Steps`)."""
HELD_BYTES = 16 << 10
HELD_PARTS = 16
"""No more than both, as the end of an instance and the head of the next, leave with what follows: a send costs more
than its bytes do."""
HELD_S = 0.1
"""Only what comes so soon is waited for: where the pace makes it small parts they leave one by one."""
MAX_HEAD_BYTES = 64 << 10
"""Of an answer's head; nginx, Apache and Orthanc stay below 8 KiB."""
IDLE_ENDED_BYTES = 1 << 20
"""Of a body, at most, that may have been handed over before the end of an idle connection is seen: one round trip's."""
LAST_SEND_GRACE_S = 1.0
"""For the last send to return when its answer is already there; normally the time of one scheduling."""


class Http1Connection:
    """A connected transport that speaks HTTP/1.1."""

    def __init__(
        self, transport: Transport, endpoint: Endpoint, timeouts: Timeouts, *, expectation: Expectation | None = None
    ) -> None:
        self._expectation = expectation or Expectation()
        self._transport = transport
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.reusable = True
        self._used = False
        self._idle_since = trio.current_time()

    async def exchange(self, request: Request) -> Response:
        """Send `request` and read its answer. Raises NoAnswer, and what the body's pieces and the sink raise."""
        running = _Exchange(request, reused=self._used, secure=self._transport.secure)
        running.asks = self._expectation.wanted(request.content_length)
        self.reusable, self._used = False, True
        head = self._start(running)  # before anything is read: some peers answer before they are asked
        async with beside(partial(self._send, head, running)):
            await self._receive(running)
            if self._protocol.our_state is h11.DONE:
                with trio.move_on_after(LAST_SEND_GRACE_S):
                    await running.sent.wait()
        self._finish(running)
        sent = running.sent.is_set()
        return running.answer.response(running.version, request_sent=sent, sent_bytes=running.left_bytes)

    def is_stale(self) -> bool:
        """Tell whether an idle connection is not to be trusted: too old, or the peer has said something unasked.

        What a peer says on a new connection is its answer, or why TLS ends, and is to be read.
        """
        old = trio.current_time() - self._idle_since > self._timeouts.idle_s
        return old or (self._used and self._transport.has_unread())

    def close(self) -> None:
        """Close at once."""
        self.reusable = False
        self._transport.close()

    def _finish(self, running: "_Exchange") -> None:
        ours, theirs = self._protocol.our_state, self._protocol.their_state
        clean = self._protocol.trailing_data == (b"", False)
        if running.sent.is_set() and ours is theirs is h11.DONE and clean:
            self._protocol.start_next_cycle()
            self._idle_since = trio.current_time()
            self.reusable = True

    # Sending

    def _start(self, running: "_Exchange") -> bytes:
        """Begin a request in h11; gives the head to send."""
        request = running.request
        headers = [("Host", self._endpoint.authority), *request.headers]
        if request.content_length is not None:
            headers.append(("Content-Length", str(request.content_length)))
        if running.asks:
            headers.append(FIELD)
        head = self._protocol.send(h11.Request(method=request.method, target=request.target, headers=headers))
        if not request.content_length:
            self._protocol.send(h11.EndOfMessage())
        return head or b""

    async def _send(self, head: bytes, running: "_Exchange") -> None:
        body = running.request.body
        if not await self._pass_on(running, head):
            return
        if running.asks:
            await self._wait_told(running)
        if body is not None and not await self._send_body(body, running):
            return
        running.sent.set()
        running.sending = False
        running.wait_on(self._timeouts)

    async def _wait_told(self, running: "_Exchange") -> None:
        """Wait until the peer says whether it wants the body, but not for long."""
        with trio.move_on_after(WAIT_S) as patience:
            await running.told.wait()
        if patience.cancelled_caught:
            self._expectation.ignored()

    async def _send_body(self, body: Body, running: "_Exchange") -> bool:
        """Send the body; False when the peer takes no more or wants no more of it."""
        given, held, since = 0, list[memoryview](), trio.current_time()
        with self._transport.telling(partial(running.took, timeouts=self._timeouts)):
            async with aclosing(parts(body, PART_BYTES)) as pieces:
                async for part in pieces:
                    if running.refused:
                        return False
                    self._protocol.send_with_data_passthrough(h11.Data(data=part))  # type: ignore[arg-type]
                    given += len(part)
                    held.append(part)
                    is_little = given - running.left_bytes <= HELD_BYTES and len(held) < HELD_PARTS
                    if is_little and given < body.length and trio.current_time() - since < HELD_S:
                        continue
                    running.sent_bytes = given
                    if given == body.length:
                        # Before the last send, or an answer that comes while it returns would look like an early one.
                        self._protocol.send(h11.EndOfMessage())
                    if not await self._pass_on(running, *held):
                        return False
                    running.left_bytes = given
                    held.clear()
                    since = trio.current_time()
        return True

    async def _pass_on(self, running: "_Exchange", *data: bytes | memoryview) -> bool:
        with trio.move_on_after(self._timeouts.send_s) as running.haste:
            if await self._transport.send(*data):
                return True
        if running.haste.cancelled_caught and not running.refused:
            text = f"{self._endpoint.peer} took no more of the request for {self._timeouts.send_s:g} s"
            raise running.no_answer(Phase.BODY, text)
        running.sending = False  # what the peer said before it went is still to be read
        running.wait_on(self._timeouts)
        return False

    # Reading

    async def _receive(self, running: "_Exchange") -> None:
        with running.patience:
            while True:
                event = self._next_event(running)
                if event is h11.NEED_DATA:
                    await self._receive_some(running)
                elif isinstance(event, h11.InformationalResponse):
                    running.told.set()
                    running.wait_on(self._timeouts)
                elif isinstance(event, h11.Response):
                    running.told.set()
                    running.version = event.http_version.decode("ascii")
                    running.answer.begin(event.status_code, list(event.headers))
                    running.wait_on(self._timeouts)
                elif isinstance(event, h11.Data):
                    await self._take(event.data, running)
                    if running.answer.too_long:
                        return
                else:
                    running.ended = True
                    running.answer.end()
                    self._check_decoded(running)
                    return
        raise self._too_late(running)

    async def _take(self, data: bytes | bytearray, running: "_Exchange") -> None:
        if running.answer.sink is None:
            running.answer.add(data)
            return
        running.patience.deadline = math.inf  # the time that taking takes is not the peer's
        for piece in running.answer.pieces(data):
            await running.answer.sink.add(piece)
        self._check_decoded(running)
        running.wait_on(self._timeouts)

    def _check_decoded(self, running: "_Exchange") -> None:
        """What a sink got must have been all of it; where there is none, the response says it."""
        if running.answer.broken and running.answer.sink is not None:
            text = f"the answer of {self._endpoint.peer} is not what its Content-Encoding says"
            raise running.no_answer(Phase.BODY, text)

    def _next_event(self, running: "_Exchange") -> object:
        try:
            return self._protocol.next_event()
        except h11.ProtocolError as error:
            phase = Phase.HTTP if running.answer.status is None else Phase.BODY
            text = f"malformed answer from {self._endpoint.peer}"
            raise running.no_answer(phase, text, said=str(error)) from None

    async def _receive_some(self, running: "_Exchange") -> None:
        began, waiting = trio.current_time(), running.answer.status is not None and not running.sending
        data = await self._transport.receive()
        if waiting and running.progress.is_slow_after(trio.current_time() - began, len(data)):
            text = f"the answer of {self._endpoint.peer} comes at less than {FLOOR_BYTES_PER_S} bytes/s"
            raise running.no_answer(Phase.BODY, text)
        running.heard = running.heard or bool(data)
        if not data and running.answer.status is None:
            raise self._closed_unanswered(running)
        if running.answer.status is not None:
            running.wait_on(self._timeouts)
        self._protocol.receive_data(bytes(data))

    def _closed_unanswered(self, running: "_Exchange") -> NoAnswer:
        peer = self._endpoint.peer
        if self._transport.tls_fault:
            return running.no_answer(Phase.TLS, f"{peer} ended TLS: {self._transport.tls_fault}")
        if self._protocol.our_state is h11.SEND_BODY:
            text = f"{peer} closed the connection while the request was sent"
            return running.lost(Phase.BODY, text)
        begun = "in the head of its answer" if self._protocol.trailing_data[0] else "without an answer"
        return running.lost(Phase.HTTP, f"{peer} closed the connection {begun}")

    def _too_late(self, running: "_Exchange") -> NoAnswer:
        peer = self._endpoint.peer
        if running.answer.status is None:
            in_all = trio.current_time() >= running.asked_at + self._timeouts.interim_s
            limit_s = self._timeouts.interim_s if in_all else self._timeouts.answer_s
            return running.no_answer(Phase.HTTP, f"no answer from {peer} within {limit_s:g} s")
        text = f"the answer of {peer} stopped for {self._timeouts.body_s:g} s"
        return running.no_answer(Phase.BODY, text)


class _Exchange:
    """What the sending and the reading half know of each other."""

    __slots__ = (
        "answer",
        "asked_at",
        "asks",
        "ended",
        "haste",
        "heard",
        "left_bytes",
        "patience",
        "progress",
        "request",
        "reused",
        "secure",
        "sending",
        "sent",
        "sent_bytes",
        "steps",
        "told",
        "version",
    )

    def __init__(self, request: Request, *, reused: bool, secure: bool) -> None:
        self.request = request
        self.reused = reused
        self.secure = secure
        self.asks = False
        self.told = trio.Event()
        self.heard = False
        self.asked_at = math.inf
        self.answer = Answer(offered=request.sink)
        self.version = ""
        self.ended = False
        self.sending = True
        self.sent = trio.Event()
        self.sent_bytes = 0  # of the body, begun to be sent
        self.left_bytes = 0  # of those, all that is certain to have left
        self.steps = Steps()
        self.haste = trio.CancelScope()
        self.progress = Progress()
        self.patience = trio.CancelScope(deadline=math.inf)

    @property
    def refused(self) -> bool:
        """The rest of the body is unwanted."""
        return self.ended or self.answer.refuses

    def wait_on(self, timeouts: Timeouts) -> None:
        """Give the answer its time from now on; as long as the body goes out, that has its own deadline."""
        if self.sending and not self.answer.refuses:
            self.patience.deadline = math.inf
            return
        now = trio.current_time()
        self.asked_at = min(self.asked_at, now)
        if self.answer.status is None:
            self.patience.deadline = min(now + timeouts.answer_s, self.asked_at + timeouts.interim_s)
        else:
            self.patience.deadline = now + timeouts.body_s

    def took(self, size: int, *, timeouts: Timeouts) -> None:
        """Note that the socket took so many bytes of the body; over TLS it cannot be told which."""
        if not self.secure:
            self.left_bytes += size
        if self.steps.made(size):
            self.haste.deadline = trio.current_time() + timeouts.send_s

    def no_answer(self, phase: Phase, text: str, *, said: str = "") -> NoAnswer:
        error = NoAnswer(phase, text, sent_bytes=self.sent_bytes)
        error.said = said
        return error

    def lost(self, phase: Phase, text: str) -> NoAnswer:
        """The connection ended; that may have been on its way before the request was."""
        idle = self.reused and not self.heard and self.sent_bytes <= IDLE_ENDED_BYTES
        return IdleEnded(phase, text, sent_bytes=self.sent_bytes) if idle else self.no_answer(phase, text)
