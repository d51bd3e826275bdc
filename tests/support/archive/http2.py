"""An archive of the tests over HTTP/2, by h2: requests side by side, each answered in a task of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import trio

from tests.support.archive.line import Line, LineEnded
from tests.support.archive.rules import Archive
from tests.support.archive.values import Asked, Fault, Kind, Reply

WINDOW_BYTES = 1 << 24


@dataclass(slots=True)
class _Coming:
    asked: Asked
    fault: Fault | None
    body: bytearray = field(default_factory=bytearray)


class _Served:
    """One connection."""

    def __init__(self, line: Line, archive: Archive, nursery: trio.Nursery) -> None:
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self._line = line
        self._archive = archive
        self._nursery = nursery
        self._coming: dict[int, _Coming] = {}
        self._moved = trio.Event()
        self._sending = trio.Lock()
        self._on: dict[type, Callable[..., None]] = {
            h2.events.RequestReceived: self._begun,
            h2.events.DataReceived: self._data,
            h2.events.StreamEnded: self._ended,
            h2.events.StreamReset: self._given_up,
        }

    async def run(self, begun: bytes) -> None:
        """Answer requests until the connection ends; raises LineEnded."""
        self.protocol.initiate_connection()
        self.protocol.increment_flow_control_window(WINDOW_BYTES)
        data = begun
        while True:
            try:
                events = self.protocol.receive_data(data)
            except h2.exceptions.ProtocolError:
                raise LineEnded from None
            for event in events:
                self._on.get(type(event), self._other)(event)
            self._moved.set()
            self._moved = trio.Event()
            await self.flush()
            await self._strike()
            data = await self._line.receive()

    async def flush(self) -> None:
        """Send what h2 has produced."""
        async with self._sending:
            if data := self.protocol.data_to_send():
                await self._line.send(data)

    def _begun(self, event: h2.events.RequestReceived) -> None:
        headers = tuple((str(name), str(value)) for name, value in event.headers or ())
        named = dict(headers)
        asked = Asked(named[":method"], named[":path"], headers)
        self._coming[event.stream_id or 0] = _Coming(asked, self._archive.on_head(asked))

    def _data(self, event: h2.events.DataReceived) -> None:
        self.protocol.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
        if (coming := self._coming.get(event.stream_id or 0)) is not None:
            coming.body += event.data or b""

    def _ended(self, event: h2.events.StreamEnded) -> None:
        stream = event.stream_id or 0
        coming = self._coming.get(stream)
        if coming is None or (coming.fault is not None and len(coming.body) >= coming.fault.at):
            return
        del self._coming[stream]
        asked = Asked(coming.asked.method, coming.asked.path, coming.asked.headers, bytes(coming.body))
        self._nursery.start_soon(self._answer, stream, asked, None)

    def _other(self, _: h2.events.Event) -> None:
        """Credit, settings: h2 has done what there is to do."""

    def _given_up(self, event: h2.events.StreamReset) -> None:
        self._coming.pop(event.stream_id or 0, None)

    async def _strike(self) -> None:
        """Let faults happen of which enough has come."""
        for stream, coming in list(self._coming.items()):
            fault = coming.fault
            if fault is None or len(coming.body) < fault.at:
                continue
            del self._coming[stream]
            if fault.reply is not None:
                known = coming.asked
                self._archive.on_early(Asked(known.method, known.path, known.headers, bytes(coming.body)))
                self._nursery.start_soon(self._answer, stream, coming.asked, fault.reply)
            else:
                await self._break(stream, fault)

    async def _break(self, stream: int, fault: Fault) -> None:
        codes = h2.errors.ErrorCodes
        if fault.kind is Kind.GOAWAY:
            self.protocol.close_connection(codes.NO_ERROR, last_stream_id=max(0, stream - 2))
            await self.flush()
            await self._line.suffer(Fault(Kind.CUT))
        if fault.kind not in {Kind.STREAM_RESET, Kind.REFUSED_STREAM}:
            await self._line.suffer(fault)
        code = codes.REFUSED_STREAM if fault.kind is Kind.REFUSED_STREAM else codes.INTERNAL_ERROR
        try:
            self.protocol.reset_stream(stream, code)
        except h2.exceptions.ProtocolError:
            return
        await self.flush()

    async def _answer(self, stream: int, asked: Asked, early: Reply | None) -> None:
        try:
            reply = early or self._archive.answer(asked)
            await reply.ready()
            await self._reply(stream, reply)
        except LineEnded:
            self._line.close()
        except h2.exceptions.ProtocolError:
            return  # the other side has given this stream up

    async def _reply(self, stream: int, reply: Reply) -> None:
        fault = reply.fault or (Fault(Kind.RESET) if reply.reset else None)
        if fault is not None and (reply.reset or fault.kind in {Kind.STREAM_RESET, Kind.REFUSED_STREAM, Kind.GOAWAY}):
            await self._break(stream, fault)
            return
        self._line.arm(fault)
        names = [(name.lower(), value) for name, value in reply.fields]
        self.protocol.send_headers(stream, [(":status", str(reply.status)), *names])
        await self.flush()
        left = reply.content
        while left:
            most = min(self.protocol.local_flow_control_window(stream), self.protocol.max_outbound_frame_size)
            if most <= 0:
                await self._moved.wait()
                continue
            self.protocol.send_data(stream, left[:most])
            left = left[most:]
            await self.flush()
        self.protocol.end_stream(stream)
        await self.flush()
        self._line.arm(None)
        reply.arrived()


async def serve_http2(line: Line, archive: Archive, begun: bytes) -> None:
    """Answer requests until the connection ends; `begun` was read already."""
    async with trio.open_nursery() as nursery:
        try:
            await _Served(line, archive, nursery).run(begun)
        except LineEnded:
            nursery.cancel_scope.cancel()
