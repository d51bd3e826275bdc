"""Thousands of connections with random and mutated HTTP/1 at a live server in its own process.

The process lives, nothing in it fails, what it held comes back, and honest requests are answered meanwhile.
`EDGED_FUZZ_CONNECTIONS=200000` makes it longer, `EDGED_FUZZ_SEED=1` another run; both are in the failure's text.
"""

import os
import random
import socket
import struct
from enum import Enum, auto
from pathlib import Path

import trio

from tests.support.server_kit import read_all
from tests.support.sink_server import Sink, sink_process

CONNECTIONS = int(os.environ.get("EDGED_FUZZ_CONNECTIONS", "3000"))
SEED = int(os.environ.get("EDGED_FUZZ_SEED", "0"))
AT_ONCE = 40
PATIENCE_S = 1.0
"""Of a client that waits for the end of its connection."""

GROWN_MIB = 16.0
"""What a process may have more after the second half of the connections than after the first."""


class Ending(Enum):
    """How a client ends."""

    RESET = auto()
    CLOSE = auto()
    HALF = auto()  # it sends no more, and reads
    PATIENT = auto()  # it waits for the server to end


ENDINGS = [Ending.RESET] * 2 + [Ending.CLOSE] * 2 + [Ending.HALF] * 5 + [Ending.PATIENT]
RESET = struct.pack("ii", 1, 0)
CORPUS = Path(__file__).parent / "gunicorn_corpus"
POST = b"POST /a HTTP/1.1\r\nHost: box\r\n"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\n\r\n"
)
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: box\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
WHOLE = [
    b"GET /a?b=c HTTP/1.1\r\nHost: box\r\nAccept: text/plain\r\n\r\n",
    b"HEAD http://box:80/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    POST + b"Content-Length: 12\r\nExpect: 100-continue\r\n\r\nabcdefghijkl",
    POST + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nabcde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\n",
    UPGRADE + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    WEBSOCKET + b"\x81\x82\x00\x00\x00\x00hi",
    *(file.read_bytes().replace(b"\n", b"").replace(b"\\r\\n", b"\r\n") for file in sorted(CORPUS.rglob("*.http"))),
]
TOKENS = [b"\r\n", b"\r", b"\n", b":", b" ", b"\x00", b"0", b"ffffffff", b"\xff" * 9, b"Content-Length: 1\r\n", b"%"]


def mutated(random_: random.Random) -> bytes:
    """Octets that were a request, or never were."""
    if random_.random() < 0.05:
        return random_.randbytes(random_.randrange(1, 3000))
    octets = bytearray(random_.choice(WHOLE))
    for _ in range(random_.randrange(6)):
        at = random_.randrange(len(octets) + 1)
        end = min(len(octets), at + random_.randrange(1, 20))
        match random_.randrange(5):
            case 0:
                del octets[at:end]
            case 1:
                octets[at:at] = random_.choice(TOKENS)
            case 2:
                octets[at:end] = random_.randbytes(end - at)
            case 3:
                octets[at:at] = octets[at:end] * random_.choice([1, 2, 1000])
            case _:
                octets[at:] = random_.choice(WHOLE)[at:]
    return bytes(octets)


async def throw(port: int, random_: random.Random) -> None:
    """One connection: octets in some pieces, then one of the ways to end."""
    octets = mutated(random_)
    cuts = sorted(random_.randrange(len(octets) + 1) for _ in range(random_.randrange(4)))
    ending = random_.choice(ENDINGS)
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
                await stream.send_all(octets[begin:end])
                await trio.lowlevel.checkpoint()
            if ending is Ending.RESET:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif ending is Ending.HALF:
                await stream.send_eof()
            if ending in {Ending.RESET, Ending.CLOSE}:
                return
            answers = b""
            with trio.move_on_after(PATIENCE_S):
                answers = await read_all(stream)
        except trio.BrokenResourceError:
            return
    assert answers[:9] in {b"", b"HTTP/1.1 "} or answers[3:4] == b"\x04", answers[:100]


async def honest(server: Sink, done: list[int]) -> None:
    while True:
        await server.upload(300_000)
        done.append(1)


async def throw_many(port: int, random_: random.Random, count: int) -> None:
    """So many connections, AT_ONCE of them at a time."""
    left = iter(range(count))

    async def thrower() -> None:
        for _ in left:
            await throw(port, random_)

    async with trio.open_nursery() as nursery:
        for _ in range(AT_ONCE):
            nursery.start_soon(thrower)


async def test_random_and_mutated_requests_hurt_nobody() -> None:
    random_, done = random.Random(SEED), list[int]()
    async with sink_process() as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(honest, server, done)
            await throw_many(server.port, random_, CONNECTIONS // 2)
            first_mib = server.resident_mib
            await throw_many(server.port, random_, CONNECTIONS // 2)
            nursery.cancel_scope.cancel()
        counted = await server.settle()
        assert counted["failed"] == 0
        assert counted["malformed"] > CONNECTIONS // 10
        assert done
        await server.upload(1000)
        assert server.descriptors < AT_ONCE
        assert server.resident_mib - first_mib < GROWN_MIB
