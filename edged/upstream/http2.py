"""One HTTP/2 connection to a destination: many requests at once, on h2.

Two tasks belong to the connection. The reader feeds h2 and tells each stream what happened to it; the writer alone
touches the socket for sending. A request's task only changes h2's state, synchronously, and queues what that produced:
so it can be cancelled anywhere, resets its stream and leaves the connection whole.

Invariants: `_outbound` holds h2's output in order and, beyond what control frames need, at most `QUEUE_BYTES` and one
part per stream. A stream is in `_streams` exactly while its request's task runs. A retired connection takes no new
streams and closes with its last one. When `run` ends, every stream has its fault and the socket is closed.
"""

import contextlib
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import h2.errors
import h2.events
import h2.exceptions
import trio

from edged.upstream.beside import beside
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http2_protocol import Fault, Protocol, Stream, error_name
from edged.upstream.message import NoAnswer, Phase, Request, Response, parts
from edged.upstream.transport import Transport

PART_BYTES = 64 << 10
"""Framed and sent at a time, each with the deadline for progress."""
QUEUE_BYTES = 256 << 10
"""Framed and not yet sent, above which requests wait."""


class Http2Connection:
    """A connected transport that speaks HTTP/2."""

    def __init__(self, transport: Transport, endpoint: Endpoint, timeouts: Timeouts) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._protocol = Protocol()
        self._streams: dict[int, Stream] = {}
        self._outbound: deque[bytes] = deque()
        self._queued_bytes = 0
        self._work = trio.Event()
        self._room = trio.Event()
        self._slot = trio.Event()
        self._settled = False
        self._retired = False
        self._fault: Fault | None = None
        self._idle_since = trio.current_time()

    # The connection's own tasks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the connection until it ends; started once the peer has sent its SETTINGS. Raises NoAnswer before that."""
        try:
            self._protocol.hello()
            self._queue_output()
            async with beside(self._write):
                with trio.move_on_after(self._timeouts.tls_s):
                    while not self._settled and await self._read():
                        pass
                if not self._settled:
                    raise self._no_http2()
                task_status.started()
                while await self._read():
                    pass
        finally:
            self._end(Fault(f"{self._endpoint.peer} closed the connection"))

    async def _read(self) -> bool:
        """Take in what the peer sent; False at the end of the connection."""
        while self._queued_bytes >= QUEUE_BYTES and len(self._outbound) > QUEUE_BYTES // PART_BYTES:
            await self._room.wait()
        data = await self._transport.receive()
        if not data:
            if self._transport.tls_fault:
                text = f"{self._endpoint.peer} ended TLS: {self._transport.tls_fault}"
                self._end(Fault(text, phase=Phase.TLS))
            return False
        try:
            events = self._protocol.receive_data(data)
        except h2.exceptions.H2Error as error:
            self._end(Fault(f"malformed HTTP/2 from {self._endpoint.peer}: {error}", phase=Phase.HTTP))
            return False
        for event in events:
            self._dispatch(event)
        self._queue_output()
        return True

    async def _write(self) -> None:
        while True:
            while self._outbound:
                data = self._outbound.popleft()
                with trio.move_on_after(self._timeouts.send_s) as patience:
                    if not await self._transport.send(data):
                        return  # the reader takes what is left and finds the end
                if patience.cancelled_caught:
                    text = f"{self._endpoint.peer} took nothing for {self._timeouts.send_s:g} s"
                    self._end(Fault(text, phase=Phase.BODY))
                    return
                self._queued_bytes -= len(data)
                self._room.set()
                self._room = trio.Event()
            await self._work.wait()
            self._work = trio.Event()

    def _queue_output(self) -> None:
        data = self._protocol.data_to_send()
        if data:
            self._outbound.append(data)
            self._queued_bytes += len(data)
            self._work.set()

    def _end(self, fault: Fault) -> None:
        """Close, and tell everyone who waits; the first reason counts."""
        self._retired = True
        self._fault = self._fault or fault
        self._transport.close()
        for stream in self._streams.values():
            stream.fail(self._fault)
        self._room.set()
        self._slot.set()

    # What the peer said

    def _dispatch(self, event: h2.events.Event) -> None:
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)

    def _on_settings(self, event: h2.events.RemoteSettingsChanged) -> None:
        self._settled = True
        self._wake_all()

    def _on_window(self, event: h2.events.WindowUpdated) -> None:
        if event.stream_id == 0:
            self._wake_all()
        elif stream := self._streams.get(event.stream_id):
            stream.wake()

    def _on_goaway(self, event: h2.events.ConnectionTerminated) -> None:
        self._retired = True
        last = event.last_stream_id or 0
        text = f"{self._endpoint.peer} ended the connection: {error_name(event.error_code)}"
        for stream in self._streams.values():
            if stream.id > last:
                stream.fail(Fault(text, not_processed=True))
        self._wake_all()

    def _on_interim(self, event: h2.events.InformationalResponseReceived) -> None:
        if stream := self._hear(event.stream_id):
            stream.wake()

    def _on_head(self, event: h2.events.ResponseReceived) -> None:
        if stream := self._hear(event.stream_id):
            stream.begin([(bytes(name), bytes(value)) for name, value in event.headers])
            stream.wake()

    def _on_data(self, event: h2.events.DataReceived) -> None:
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self._protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if stream := self._hear(event.stream_id):
            stream.answer.add(event.data)
            if stream.answer.too_long:
                stream.complete = True
            stream.wake()

    def _on_end(self, event: h2.events.StreamEnded) -> None:
        if (stream := self._hear(event.stream_id)) and not stream.over:
            stream.complete = True
            stream.wake()

    def _on_reset(self, event: h2.events.StreamReset) -> None:
        if stream := self._hear(event.stream_id):
            refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            text = f"{self._endpoint.peer} reset the stream: {error_name(event.error_code)}"
            stream.fail(Fault(text, not_processed=refused))

    def _hear(self, stream_id: int | None) -> Stream | None:
        stream = self._streams.get(stream_id or 0)
        if stream is not None:
            stream.heard_at = trio.current_time()
        return stream

    def _wake_all(self) -> None:
        for stream in self._streams.values():
            stream.wake()
        self._slot.set()
        self._slot = trio.Event()

    # Requests

    @property
    def usable(self) -> bool:
        """Whether new requests may be given to it."""
        return not self._retired

    def is_stale(self) -> bool:
        """Tell whether an idle connection is not to be trusted: too old, or the peer has said something unasked."""
        if self._streams:
            return False
        old = trio.current_time() - self._idle_since > self._timeouts.idle_s
        return old or self._transport.has_unread()

    def retire(self) -> None:
        """Take no new requests; close when those that run are over."""
        self._retired = True
        if not self._streams:
            self._end(Fault(f"the connection to {self._endpoint.peer} was given up", not_processed=True))

    async def exchange(self, request: Request) -> Response:
        """Send `request` and wait for its answer. Raises NoAnswer, and what the body's pieces raise."""
        stream = await self._open(request)
        try:
            if request.content_length:
                await self._send_body(stream)
            await self._wait_answer(stream)
            return stream.result()
        finally:
            self._forget(stream)

    async def _open(self, request: Request) -> Stream:
        with trio.move_on_after(self._timeouts.answer_s):
            while not self._retired and not self._protocol.may_open:
                await self._slot.wait()
        try:
            if self._retired or not self._protocol.may_open:
                raise h2.exceptions.ProtocolError("it takes no more requests")
            stream = Stream(self._protocol.get_next_available_stream_id(), request, trio.current_time())
            stream.end_sent = not request.content_length
            self._protocol.send_headers(stream.id, self._head(request), end_stream=stream.end_sent)
        except h2.exceptions.ProtocolError as error:
            self.retire()
            text = f"the connection to {self._endpoint.peer} gives no stream: {error}"
            raise NoAnswer(Phase.HTTP, text, not_processed=True, http2=True) from None
        self._streams[stream.id] = stream
        self._queue_output()
        return stream

    def _head(self, request: Request) -> list[tuple[str, str]]:
        headers = [
            (":method", request.method),
            (":scheme", self._endpoint.scheme),
            (":authority", self._endpoint.authority),
            (":path", request.target),
            *((name.lower(), value) for name, value in request.headers),
        ]
        if request.content_length is not None:
            headers.append(("content-length", str(request.content_length)))
        return headers

    async def _send_body(self, stream: Stream) -> None:
        if stream.request.body is None:
            raise AssertionError("only a request with a body gets here")
        async with aclosing(parts(stream.request.body, PART_BYTES)) as pieces:
            async for part in pieces:
                await self._send_part(stream, part)
                if stream.refused:
                    return

    async def _send_part(self, stream: Stream, part: memoryview) -> None:
        while part and await self._wait_window(stream):
            size = min(self._protocol.local_flow_control_window(stream.id), len(part))
            for start in range(0, size, self._protocol.max_outbound_frame_size):
                frame = part[start : min(size, start + self._protocol.max_outbound_frame_size)]
                stream.sent_bytes += len(frame)
                stream.end_sent = stream.sent_bytes == stream.request.content_length
                self._protocol.send_data(stream.id, frame, end_stream=stream.end_sent)
            part = part[size:]
            self._queue_output()

    async def _wait_window(self, stream: Stream) -> bool:
        """Wait until some of the body may be sent; False when none of it is wanted any more."""
        while self._queued_bytes >= QUEUE_BYTES and not stream.refused:
            await self._room.wait()  # the writer watches over its own progress
        with trio.move_on_after(self._timeouts.send_s):
            while not stream.refused and self._protocol.local_flow_control_window(stream.id) <= 0:
                await stream.changed.wait()
        if not stream.refused and self._protocol.local_flow_control_window(stream.id) <= 0:
            self.retire()
            text = f"{self._endpoint.peer} took no more of the request for {self._timeouts.send_s:g} s"
            raise stream.no_answer(Fault(text, phase=Phase.BODY))
        return not stream.refused

    async def _wait_answer(self, stream: Stream) -> None:
        sent_at = trio.current_time()
        while not stream.over:
            head = stream.answer.status is None
            limit_s = self._timeouts.answer_s if head else self._timeouts.body_s
            changed = stream.changed
            with trio.move_on_at(max(sent_at, stream.heard_at) + limit_s):
                await changed.wait()
                continue
            self.retire()
            what = "no answer from" if head else "no more of the answer from"
            raise stream.no_answer(Fault(f"{what} {self._endpoint.peer} for {limit_s:g} s"))

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        if not (stream.end_sent and stream.complete) and self._fault is None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._protocol.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
            self._queue_output()
        self._idle_since = trio.current_time()
        self._slot.set()
        self._slot = trio.Event()
        if self._retired and not self._streams:
            self.retire()

    def _no_http2(self) -> NoAnswer:
        fault = self._fault or Fault(f"{self._endpoint.peer} does not speak HTTP/2")
        return NoAnswer(fault.phase or Phase.HTTP, fault.text, not_processed=True, http2=True)


_HANDLERS: dict[type[h2.events.Event], Callable[[Http2Connection, Any], None]] = {}
