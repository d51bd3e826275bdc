"""One HTTP/2 connection to a destination: many requests at once, on h2.

Two tasks belong to the connection. The reader feeds h2 and tells each stream what happened to it; the writer alone
sends. A request's task only changes h2's state, synchronously, and queues what that produced: so it can be cancelled
anywhere, resets its stream and leaves the connection whole.

Invariants: `_outbound` holds h2's output in order, at most `QUEUE_BYTES` and one part per stream beside the control
frames; a peer that makes it longer is cut. A retired connection takes no new streams and closes with its last one.
When `run` ends, every stream has its fault and the socket is closed.
"""

import contextlib
import math
from contextlib import aclosing

import h2.errors
import h2.events
import h2.exceptions
import trio

from edged.telemetry.live import Phase
from edged.upstream.beside import beside
from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http2_outbound import Outbound, Outgoing
from edged.upstream.http2_protocol import Protocol, head_of
from edged.upstream.http2_stream import Arrived, Fault, Stream, Streams
from edged.upstream.message import Answer, NoAnswer, Request, Response, parts
from edged.upstream.progress import FLOOR_BYTES_PER_S
from edged.upstream.round_trip import OPAQUE, RoundTrip
from edged.upstream.transport import Transport

PART_BYTES = 64 << 10
"""Framed and sent at a time, each with the deadline for progress: more than 1 kB/s is asked of the slowest link."""
QUEUE_BYTES = 256 << 10
"""Framed and not yet sent, above which requests wait."""
LAST_SEND_GRACE_S = 1.0
"""For the writer to be told of its last send when the answer is already there."""
READER_TURNS = 8
"""Schedulings in which the reader finds what is in the socket; two would do on a quiet machine."""


