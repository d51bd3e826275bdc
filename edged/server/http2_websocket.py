"""A WebSocket on a stream of HTTP/2 (RFC 8441): the session's octets are DATA in both directions.

What may live here: the seam between the two, nothing of either.
"""

import contextlib

from edged.server.answers import with_date
from edged.server.exchange import Service
from edged.server.head_gate import Head
from edged.server.http1_answer import Fields
from edged.server.http2_output import Output
from edged.server.http2_request import OF_A_CONNECTION
from edged.server.http2_stream import Stream
from edged.server.limits import KIB
from edged.server.peer import Peer
from edged.server.websocket import WebSocket
from edged.server.wire import Disconnected

SHARED_BYTES = 64 * KIB  # what is longer is waited for: its session holds the frame meanwhile, for others to find


class _Channel:
    """What a session reads from and sends to."""

    def __init__(self, stream: Stream, output: Output) -> None:
        self._stream = stream
        self._output = output
        self._ended = False  # the client has ended its side

    def enter(self) -> bool:
        return True  # the stream has taken its window

    async def begin(self, status: int, fields: Fields) -> None:
        kept = [(name.lower(), value) for name, value in fields if name.lower() not in OF_A_CONNECTION]
        self._output.begin_answer(self._stream, [(b":status", b"%d" % status), *with_date(kept)], ended=False)

    async def deny(self, body: bytes, *, more: bool) -> None:
        await self.send(body)
        if not more:
            await self.end()

    async def send(self, octets: bytes) -> None:
        if octets:
            await self._stream.offer(octets)
            self._output.schedule(self._stream)
            if len(octets) > SHARED_BYTES:
                await self._stream.wait_taken()

    async def receive(self) -> bytes:
        while not self._ended:
            message = await self._stream.inbox.receive()
            self._ended = not message.get("more_body", False)
            if octets := message.get("body", b""):
                return bytes(octets)
        return b""

    async def end(self) -> None:
        """Say that nothing more comes."""
        self._stream.check()
        self._stream.ending = True
        self._output.schedule(self._stream)
        await self._stream.wait_ended()


async def serve_websocket(service: Service, peer: Peer, stream: Stream, *, head: Head, output: Output) -> None:
    """Serve a session from its extended CONNECT to the end of its stream on our side."""
    channel = _Channel(stream, output)
    await WebSocket(service, peer, head, channel=channel).run()
    with contextlib.suppress(Disconnected):
        if not stream.ended:
            await channel.end()
