"""Whole connections of the server: HTTP/1 and what it switches to, HTTP/2, and WebSocket sessions.

What may live here: running one, with a real service behind it. A connection has a pair of sockets; a session has its
channel in memory, so that its clock is virtual. Whatever a connection's task raises is a finding.
"""

from typing import Any

import trio
import trio.testing
from wsproto.connection import Connection, ConnectionType
from wsproto.extensions import PerMessageDeflate

from edged.server import Limits
from edged.server.exchange import Service
from edged.server.head_gate import Head, check_head
from edged.server.http1 import HTTP1Connection
from edged.server.http1_answer import Fields
from edged.server.http2 import HTTP2Connection
from edged.server.peer import Peer, peer_of
from edged.server.websocket import WebSocket
from edged.server.websocket_deflate import Agreed, deflated
from edged.server.wire import Disconnected, Wire
from tests.fuzz.corpus import gunicorn_corpus
from tests.fuzz.target import Target, cuts_of, however_cut
from tests.support.http2_samples import CONNECTIONS
from tests.support.server_kit import TO_HTTP2, TO_WEBSOCKET, read_all, sink

LIMITS = Limits(head_s=5, body_s=5, linger_s=0.1, drain_s=1, message_bytes=200)
WITHIN_S = 20
HANDSHAKE = check_head(TO_WEBSOCKET)
COMPRESSING = check_head(TO_WEBSOCKET.removesuffix(b"\r\n") + b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
HTTP2_ANSWER = b"\x00\x00"
"""What an HTTP/2 answer begins with: SETTINGS, or a GOAWAY of that size."""


def connection(data: bytes) -> None:
    """A connection ends, nothing fails in it, and it has sent answers of HTTP/1.1 or frames of HTTP/2."""
    pieces = list(cuts_of(data))[1]
    answers = trio.run(_served, pieces)
    assert answers[:9] in {b"", b"HTTP/1.1 "} or answers[:2] == HTTP2_ANSWER


async def _served(pieces: list[bytes]) -> bytes:
    ours, theirs = (trio.SocketStream(end) for end in trio.socket.socketpair())
    answers, failures = list[bytes](), list[Exception]()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        try:
            await sink(scope, receive, send)
        except Disconnected:
            raise
        except Exception as error:
            failures.append(error)
            raise

    async def receive() -> None:
        answers.append(await read_all(theirs))

    async def send() -> None:
        try:
            for piece in pieces:
                await theirs.send_all(piece)
            await theirs.send_eof()
        except trio.BrokenResourceError:
            pass

    with trio.fail_after(WITHIN_S):
        async with theirs, trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            nursery.start_soon(send)
            wire, service = Wire(ours, write_s=WITHIN_S), Service.of(application, LIMITS)
            start = await HTTP1Connection(wire, peer_of(ours), service).run()
            if start is not None:
                await HTTP2Connection(wire, peer_of(ours), service).run(start)
            await wire.close()
    assert not failures
    return b"".join(answers)


class Memory:
    """The channel of a session whose client says `pieces` and ends."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)
        self.sent = b""

    def enter(self) -> bool:
        return True

    async def begin(self, status: int, fields: Fields) -> None:
        assert status == 101

    async def deny(self, body: bytes, *, more: bool) -> None:
        raise AssertionError("a sound handshake was denied")

    async def send(self, octets: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.sent += octets

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return next(self._pieces, b"")


def websocket(data: bytes) -> None:
    """The same messages, none too long, however the octets are cut; and what is sent is frames of a server."""
    messages = however_cut(data, _session)
    assert all(len(message.get("bytes") or message.get("text", "").encode()) <= 200 for message in messages)
    assert [message["type"] for message in messages[-1:]] == ["websocket.disconnect"]


def websocket_deflate(data: bytes) -> None:
    """The same of a session that has negotiated compression, but that a fault may be met as another one."""
    messages = however_cut(data, _compressing)
    assert all(len(message.get("bytes") or message.get("text", "").encode()) <= 200 for message in messages)


def _session(pieces: list[bytes]) -> list[dict[str, Any]]:
    return trio.run(_follow, pieces, HANDSHAKE, clock=trio.testing.MockClock(autojump_threshold=0))


def _compressing(pieces: list[bytes]) -> list[dict[str, Any]]:
    *messages, end = trio.run(_follow, pieces, COMPRESSING, clock=trio.testing.MockClock(autojump_threshold=0))
    assert end["type"] == "websocket.disconnect"
    return messages


async def _follow(pieces: list[bytes], handshake: Head) -> list[dict[str, Any]]:
    channel, messages = Memory(pieces), list[dict[str, Any]]()

    async def echo(_: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while True:
            messages.append(message := await receive())
            if message["type"] == "websocket.disconnect":
                return
            try:
                await send({**message, "type": "websocket.send"})
            except Disconnected:  # what came before the end is still to be taken
                continue

    with trio.fail_after(10 * WITHIN_S):
        service = Service.of(echo, LIMITS)
        await WebSocket(service, Peer(None, None, secure=False), handshake, channel=channel).run()
    extension = PerMessageDeflate()
    if handshake is COMPRESSING:
        extension.finalize(Agreed().answer)
    client = Connection(ConnectionType.CLIENT, [extension])
    client.receive_data(channel.sent)
    list(client.events())
    return messages


def _masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    return bytes([(0x80 if final else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


_TEXT, _BYTES, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10

SESSIONS = (
    _masked(_TEXT, "hé".encode()) + _masked(_PING, b"?") + _masked(_CLOSE, b"\x03\xe8bye"),
    _masked(_TEXT, b"a\xe2", final=False) + _masked(_PONG, b"") + _masked(0, b"\x82\xac") + _masked(_CLOSE, b""),
    _masked(_BYTES, b"x" * 100, final=False) + _masked(0, b"x" * 101),
    b"\x82\xfe\x01\x00" + bytes(4 + 256),
)

_SMALLER = deflated(b"x" * 150, 15)
COMPRESSED = (
    _masked(0x40 | _TEXT, _SMALLER) + _masked(_CLOSE, b""),
    _masked(0x40 | _TEXT, _SMALLER[:2], final=False) + _masked(_PING, b"") + _masked(0, _SMALLER[2:]),
    _masked(0x40 | _BYTES, deflated(bytes(10_000), 15)),
    *SESSIONS[:2],
)

_PLAIN = b"POST /a HTTP/1.1\r\nHost: box\r\n"

TARGETS = (
    Target(
        "connection",
        connection,
        (
            *CONNECTIONS,
            _PLAIN + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde" + b"GET /early HTTP/1.0\r\n\r\n",
            _PLAIN + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: box\r\n\r\n",
            TO_HTTP2 + CONNECTIONS[0],
            TO_WEBSOCKET + SESSIONS[0],
            *gunicorn_corpus()[::4],
        ),
        slow=True,
    ),
    Target("websocket", websocket, SESSIONS, slow=True),
    Target("websocket-deflate", websocket_deflate, COMPRESSED, slow=True),
)