class Http2Connection:
    """A connected transport that speaks HTTP/2."""

    def __init__(
        self, transport: Transport, endpoint: Endpoint, timeouts: Timeouts, *, upgraded: Protocol | None = None
    ) -> None:
        self.round_trip = RoundTrip(self._ping)
        self._transport = transport
        self._endpoint = endpoint
        self._timeouts = timeouts
        self._protocol = upgraded or Protocol()
        self._streams = Streams(endpoint.peer)
        self._outbound = Outbound()
        self._slot = trio.Event()
        self._retired = False
        self._fault: Fault | None = None
        self._idle_since = trio.current_time()

    # The connection's own tasks

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the connection until it ends; started by the peer's SETTINGS. Raises NoAnswer before that."""
        try:
            self._protocol.hello()
            self._queue_output()
            async with beside(self._write):
                with trio.move_on_after(self._timeouts.tls_s):
                    while not self._streams.settled and await self._read():
                        pass
                if not self._streams.settled:
                    raise self._no_http2()
                task_status.started()
                while await self._read():
                    pass
        finally:
            self._end(Fault(f"{self._endpoint.peer} closed the connection"))

    async def _read(self) -> bool:
        """Take in what the peer sent; False at the end of the connection."""
        data = await self._transport.receive()
        if not data:
            return self._end(self._closed())
        try:
            events = self._protocol.receive_data(data)
        except h2.exceptions.H2Error as error:
            return self._end(Fault(f"malformed HTTP/2 from {self._endpoint.peer}", phase=Phase.HTTP, said=str(error)))
        for event in events:
            if isinstance(event, h2.events.DataReceived) and not self._streams.holds(event.stream_id):
                self._protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.PingAckReceived):
                self.round_trip.returned()
            self._protocol.note_windows(event)
            self._streams.apply(event, now=trio.current_time())
        self._queue_output()
        if self._streams.leaving:
            self.retire()
        self._offer_slots()
        if self._outbound.queued_bytes > QUEUE_BYTES + 2 * PART_BYTES * (1 + len(self._streams)):
            return self._end(Fault(f"{self._endpoint.peer} asks for more than it takes"))
        return True

    async def _write(self) -> None:
        while True:
            if not await self._outbound.send_next(self._transport, within_s=self._timeouts.send_s):
                text = f"{self._endpoint.peer} took nothing for {self._timeouts.send_s:g} s"
                self._end(Fault(text, phase=Phase.BODY))

    def _queue_output(self, stream: Stream | None = None, body_bytes: int = 0) -> None:
        """Queue what h2 has produced; `body_bytes` of it are of the body of the stream's request."""
        data = self._protocol.data_to_send()
        if data:
            self._outbound.put(Outgoing(data, stream, body_bytes))

    def _end(self, fault: Fault) -> bool:
        """Close, and tell everyone who waits; the first reason counts. Returns False: there is nothing more to read."""
        self._retired = True
        self._fault = self._fault or fault
        self._transport.close()
        self.round_trip.returned(over=True)
        self._streams.fail_all(self._fault)
        self._offer_slots()
        return False

    def _offer_slots(self) -> None:
        self._outbound.wake()  # also who waits for room there: it may have its answer now
        self._slot.set()
        self._slot = trio.Event()

    def _closed(self) -> Fault:
        if self._transport.tls_fault:
            return Fault(f"{self._endpoint.peer} ended TLS: {self._transport.tls_fault}", phase=Phase.TLS)
        return Fault(f"{self._endpoint.peer} closed the connection")

    def _no_http2(self) -> NoAnswer:
        fault = self._fault or Fault(f"no HTTP/2 from {self._endpoint.peer} within {self._timeouts.tls_s:g} s")
        return NoAnswer(fault.phase or Phase.HTTP, fault.text, not_processed=True, http2=True)

    def window_bytes(self, streams: int) -> int:
        """Bytes of so many bodies that the peer has let be on their way at once, at the most."""
        return self._protocol.window_bytes(streams)

    def _ping(self) -> None:
        self._protocol.ping(OPAQUE)
        self._queue_output()

    # Requests

    async def wait_usable(self) -> bool:
        """Tell whether it takes new requests, after the reader has had its turn at what came while it was idle."""
        if not self._streams and trio.current_time() - self._idle_since > self._timeouts.idle_s:
            self.retire()
        for _ in range(READER_TURNS):
            if self._retired or not self._transport.has_unread():
                break
            await trio.lowlevel.checkpoint()
        return not self._retired

    def retire(self) -> None:
        """Take no new requests; close when those that run are over."""
        self._retired = True
        if not self._streams:
            self._end(Fault(f"the connection to {self._endpoint.peer} is at its end", not_processed=True))

    def close(self) -> None:
        """Close at once; requests that run have no answer."""
        self._end(Fault(f"the connection to {self._endpoint.peer} was closed on this side"))

    async def exchange(self, request: Request) -> Response:
        """Send `request` and wait for its answer. Raises NoAnswer, and what the body's pieces and the sink raise."""
        stream = await self._open(request)
        try:
            if not stream.end_sent:
                await self._send_body(stream)
            await self._wait_answer(stream)
            if stream.end_sent:
                with trio.move_on_after(LAST_SEND_GRACE_S):
                    while not stream.has_left and self._fault is None:
                        await self._outbound.sent.wait()
            return stream.result()
        finally:
            self._forget(stream)

    async def _open(self, request: Request) -> Stream:
        await self._wait_slot()
        try:
            if self._retired or not self._protocol.may_open:
                raise h2.exceptions.ProtocolError("it takes no more requests")
            number = self._protocol.get_next_available_stream_id()
            stream = Stream(number, request, trio.current_time(), Answer(offered=request.sink))
            stream.end_sent = not request.content_length
            self._protocol.send_headers(stream.id, head_of(request, self._endpoint), end_stream=stream.end_sent)
        except h2.exceptions.ProtocolError as error:
            self.retire()
            text = f"no stream on the connection to {self._endpoint.peer}: {error}"
            raise NoAnswer(Phase.HTTP, text, not_processed=True, http2=True) from None
        self._streams.add(stream)
        self._queue_output()
        return stream

    async def _wait_slot(self) -> None:
        """Wait until the peer's limit allows a stream; in vain when it allows none at all."""
        while not self._retired and not self._protocol.may_open:
            with trio.move_on_after(math.inf if self._streams else self._timeouts.answer_s) as patience:
                await self._slot.wait()
            if patience.cancelled_caught:
                return

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
            step = self._protocol.max_outbound_frame_size
            for start in range(0, size, step):
                frame = part[start : min(size, start + step)]
                stream.sent_bytes += len(frame)
                stream.end_sent = stream.sent_bytes == stream.request.content_length
                self._protocol.send_data(stream.id, frame, end_stream=stream.end_sent)
            part = part[size:]
            self._queue_output(stream, size)

    async def _wait_window(self, stream: Stream) -> bool:
        """Wait until some of the body may be sent; False when none of it is wanted any more."""
        while self._outbound.queued_bytes >= QUEUE_BYTES and not stream.refused:
            await self._outbound.sent.wait()  # the writer watches over its own progress
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
        while True:
            await self._take_arrived(stream)
            if stream.over:
                return
            head = stream.answer.status is None
            limit_s = self._timeouts.answer_s if head else self._timeouts.body_s
            last = sent_at + self._timeouts.interim_s if head else math.inf
            changed, began, heard_bytes = stream.changed, trio.current_time(), stream.heard_bytes
            with trio.move_on_at(min(max(sent_at, stream.heard_at) + limit_s, last)) as patience:
                await changed.wait()
            if patience.cancelled_caught:
                self.retire()
                what = "no answer from" if head else "no more of the answer from"
                raise stream.no_answer(Fault(f"{what} {self._endpoint.peer} for {limit_s:g} s"))
            waited_s = 0.0 if head else trio.current_time() - began
            if stream.progress.is_slow_after(waited_s, stream.heard_bytes - heard_bytes):
                text = f"the answer of {self._endpoint.peer} comes at less than {FLOOR_BYTES_PER_S} bytes/s"
                raise stream.no_answer(Fault(text))

    async def _take_arrived(self, stream: Stream) -> None:
        """Give the sink what has come for it, as long as that is worth taking."""
        sink = stream.answer.sink
        while sink is not None and stream.arrived and stream.fault is None:
            arrived = stream.arrived.popleft()
            self._return_credit(stream, arrived)
            for piece in stream.answer.pieces(arrived.data):
                await sink.add(piece)
            stream.check_decoded()
            stream.heard_at = trio.current_time()  # the time that taking takes is not the peer's

    def _return_credit(self, stream: Stream, arrived: Arrived) -> None:
        if self._fault is None:
            self._protocol.acknowledge_received_data(arrived.credit, stream.id)
            self._queue_output()

    def _forget(self, stream: Stream) -> None:
        self._streams.remove(stream)
        for arrived in stream.arrived:
            self._return_credit(stream, arrived)
        if stream.open and self._fault is None:
            with contextlib.suppress(h2.exceptions.ProtocolError):
                self._protocol.reset_stream(stream.id, h2.errors.ErrorCodes.CANCEL)
            self._queue_output()
        self._idle_since = trio.current_time()
        self._offer_slots()
        if self._retired and not self._streams:
            self.retire()
