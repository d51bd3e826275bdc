"""Peers for the HTTP client that do exactly what a script says, on real loopback sockets.

`listen` serves one script for every connection; `Wire` reads and writes bytes for HTTP/1.1 scripts, `Http2Wire` frames
for HTTP/2 ones. A script that raises what a dead connection raises has simply ended.
"""

import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import h2.config
import h2.connection
import h2.events
import h2.settings
import trio

from edged.upstream.endpoint import Endpoint

E = TypeVar("E", bound=h2.events.Event)


class PeerGoneError(Exception):
    """The client closed the connection while the script wanted more of it."""


class Wire:
    """One accepted connection; `number` counts from 1 in the order of arrival."""

    def __init__(self, stream: trio.abc.Stream, plain: trio.SocketStream, number: int) -> None:
        self.stream = stream
        self.number = number
        self._plain = plain
        self._buffer = bytearray()

    async def read_some(self) -> bytes:
        """Give what is buffered or comes next; raises PeerGoneError at the end."""
        if self._buffer:
            data, self._buffer = bytes(self._buffer), bytearray()
            return data
        data = bytes(await self.stream.receive_some())
        if not data:
            raise PeerGoneError
        return data

    async def head(self) -> bytes:
        """Read a request's head."""
        while b"\r\n\r\n" not in self._buffer:
            data = bytes(await self.stream.receive_some())
            if not data:
                raise PeerGoneError
            self._buffer += data
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        self._buffer = bytearray(rest)
        return head

    async def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        got = bytearray()
        while len(got) < size:
            got += await self.read_some()
        self._buffer[:0] = got[size:]
        return bytes(got[:size])

    async def request(self) -> tuple[bytes, bytes]:
        """Read one request: its head and its whole body."""
        head = await self.head()
        length = next(
            (
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ),
            0,
        )
        return head, await self.exactly(length)

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        await self.stream.send_all(data)

    async def answer(self, status: int = 200, body: bytes = b"", *, extra: bytes = b"") -> None:
        """Send a response with Content-Length."""
        await self.send(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body))

    async def closed(self) -> None:
        """Wait until the client has closed the connection."""
        with suppress(PeerGoneError):
            while True:
                await self.read_some()

    def reset(self) -> None:
        """Close with an RST."""
        self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._plain.socket.close()

    def close(self) -> None:
        """Close."""
        self._plain.socket.close()


Script = Callable[[Wire], Awaitable[None]]


class Peer:
    """Where it listens and how many connections it has had."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.accepted = 0
        self.scheme = scheme

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint to give to a client."""
        return Endpoint.parse(f"{self.scheme}://localhost:{self.port}/dicom-web")


@asynccontextmanager
async def listen(script: Script, context: ssl.SSLContext | None = None) -> AsyncGenerator[Peer, None]:
    """Serve `script` on a loopback port, over TLS where a context is given."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    peer = Peer(listeners[0].socket.getsockname()[1], "https" if context else "http")
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, partial(_serve, peer, script, context), listeners))
        yield peer
        nursery.cancel_scope.cancel()


async def _serve(peer: Peer, script: Script, context: ssl.SSLContext | None, plain: trio.SocketStream) -> None:
    peer.accepted += 1
    stream: trio.abc.Stream = plain
    try:
        with suppress(PeerGoneError, trio.BrokenResourceError, trio.ClosedResourceError):
            if context is not None:
                tls = trio.SSLStream(plain, context, server_side=True, https_compatible=True)
                await tls.do_handshake()
                stream = tls
            await script(Wire(stream, plain, peer.accepted))
    finally:
        plain.socket.close()


class Http2Wire:
    """One accepted connection that speaks HTTP/2 as h2 does, unless the script writes bytes of its own."""

    def __init__(self, wire: Wire, settings: dict[h2.settings.SettingCodes, int] | None = None) -> None:
        self.wire = wire
        self.protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        if settings:
            self.protocol.local_settings = h2.settings.Settings(client=False, initial_values=dict(settings))
            self.protocol.max_inbound_frame_size = self.protocol.local_settings.max_frame_size
        self._events: list[h2.events.Event] = []

    async def hello(self) -> None:
        """Send the SETTINGS."""
        self.protocol.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        """Send what h2 has produced."""
        await self.wire.send(self.protocol.data_to_send())

    async def until(self, kind: type[E]) -> E:
        """Read until an event of this kind; those before it are dropped. DATA's credit is not given back."""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, kind):
                    return event
            self._events += self.protocol.receive_data(await self.wire.read_some())
            await self.flush()

    async def request(self) -> tuple[int, dict[str, str], int]:
        """Read one whole request, giving credit: its stream id, headers and the size of its body."""
        head = await self.until(h2.events.RequestReceived)
        size = 0
        while True:
            event = await self.until(h2.events.Event)
            if isinstance(event, h2.events.DataReceived):
                size += len(event.data)
                self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                await self.flush()
            if isinstance(event, h2.events.StreamEnded) and event.stream_id == head.stream_id:
                headers = {bytes(name).decode(): bytes(value).decode() for name, value in head.headers}
                return head.stream_id, headers, size

    async def answer(self, stream_id: int, status: int = 200, body: bytes = b"") -> None:
        """Send a whole response."""
        self.protocol.send_headers(stream_id, [(":status", str(status)), ("content-length", str(len(body)))])
        self.protocol.send_data(stream_id, body, end_stream=True)
        await self.flush()
