"""HTTP/2 on one connection: streams in, an exchange for each, their answers interleaved.

What may live here: the reading task of a connection, between the codec's events and the exchanges, and how a
connection ends. Strategy: the calling task reads, `Output` writes, applications only leave something to be
written. Invariants: however much work one read holds, the other tasks have their turn in between, and no more
is done than its answers are read; DATA for a stream whose answer is complete is dropped and its credit
returned, so that the client comes to read the answer; an end is announced before it comes, and what runs then
is finished.
"""

import base64
import logging
import math
from functools import partial
from http import HTTPStatus

import trio

from edged.http.problem import Problem
from edged.server.answers import report
from edged.server.exchange import Service
from edged.server.head_gate import Head, HeadError, Hints, hints_of
from edged.server.http1 import ToHTTP2
from edged.server.http2_bodies import Bodies
from edged.server.http2_codec import Codec
from edged.server.http2_events import Event, Fields, Leaving, Lost, Received, Requested, Trailed
from edged.server.http2_exchange import HTTP2Exchange
from edged.server.http2_frames import ConnectionFault, ErrorCode
from edged.server.http2_output import Output
from edged.server.http2_request import Malformed, check_trailers, request_of
from edged.server.http2_stream import Stream
from edged.server.http2_websocket import serve_websocket
from edged.server.peer import Peer
from edged.server.wire import Wire
from edged.telemetry.request import new_request_id, serving_request

LOG = logging.getLogger("edged.server")
UPGRADED_STREAM = 1  # the request of an h2c upgrade (RFC 7540 3.2)
ABANDONED = 2  # streams whose application still runs, as a multiple of what may be open: more is an attack
NO_ROOM = Problem(
    status=HTTPStatus.SERVICE_UNAVAILABLE,
    detail="Too many request bodies, or WebSockets over HTTP/2, are under way at the same time.",
    temporary=True,
    retry_after=5,
)
TURN_WORK = 100  # frames and fields until the other tasks have their turn: some milliseconds


