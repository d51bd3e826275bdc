"""HTTP/2 on one connection: streams in, an exchange for each, their answers interleaved.

What may live here: the reading task of a connection, between h2's events and the exchanges. It takes the
place of hypercorn's H2Protocol, which stops the whole connection behind an unread stream, returns credit
before anything is read, and dies of what a client can send. Strategy: the calling task reads, `Output`
writes, applications only leave something to be written. Invariants: the windows of the streams never add up
to more than the connection's, so no stream can stop another; DATA for a stream whose answer is complete is
dropped and its credit returned, so that the client comes to read the answer.
"""

import contextlib
import logging
import math
from functools import partial
from itertools import groupby

import trio
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.events import Event as H2Event
from h2.exceptions import ProtocolError
from hypercorn.protocol.events import Body, Data, EndBody, Event, Request, Response, StreamClosed

from edged.server.answers import with_date
from edged.server.exchange import Service, StreamExchange
from edged.server.head_gate import HeadError, Refusal
from edged.server.http1 import ToHTTP2
from edged.server.http2_codec import FIRST_WINDOW_BYTES, Codec
from edged.server.http2_output import Output
from edged.server.http2_request import request_of
from edged.server.http2_stream import Stream
from edged.server.inbox import Inbox
from edged.server.websocket import WebSocket
from edged.server.windows import WindowPool
from edged.server.wire import Disconnected, Peer, Wire

LOG = logging.getLogger("edged.server")
ABANDONED = 2  # streams whose application still runs, as a multiple of what may be open: more is an attack
LATE_WINDOWS = 4  # full windows of DATA after an answer until its stream is reset


