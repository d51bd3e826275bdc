"""Thousands of connections with mutated and random HTTP/2 at a live server in its own process.

The process lives, nothing in it fails, what it held comes back, and honest requests are answered meanwhile.
`EDGED_FUZZ_CONNECTIONS=200000` makes it longer, `EDGED_FUZZ_SEED=1` another run; both are in the failure's text.
"""

import os
import random
from itertools import pairwise

import trio

from tests.support.http2_raw import (
    ACK,
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    POST,
    PREFACE,
    PRIORITY,
    PRIORITY_GIVEN,
    WHOLE,
    block,
    data,
    frame,
    headers,
    rst_stream,
    settings,
    window_update,
)
from tests.support.server_kit import read_all
from tests.support.sink_server import Sink, sink_process

CONNECTIONS = int(os.environ.get("EDGED_FUZZ_CONNECTIONS", "3000"))
SEED = int(os.environ.get("EDGED_FUZZ_SEED", "0"))
AT_ONCE = 40
PATIENCE_S = 1.0
"""Of a client that waits for the end of its connection."""

GROWN_MIB = 16.0
"""What a process may have more after the second half of the connections than after the first."""

WEBSOCKET = [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket"), (b"sec-websocket-version", b"13")]
FRAMES = [
    headers(1),
    headers(1, POST, END_HEADERS),
    headers(3, POST, END_HEADERS),
    headers(5, [*GET[:3], (b":path", b"/early")]),
    headers(7, [*GET[:3], (b":path", b"/large")]),
    headers(9, WEBSOCKET, END_HEADERS),
    headers(11, GET, END_STREAM),
    frame(CONTINUATION, END_HEADERS, 11, block([(b"a", b"b")])),
    frame(HEADERS, WHOLE | PADDED | PRIORITY_GIVEN, 13, b"\x02" + bytes(5) + block(GET) + bytes(2)),
    data(1, b"abc", 0),
    data(3, bytes(5000)),
    data(9, b"\x81\x82\x00\x00\x00\x00hi", 0),
    data(9, b"\x88\x80\x00\x00\x00\x00"),
    data(3, b"\x02ab\0\0", PADDED),
    headers(3, [(b"trailer", b"1")]),
    settings((1, 0), (4, 10), (5, 20_000)),
    settings((4, 1 << 20)),
    frame(4, ACK, 0),
    window_update(0, 1 << 20),
    window_update(7, 1 << 20),
    rst_stream(3),
    frame(PING, 0, 0, b"12345678"),
    frame(PRIORITY, 0, 5, bytes(5)),
    frame(GOAWAY, 0, 0, bytes(8)),
]


def mutated(random_: random.Random) -> bytes:
    """A connection that begins well, and then has frames in any order, some of them damaged."""
    pieces = [PREFACE, settings()] if random_.random() < 0.95 else [PREFACE]
    for _ in range(random_.randrange(1, 20)):
        octets = bytearray(random_.choice(FRAMES))
        at = random_.randrange(len(octets))
        match random_.randrange(10):
            case 0:
                octets[at] = random_.randrange(256)
            case 1:
                octets[random_.randrange(9)] = random_.randrange(256)
            case 2:
                octets[8] = random_.randrange(20)  # another stream
            case 3:
                octets[at:at] = random_.randbytes(random_.randrange(20))
            case 4:
                del octets[at:]
            case 5:
                octets = bytearray(random_.randbytes(random_.randrange(200)))
            case 6:
                octets *= random_.choice([2, 50])
        pieces.append(bytes(octets))
    return b"".join(pieces)


async def throw(port: int, random_: random.Random) -> None:
    """One connection: octets in some pieces, then a close, an end of sending, or patience."""
    octets = mutated(random_)
    cuts = sorted(random_.randrange(len(octets) + 1) for _ in range(random_.randrange(4)))
    ending = random_.randrange(10)
    answers = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            for begin, end in pairwise([0, *cuts, len(octets)]):
                await stream.send_all(octets[begin:end])
                await trio.lowlevel.checkpoint()
            if ending < 4:
                return
            if ending < 9:
                await stream.send_eof()
            with trio.move_on_after(PATIENCE_S):
                answers = await read_all(stream)
        except trio.BrokenResourceError:
            return
    assert answers == b"" or answers[3:4] == b"\x04", answers[:100]


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


async def test_mutated_frames_hurt_nobody() -> None:
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
