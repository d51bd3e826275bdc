"""A link with a rate and a delay, in virtual time, and TLS servers of both HTTP versions at its end.

Everything is in memory, so that a clock that jumps serves: what is computed takes no time, what the link carries does.
The link is one for all connections; there is no congestion window, and a sender waits as long as the link is busy.
"""

import math
import ssl
from dataclasses import dataclass, field

import h2.events
import h2.settings
import trio
import trio.testing

from edged.upstream.dial import Connector, Timeouts, secure
from edged.upstream.endpoint import Endpoint
from edged.upstream.transport import Transport
from tests.support.memory_wire import MemoryWire
from tests.support.upstream_peer import Http2Wire, PeerGoneError, Wire

_CHUNK = 16 << 10


@dataclass
class Link:
    """Carries `rate` bytes per second to the server, and anything back, each way in half a round trip."""

    rate: float
    round_trip_s: float
    window_bytes: int
    spoken: list[str] = field(default_factory=list)
    _free_at: float = 0.0

    def connector(self, nursery: trio.Nursery, context: ssl.SSLContext) -> Connector:
        """Connect over this link to a server with that context."""

        async def connect(endpoint: Endpoint, client: ssl.SSLContext | None, timeouts: Timeouts) -> Transport:
            near, near_end = trio.testing.lockstep_stream_pair()
            far, far_end = trio.testing.memory_stream_pair()
            nursery.start_soon(self._carry, near_end, far_end, self.rate)
            nursery.start_soon(self._carry, far_end, near_end, math.inf)
            nursery.start_soon(self._serve, far, context)
            wire = MemoryWire(near)  # type: ignore[arg-type]  # lockstep streams have the same methods
            transport = Transport(wire, client, server_hostname=endpoint.host)
            await secure(transport, endpoint, timeouts)
            return transport

        return connect

    async def _carry(self, source: trio.abc.ReceiveStream, sink: trio.abc.HalfCloseableStream, rate: float) -> None:
        arriving, on_its_way = trio.open_memory_channel[tuple[float, bytes]](math.inf)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_deliver, on_its_way, sink)
            async with arriving:
                while data := await _some(source):
                    if rate < math.inf:
                        self._free_at = max(self._free_at, trio.current_time()) + len(data) / rate
                    left_at = max(self._free_at, trio.current_time()) if rate < math.inf else trio.current_time()
                    arriving.send_nowait((left_at + self.round_trip_s / 2, data))
                    await trio.sleep_until(left_at)

    async def _serve(self, far: trio.abc.Stream, context: ssl.SSLContext) -> None:
        stream = trio.SSLStream(far, context, server_side=True, https_compatible=True)
        try:
            await stream.do_handshake()
            self.spoken.append(stream.selected_alpn_protocol() or "")
            wire = Wire(stream, None, 0)  # type: ignore[arg-type]
            await (self._two(wire) if self.spoken[-1] == "h2" else _one(wire))
        except (PeerGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _two(self, wire: Wire) -> None:
        settings = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: self.window_bytes}
        peer = Http2Wire(wire, settings)
        await peer.hello()
        if self.window_bytes > 65_535:
            peer.protocol.increment_flow_control_window(self.window_bytes - 65_535)
            await peer.flush()
        while True:
            event = await peer.until(h2.events.Event)
            if isinstance(event, h2.events.DataReceived):
                peer.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await peer.flush()
            elif isinstance(event, h2.events.StreamEnded):
                await peer.answer(event.stream_id or 0)


async def _one(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.answer()


async def _some(source: trio.abc.ReceiveStream) -> bytes:
    try:
        return bytes(await source.receive_some(_CHUNK))
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return b""


async def _deliver(
    on_its_way: trio.MemoryReceiveChannel[tuple[float, bytes]], sink: trio.abc.HalfCloseableStream
) -> None:
    try:
        async for at, data in on_its_way:
            await trio.sleep_until(at)
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return