class HTTP2Connection:
    """One HTTP/2 connection; `run` returns when it has ended."""

    def __init__(self, wire: Wire, peer: Peer, service: Service) -> None:
        limits = service.limits
        self._wire = wire
        self._peer = peer
        self._service = service
        self._limits = limits
        self._h2 = Codec(limits)
        self._output = Output(self._h2, wire)
        self._windows = WindowPool(
            limits.connection_window_bytes - limits.streams * FIRST_WINDOW_BYTES, parent=service.windows
        )
        self._streams: dict[int, Stream] = {}  # until their application has returned
        self._late_bytes: dict[int, int] = {}  # by answered stream that the client has not ended
        self._reading = trio.CancelScope()

    async def run(self, start: ToHTTP2) -> None:
        """Serve streams until the connection ends; every application has returned then."""
        async with trio.open_nursery() as tasks:
            tasks.start_soon(partial(self._output.run, broken=self._reading.cancel))
            tasks.start_soon(self._watch_drain)
            async with trio.open_nursery() as exchanges:
                self._exchanges = exchanges
                self._reading.deadline = trio.current_time() + self._limits.head_s
                with self._reading:
                    await self._begin(start)
                    await self._read(start.octets)
                for stream in list(self._streams.values()):
                    await self._leave(stream)
                await self._close()
            tasks.cancel_scope.cancel()

    async def _begin(self, start: ToHTTP2) -> None:
        try:
            self._h2.begin(start.settings)
        except ProtocolError as error:
            LOG.info("refused the settings of an upgrade to HTTP/2: %s", error)
            self._reading.cancel()
            return
        self._output.wake()
        if start.request is not None:
            await self._open(start.request)
            await self._end_of(start.request.stream_id)

    async def _read(self, octets: bytes) -> None:
        """Take what the client sends until it ends, breaks the protocol, or is told to go."""
        octets = octets or await self._wire.receive()
        while octets:
            try:
                events = self._h2.receive_data(octets)
            except ProtocolError as error:
                LOG.info("an HTTP/2 client broke the protocol: %s", error)
                return
            for event in _joined(events):
                await self._handle(event)
            self._output.wake()
            await self._output.wait_room()
            octets = await self._wire.receive()

    async def _handle(self, event: H2Event) -> None:
        match event:
            case RequestReceived(stream_id=int(stream_id), headers=headers):
                await self._request(stream_id, [(bytes(name), bytes(value)) for name, value in headers or ()])
            case DataReceived():
                await self._data(event)
            case StreamEnded(stream_id=int(stream_id)):
                self._late_bytes.pop(stream_id, None)
                await self._end_of(stream_id)
            case StreamReset(stream_id=int(stream_id)):
                self._late_bytes.pop(stream_id, None)
                if stream_id in self._streams:
                    await self._leave(self._streams[stream_id])
            case ConnectionTerminated():
                self._reading.cancel()

    async def _request(self, stream_id: int, fields: list[tuple[bytes, bytes]]) -> None:
        if self._service.drain.begun.is_set():
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM)
        elif len(self._streams) >= ABANDONED * self._limits.streams:
            LOG.info("an HTTP/2 client abandons its requests: ending the connection")
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._reading.cancel()
        else:
            try:
                await self._open(request_of(stream_id, fields))
            except HeadError as error:
                LOG.info("refused a request head: %s", error)
                self._refuse(stream_id, error.refusal)

    async def _open(self, request: Request) -> None:
        """Start the exchange of a request."""
        self._reading.deadline = math.inf
        stream_id, limits = request.stream_id, self._limits
        if request.method == "CONNECT":
            inbox = Inbox(stall_s=math.inf, room_bytes=math.inf)
            stream = Stream(stream_id, inbox, partial(_put_frames, inbox), limits.write_s)
            self._streams[stream_id] = stream
            self._exchanges.start_soon(self._run_websocket, stream, request)
        else:
            inbox = Inbox(stall_s=limits.body_s, room_bytes=math.inf)  # the window is the bound
            exchange = StreamExchange(self._service, self._peer, self._exchanges, inbox=inbox)
            asgi = exchange.http(stream_id, self._send)
            stream = Stream(stream_id, inbox, asgi.handle, limits.write_s)
            self._streams[stream_id] = stream
            exchange.on_done = partial(self._finish, stream)
            inbox.on_first = partial(self._enlarge, stream)
            inbox.on_stall = partial(self._stall, stream)
            await asgi.handle(request)
        inbox.on_taken = partial(self._credit, stream_id)

    async def _run_websocket(self, stream: Stream, request: Request) -> None:
        read = partial(_take_frames, stream.inbox)
        try:
            await WebSocket(self._service, self._peer, request, send=self._send, read=read).run()
            with contextlib.suppress(Disconnected):
                await self._end(stream)
        finally:
            self._finish(stream)

    async def _data(self, event: DataReceived) -> None:
        stream_id, data = event.stream_id or 0, event.data or b""
        stream = self._streams.get(stream_id)
        if stream is None or stream.ended or stream.gone:  # nobody will take it
            self._late(stream_id, event.flow_controlled_length)
            return
        self._credit(stream_id, (event.flow_controlled_length or 0) - len(data))  # padding
        await stream.deliver(Body(stream_id, data))

    def _late(self, stream_id: int, size: int) -> None:
        """Drop DATA that comes after the answer, with its credit; at some time the client must have read it.

        Beyond its window a client sends only after it has seen the credit, and so the answer that went before.
        """
        self._credit(stream_id, size)
        self._late_bytes[stream_id] = self._late_bytes.get(stream_id, 0) + size
        if self._late_bytes[stream_id] > LATE_WINDOWS * self._limits.stream_window_bytes:
            self._reset(stream_id, ErrorCodes.NO_ERROR)  # RFC 9113 8.1
            del self._late_bytes[stream_id]

    async def _end_of(self, stream_id: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.gone:
            stream.receiving = False
            await stream.deliver(EndBody(stream_id))

    async def _send(self, event: Event) -> None:
        """What hypercorn's streams send: from an application's task, or from a WebSocket's."""
        stream = self._streams[event.stream_id]
        match event:
            case Response():
                self._send_headers(stream, event)
            case Body(data=data) | Data(data=data):
                await stream.offer(data)
                self._output.schedule(stream)
            case EndBody():
                await self._end(stream)
            case StreamClosed():
                await stream.deliver(event)

    def _send_headers(self, stream: Stream, answer: Response) -> None:
        stream.check()
        status = (b":status", b"%d" % answer.status_code)
        try:
            self._h2.send_headers(stream.stream_id, [status, *with_date(answer.headers)])
        except ProtocolError:
            if self._h2.ended or self._reading.cancel_called:
                raise Disconnected("the connection is over") from None
            raise  # the application's fault
        self._output.wake()

    async def _end(self, stream: Stream) -> None:
        stream.ending = True
        self._output.schedule(stream)
        await stream.wait_ended()

    def _finish(self, stream: Stream) -> None:
        """The application of `stream` has returned."""
        del self._streams[stream.stream_id]
        if not stream.ended and not stream.gone:
            self._reset(stream.stream_id, ErrorCodes.INTERNAL_ERROR)
        self._windows.give(stream.lent_bytes)
        self._credit(stream.stream_id, stream.inbox.drop())
        self._output.forget(stream)
        self._settle()

    async def _leave(self, stream: Stream) -> None:
        """`stream` is over before its answer: tell the application."""
        stream.leave()
        await stream.deliver(StreamClosed(stream.stream_id))

    async def _stall(self, stream: Stream) -> None:
        LOG.info("a request body stalled")
        self._reset(stream.stream_id, ErrorCodes.CANCEL)
        await self._leave(stream)

    async def _enlarge(self, stream: Stream) -> None:
        """The application reads: from now on the client may send more ahead, as far as the pools reach."""
        more = self._limits.stream_window_bytes - FIRST_WINDOW_BYTES
        if stream.receiving and not stream.gone and self._windows.take(more):
            stream.lent_bytes = more
            with contextlib.suppress(ProtocolError):
                self._h2.increment_flow_control_window(more, stream.stream_id)
            self._output.wake()

    def _credit(self, stream_id: int, size: int) -> None:
        if size:
            self._h2.acknowledge_received_data(size, stream_id)
            self._output.wake()

    def _refuse(self, stream_id: int, refusal: Refusal) -> None:
        headers = with_date([(b":status", b"%d" % refusal.status), (b"content-length", b"0")])
        with contextlib.suppress(ProtocolError):
            self._h2.send_headers(stream_id, headers, end_stream=True)
        self._settle()

    def _reset(self, stream_id: int, code: ErrorCodes) -> None:
        with contextlib.suppress(ProtocolError):
            self._h2.reset_stream(stream_id, code)
        self._output.wake()

    def _settle(self) -> None:
        """Without streams the connection is idle, or at its end."""
        if self._streams:
            return
        if self._service.drain.begun.is_set():
            self._reading.cancel()
        else:
            self._reading.deadline = trio.current_time() + self._limits.idle_s

    async def _watch_drain(self) -> None:
        await self._service.drain.begun.wait()
        if not self._h2.ended:
            self._h2.announce_end()
            self._output.wake()
        self._settle()

    async def _close(self) -> None:
        if not self._h2.ended:
            self._h2.close_connection()
        self._output.close()
        with trio.move_on_after(self._limits.linger_s):
            await self._output.done.wait()
        if self._output.done.is_set():
            await self._wire.linger(self._limits.linger_s)
        else:  # the client does not read
            self._wire.abort()


def _joined(events: list[H2Event]) -> list[H2Event]:
    """The same events, adjacent DATA of one stream as one: most clients send 16 KiB at a time."""
    joined: list[H2Event] = []
    for stream_id, run in groupby(events, key=_data_of):
        first, *more = run
        if stream_id is not None and isinstance(first, DataReceived) and more:
            datas = [first, *(event for event in more if isinstance(event, DataReceived))]
            first.data = b"".join(event.data or b"" for event in datas)
            first.flow_controlled_length = sum(event.flow_controlled_length or 0 for event in datas)
            more = []
        joined += [first, *more]
    return joined


def _data_of(event: H2Event) -> int | None:
    return event.stream_id if isinstance(event, DataReceived) else None


async def _put_frames(inbox: Inbox, event: Event) -> None:
    """Queue the octets of a WebSocket as they come; they are parsed when the session takes them."""
    match event:
        case Body(data=data):
            await inbox.put({"type": "http.request", "body": data, "more_body": True})
        case _:
            await inbox.put({"type": "http.disconnect"})


async def _take_frames(inbox: Inbox) -> bytes:
    body: bytes = (await inbox.receive()).get("body", b"")
    return body