class HTTP2Connection:
    """One HTTP/2 connection; `run` returns when it has ended."""

    def __init__(self, wire: Wire, peer: Peer, service: Service) -> None:
        limits = service.limits
        self._wire = wire
        self._peer = peer
        self._service = service
        self._limits = limits
        self._codec = Codec(limits)
        self._output = Output(self._codec, wire)
        self._bodies = Bodies(self._codec, self._output, service)
        self._streams: dict[int, Stream] = {}  # until their application has returned
        self._work = 0  # since the other tasks had their turn
        self._reading = trio.CancelScope()
        self._began = trio.current_time()
        self._announced = math.inf  # when the end was
        self._left = False  # the client opens no more streams
        self._code = ErrorCode.NO_ERROR  # why it ends
        self._flush_s = math.inf  # what the client gets to take the last answers; the wire has its own limits

    async def run(self, start: ToHTTP2) -> None:
        """Serve streams until the connection ends; every application has returned then."""
        async with trio.open_nursery() as tasks:
            tasks.start_soon(partial(self._output.run, broken=self._reading.cancel))
            tasks.start_soon(self._watch_drain)
            async with trio.open_nursery() as exchanges:
                self._exchanges = exchanges
                self._reading.deadline = trio.current_time() + self._limits.head_s
                with self._reading:
                    await self._read(start)
                self._service.idle.leave(self._give_way)
                for stream in self._streams.values():
                    stream.leave()
                await self._close()
            tasks.cancel_scope.cancel()

    async def _read(self, start: ToHTTP2) -> None:
        """Take what the client sends until it ends, breaks the protocol, or is told to go."""
        try:
            self._begin(start)
            octets = start.octets or await self._wire.receive()
            while octets:
                now = trio.current_time()
                for event in self._codec.receive(octets, now):
                    self._handle(event)
                    if self._work >= TURN_WORK:
                        await self._give_turn()
                self._consider_end(now)
                self._output.wake()
                await self._output.wait_room()
                octets = await self._wire.receive()
        except ConnectionFault as fault:
            LOG.debug("an HTTP/2 client broke the protocol: %s", fault)
            self._service.tallies.malformed.count()
            self._service.counters.malformed += 1
            self._code, self._flush_s = fault.code, self._limits.linger_s

    async def _give_turn(self) -> None:
        """Let the other tasks run, and the client read what it has caused."""
        self._work = 0
        self._output.wake()
        await trio.lowlevel.checkpoint()
        await self._output.wait_room()

    def _begin(self, start: ToHTTP2) -> None:
        settings = None if start.settings is None else base64.urlsafe_b64decode(start.settings)
        self._codec.begin(settings)
        self._service.idle.begin(self._peer.counts_as, self._give_way)
        self._output.wake()
        if start.head is not None:
            self._open(UPGRADED_STREAM, start.head, ended=True)

    def _handle(self, event: Event | None) -> None:
        self._work += 1
        match event:
            case Received(stream_id, data, ended):
                self._received(stream_id, data, ended=ended)
            case Requested(stream_id, fields, ended):
                self._work += len(fields)
                self._requested(stream_id, fields, ended=ended)
            case Trailed(stream_id, fields):
                self._work += len(fields)
                self._trailed(stream_id, fields)
            case Lost(stream_id):
                self._lost(stream_id)
            case Leaving(code):
                self._left = True
                if code != ErrorCode.NO_ERROR:
                    self._flush_s = self._limits.linger_s
                    self._reading.cancel()
                self._settle()

    def _requested(self, stream_id: int, fields: Fields, *, ended: bool) -> None:
        if len(self._streams) >= ABANDONED * self._limits.streams:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the client abandons its requests")
        try:
            self._open(stream_id, request_of(fields, self._limits), ended=ended)
        except Malformed as error:
            self._malformed(stream_id, error)
        except HeadError as error:
            self._service.counters.malformed += 1
            method = dict(fields)[b":method"].decode("latin-1")
            self._refuse(stream_id, error.refusal.problem, hints_of(method, fields))

    def _open(self, stream_id: int, head: Head, *, ended: bool) -> None:
        """Start the exchange of a request; raises Malformed."""
        stream = self._bodies.begin(stream_id, head, ended=ended)
        if stream is None:
            self._refuse(stream_id, NO_ROOM, hints_of(head.method, head.fields))
            return
        self._streams[stream_id] = stream
        self._reading.deadline = math.inf
        self._service.idle.leave(self._give_way)
        serve = self._serve_websocket if head.method == "CONNECT" else self._serve
        self._exchanges.start_soon(serve, stream, head)

    async def _serve(self, stream: Stream, head: Head) -> None:
        try:
            exchange = HTTP2Exchange(self._service, self._peer, stream, head=head, output=self._output)
            with stream.scope:
                await exchange.run(self._reset)
        finally:
            self._finish(stream)

    async def _serve_websocket(self, stream: Stream, head: Head) -> None:
        try:
            await serve_websocket(self._service, self._peer, stream, head=head, output=self._output)
            if not stream.ended:
                self._reset(stream.stream_id, ErrorCode.CANCEL)
        finally:
            self._finish(stream)

    def _received(self, stream_id: int, data: bytes, *, ended: bool) -> None:
        try:
            self._bodies.received(stream_id, self._streams.get(stream_id), data, ended=ended)
        except Malformed as error:
            self._malformed(stream_id, error)

    def _trailed(self, stream_id: int, fields: Fields) -> None:
        try:
            check_trailers(fields, self._limits)
        except Malformed as error:
            self._malformed(stream_id, error)
        else:
            self._received(stream_id, b"", ended=True)

    def _lost(self, stream_id: int) -> None:
        self._bodies.forget(stream_id)
        if stream_id in self._streams:
            self._streams[stream_id].leave()

    def _malformed(self, stream_id: int, error: Malformed) -> None:
        LOG.debug("an HTTP/2 client sent what is no request: %s", error)
        self._service.tallies.malformed.count()
        self._service.counters.malformed += 1
        self._codec.fault(stream_id, ErrorCode.PROTOCOL_ERROR)
        self._lost(stream_id)
        self._settle()

    def _refuse(self, stream_id: int, problem: Problem, hints: Hints) -> None:
        self._work += TURN_WORK  # a report is as much work as many frames
        request_id = new_request_id()
        with serving_request(request_id):
            LOG.debug("refused a request: %s", problem.detail)
            self._service.tallies.refused.count()
        fields, body = report(problem, hints, request_id=request_id, origins=self._service.origins)
        self._codec.refuse(stream_id, [(b":status", b"%d" % problem.status), *fields], body)
        self._settle()

    def _finish(self, stream: Stream) -> None:
        """The application of `stream` has returned."""
        del self._streams[stream.stream_id]
        self._bodies.finish(stream)
        self._output.forget(stream)
        self._settle()

    def _reset(self, stream_id: int, code: ErrorCode) -> None:
        self._bodies.forget(stream_id)
        self._codec.reset(stream_id, code)
        self._output.wake()

    def _settle(self) -> None:
        """Without streams the connection is idle, or at its end."""
        if self._streams:
            return
        if self._left or self._codec.refusing:
            self._reading.cancel()
            return
        announced = self._announced < math.inf
        patience_s = self._limits.linger_s if announced else self._limits.idle_s
        self._reading.deadline = trio.current_time() + patience_s
        if not announced:
            self._service.idle.enter(self._peer.counts_as, self._give_way)

    def _consider_end(self, now: float) -> None:
        """End a connection that has served enough, in two steps so that no request is lost (RFC 9113 6.8)."""
        limits = self._limits
        if self._codec.requests >= limits.connection_requests or now - self._began > limits.connection_age_s:
            if self._announced == math.inf:
                self._announced = now
                self._codec.announce_end()
            elif (self._codec.farewell_seen or now - self._announced > limits.head_s) and not self._codec.refusing:
                self._codec.end()
                self._settle()

    async def _watch_drain(self) -> None:
        await self._service.drain.begun.wait()
        self._end()

    def _end(self) -> None:
        """Take no new stream; without any the connection ends."""
        if not self._codec.refusing:
            self._codec.end()
            self._output.wake()
        self._settle()

    def _give_way(self) -> None:
        """End soon: there is no room for others."""
        self._flush_s = self._limits.linger_s
        self._end()

    async def _close(self) -> None:
        if self._code is not ErrorCode.NO_ERROR or not self._codec.refusing:
            self._codec.end(self._code)
        self._output.close()
        with trio.move_on_after(self._flush_s):
            await self._output.done.wait()
        if self._output.done.is_set():
            await self._wire.linger(self._limits.linger_s)
        else:  # the client does not read
            self._wire.abort()
