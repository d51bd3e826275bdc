"""What the tests of the server share: a running server, small applications, and clients that can misbehave.

What may live here: everything over real sockets. `serving` runs a server around a block and shuts it down in
order after it, so that a server which does not end fails the test by its time-out. `Wire` speaks raw octets,
`H2Wire` frames; `curl` is the honest client.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.events
import trio

from edged.http.origin_policy import OriginPolicy
from edged.server import TLS, Application, Limits, Listener, Server
from edged.server.answers import NO_ORIGINS

Message = dict[str, Any]
ANY = "http://127.0.0.1:0"
QUICK = Limits(linger_s=0.5, drain_s=0.5)
TO_HTTP2 = (
    b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n\r\n"
)
TO_WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    server: Server
    urls: list[str]
    shutdown: trio.Event
    ended: trio.Event

    async def stop(self) -> None:
        """Shut down and wait for the end."""
        self.shutdown.set()
        await self.ended.wait()

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def open(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)


@asynccontextmanager
async def serving(
    app: Application,
    addresses: Sequence[str] = (ANY,),
    *,
    limits: Limits = QUICK,
    tls: TLS | None = None,
    origins: OriginPolicy = NO_ORIGINS,
) -> AsyncIterator[Running]:
    """Serve `app` for the block, then shut down and wait for the end."""
    server = Server(app, [Listener.parse(address) for address in addresses], tls=tls, limits=limits, origins=origins)
    shutdown, ended = trio.Event(), trio.Event()

    async def run(*, task_status: trio.TaskStatus[list[Any]]) -> None:
        await server.run(shutdown, task_status=task_status)
        ended.set()

    async with trio.open_nursery() as nursery:
        bound = await nursery.start(run)
        yield Running(server, [each.url for each in bound], shutdown, ended)
        shutdown.set()


async def answer(send: Any, status: int = 200, body: bytes = b"ok") -> None:
    """A whole answer with its length."""
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Any) -> tuple[int, bool]:
    """How many octets of body there were, and whether it was complete."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return size, False
        size += len(message["body"])
        if not message["more_body"]:
            return size, True


async def sink(scope: Message, receive: Any, send: Any) -> None:
    """Answers 413 to /early without reading, else the size of the body; accepts and echoes WebSockets."""
    if scope["type"] == "websocket":
        await echo(receive, send)
    elif scope["path"] == "/early":
        await answer(send, 413, b"too large")
    else:
        size, complete = await read_body(receive)
        if complete:
            await answer(send, 200, b"%d" % size)


async def echo(receive: Any, send: Any) -> None:
    """Accepts a WebSocket and sends back what comes."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message.get("bytes"), "text": message.get("text")})


async def curl(*arguments: str) -> str:
    """What curl prints; raises CalledProcessError when it fails."""
    done = await trio.run_process(["curl", "-sS", "-m", "20", *arguments], capture_stdout=True)
    return done.stdout.decode()


async def read_all(stream: trio.abc.ReceiveStream) -> bytes:
    """Everything until the end of the connection, however it ends."""
    octets = b""
    try:
        while more := await stream.receive_some():
            octets += more
    except trio.BrokenResourceError:
        pass
    return octets


async def exchange_raw(running: Running, octets: bytes) -> bytes:
    """Send octets and read until the server ends the connection."""
    async with await running.open() as stream:
        await stream.send_all(octets)
        return await read_all(stream)


class H2Wire:
    """An HTTP/2 client that sends what it is told to, valid or not."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.codec = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.codec.initiate_connection()
        self._events: list[h2.events.Event] = []

    async def flush(self) -> None:
        """Send what the codec holds."""
        await self.stream.send_all(self.codec.data_to_send())

    async def request(self, path: bytes = b"/", method: bytes = b"GET", *, end: bool = True, **more: bytes) -> int:
        """Begin a request; the stream's number. `more` are fields; an empty path or method is left out."""
        stream_id = self.codec.get_next_available_stream_id()
        fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"box"), (b":path", path)]
        headers = [field for field in fields if field[1]] + [(k.encode(), v) for k, v in more.items()]
        self.codec.send_headers(stream_id, headers, end_stream=end)
        await self.flush()
        return stream_id

    async def next_event(self) -> h2.events.Event | None:
        """The next event, None at the end of the connection."""
        while not self._events:
            try:
                octets = await self.stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not octets:
                return None
            self._events += self.codec.receive_data(bytes(octets))
            await self.flush()
        return self._events.pop(0)

    async def finish(self, stream_id: int) -> tuple[int, bytes]:
        """Status and body of the answer on a stream; status 0 when it was reset or the connection ended."""
        status, body = 0, b""
        while (event := await self.next_event()) is not None:
            match event:
                case h2.events.ResponseReceived(stream_id=found, headers=headers) if found == stream_id:
                    status = int(dict(headers)[b":status"])
                case h2.events.DataReceived(stream_id=found, data=data) if found == stream_id:
                    body += data
                    self.codec.acknowledge_received_data(event.flow_controlled_length, found)
                    await self.flush()
                case h2.events.StreamEnded(stream_id=found) if found == stream_id:
                    return status, body
                case h2.events.StreamReset(stream_id=found) if found == stream_id:
                    return 0, body
        return 0, body


@asynccontextmanager
async def http2(running: Running) -> AsyncIterator[H2Wire]:
    """An HTTP/2 connection by prior knowledge."""
    async with await running.open() as stream:
        wire = H2Wire(stream)
        await wire.flush()
        while not isinstance(await wire.next_event(), h2.events.RemoteSettingsChanged):
            pass
        yield wire
