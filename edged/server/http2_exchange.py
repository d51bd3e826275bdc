"""One HTTP/2 request and its answer, as the application sees them.

What may live here: ASGI's `receive` and `send` over one stream. Strategy: the body comes from the stream's
inbox, the answer goes out by the connection's one writing task. Invariants: the same as in HTTP/1: a body that
stops in the middle ends with the disconnect; a request has an answer as long as its client can have one; an
answer that did not become whole ends in a reset stream.
"""

import contextlib
from collections.abc import Callable

from edged.http.problem import INTERNAL_ERROR
from edged.server.answers import report, request_id_field
from edged.server.exchange import Exchange, Service, scope_of
from edged.server.head_gate import Head, hints_of
from edged.server.http1_answer import AnswerError
from edged.server.http1_exchange import Fault
from edged.server.http2_answer import Answer, Piece
from edged.server.http2_frames import ErrorCode
from edged.server.http2_output import Output
from edged.server.http2_stream import Stream
from edged.server.inbox import Message
from edged.server.peer import Peer
from edged.server.wire import Disconnected
from edged.telemetry.request import serving_request

Reset = Callable[[int, ErrorCode], None]


class HTTP2Exchange(Exchange):
    """A request whose head was read; `run` returns when its stream is over or reset."""

    def __init__(self, service: Service, peer: Peer, stream: Stream, *, head: Head, output: Output) -> None:
        super().__init__(service, peer)
        self._stream = stream
        self._head = head
        self._output = output
        self._answer = Answer(head.method)

    async def run(self, reset: Reset) -> None:
        """Let the application answer, and say how the stream ends if that does not end it."""
        stream = self._stream
        await self._run(scope_of(self._head, self._peer), stream.inbox.receive, self.send)
        if stream.inbox.slow:
            self._count_slow("a request body does not come, or too slowly")
        with contextlib.suppress(Disconnected):
            if not (stream.gone or self._answer.begun):
                await self._answer_instead()
        if stream.unread:
            self._count_slow("a client does not take its answer, or too slowly")
            reset(stream.stream_id, ErrorCode.CANCEL)
        elif not stream.ended and not stream.gone:
            reset(stream.stream_id, ErrorCode.INTERNAL_ERROR)
        elif stream.inbox.slow and stream.receiving:
            reset(stream.stream_id, ErrorCode.NO_ERROR)  # RFC 9113 8.1

    async def send(self, message: Message) -> None:
        """ASGI's send; raises Disconnected when the client is gone, AnswerError for what is no answer."""
        self._stream.check()
        match message["type"]:
            case "http.response.start":
                fields = (*message.get("headers", ()), request_id_field(self.request_id))
                self._answer.start(int(message["status"]), fields)
            case "http.response.body":
                more = bool(message.get("more_body", False))
                await self._send(self._answer.body(message.get("body", b""), more=more))
            case other:
                raise AnswerError(f"an answer has no message {other}")

    def _count_slow(self, text: str) -> None:
        with serving_request(self.request_id):
            self._service.count_slow(text)

    async def _send(self, piece: Piece) -> None:
        stream = self._stream
        if piece.head is not None:
            self._output.begin_answer(stream, piece.head, ended=piece.ended and not piece.data)
        if piece.data:
            await stream.offer(bytes(piece.data))
        if piece.ended and not stream.ended:
            stream.ending = True
            self._output.schedule(stream)
            await stream.wait_ended()
        elif piece.data:
            self._output.schedule(stream)

    async def _answer_instead(self) -> None:
        """The application has not answered."""
        problem = Fault.SLOW.value if self._stream.inbox.slow else INTERNAL_ERROR
        if problem is INTERNAL_ERROR:
            self._log_silence()
        self._answer = Answer(self._head.method)
        hints = hints_of(self._head.method, self._head.fields)
        fields, body = report(problem, hints, request_id=self.request_id, origins=self._service.origins)
        self._answer.start(problem.status, fields)
        await self._send(self._answer.body(body, more=False))
