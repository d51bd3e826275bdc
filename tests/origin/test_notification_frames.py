"""Frames written by hand against the notification connection, over HTTP/1.1 and over HTTP/2 (RFC 6455, RFC 8441).

Each row is what a client says after its handshake, and what it is told. One that is let go with a code of a fault has
nothing else told; whatever it is, the box serves the next one.
"""

import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import pytest
import trio

from edged.origin.notification_session import IN_FLIGHT, MOST_NOISE
from edged.server import Limits
from tests.support.box_kit import Box
from tests.support.server_kit import Running, serving
from tests.support.stow_kit import made, named
from tests.support.websocket_raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    FIN,
    PING,
    PONG,
    PROTOCOLS,
    RSV1,
    RSV2,
    RSV3,
    TEXT,
    Fields,
    Raw,
    close,
    frame,
    ping,
    raw_websocket,
    text,
)

LIMITS: Final = Limits(message_bytes=1000, linger_s=0.3, drain_s=0.5)
BYE: Final = close(1000)

Told = list[tuple[int, bytes | int | None]]
Row = tuple[bytes, Told]


def closed(code: int | None) -> Told:
    return [(CLOSE, code)]


def pong(payload: bytes) -> tuple[int, bytes]:
    return PONG, payload


FRAGMENTS: Final[dict[str, Row]] = {
    "an acknowledgement": (text(b"1") + BYE, closed(1000)),
    "an acknowledgement of octets": (frame(FIN | BINARY, b"success application/json\r\n") + BYE, closed(1000)),
    "an empty message": (text(b"") + BYE, closed(1000)),
    "fragments": (frame(TEXT, b"succ") + frame(CONTINUATION, b"ess") + frame(FIN, b"\r\n") + BYE, closed(1000)),
    "empty fragments": (frame(TEXT) + frame(CONTINUATION) * 500 + frame(FIN, b"1") + BYE, closed(1000)),
    "a ping between fragments": (
        frame(TEXT, b"suc") + ping(b"p") + frame(FIN, b"cess") + BYE,
        [pong(b"p"), (CLOSE, 1000)],
    ),
    "a pong between fragments": (
        frame(TEXT, b"suc") + frame(FIN | PONG, b"p") + frame(FIN, b"cess") + BYE,
        closed(1000),
    ),
    "a close between fragments": (frame(TEXT, b"suc") + BYE, closed(1000)),
    "a code point across fragments": (frame(TEXT, b"\xc3") + frame(FIN, b"\xa9") + BYE, closed(1000)),
    "a message within fragments": (frame(TEXT, b"suc") + text(b"1"), closed(1002)),
    "octets within a text": (frame(TEXT, b"suc") + frame(FIN | BINARY, b"1"), closed(1002)),
    "a continuation of nothing": (frame(FIN | CONTINUATION, b"1"), closed(1002)),
    "a continuation of a whole message": (text(b"1") + frame(FIN | CONTINUATION, b"1"), closed(1002)),
}
CONTROL: Final[dict[str, Row]] = {
    "a ping": (ping() + BYE, [pong(b""), (CLOSE, 1000)]),
    "a ping of 125 octets": (ping(b"p" * 125) + BYE, [pong(b"p" * 125), (CLOSE, 1000)]),
    "many pings": (ping(b"1") * 200 + BYE, [pong(b"1")] * 200 + [(CLOSE, 1000)]),
    "a pong that nobody asked for": (frame(FIN | PONG, b"?") + BYE, closed(1000)),
    "a ping of 126 octets": (ping(b"p" * 126), closed(1002)),
    "a close of 126 octets": (close(1000, b"r" * 124), closed(1002)),
    "a ping in fragments": (frame(PING, b"p"), closed(1002)),
    "a close in fragments": (frame(CLOSE, b"\x03\xe8"), closed(1002)),
}
SIZES: Final[dict[str, Row]] = {
    "a message at the limit": (frame(FIN | BINARY, b"x" * 1000) + BYE, closed(1000)),
    "a message over the limit": (frame(FIN | BINARY, b"x" * 1001), closed(1009)),
    "a text over the limit in octets": (text("é".encode() * 501), closed(1009)),
    "fragments over the limit": (frame(BINARY, b"x" * 600) + frame(FIN, b"x" * 600), closed(1009)),
    "single octets over the limit": (frame(BINARY, b"x") + frame(CONTINUATION, b"x") * 1001, closed(1009)),
    "a length in 2 octets that fits in one": (frame(FIN | TEXT, b"1", size=b"\x7e\x00\x01"), closed(1002)),
    "a length in 8 octets that fits in one": (frame(FIN | TEXT, b"1", size=b"\x7f" + b"\0" * 7 + b"\1"), closed(1002)),
    "a length beyond 63 bits": (frame(FIN | TEXT, b"", size=b"\x7f" + b"\xff" * 8), closed(1002)),
}
UTF8: Final[dict[str, Row]] = {
    f"bad UTF-8, {name}": (octets, closed(1007))
    for name, octets in {
        "whole": text(b"\xff\xfe"),
        "overlong": text(b"\xc0\xaf"),
        "a surrogate": text(b"\xed\xa0\x80"),
        "beyond Unicode": text(b"\xf4\x90\x80\x80"),
        "cut off": text(b"1\xc3"),
        "in the second fragment": frame(TEXT, b"1") + frame(FIN, b"\xff"),
        "before the message is whole": frame(TEXT, b"\xff"),
        "in the reason of a close": close(1000, b"\xff"),
    }.items()
}
MASKS: Final[dict[str, Row]] = {
    f"unmasked, {name}": (octets, closed(1002))
    for name, octets in {
        "a text": frame(FIN | TEXT, b"1", masked=False),
        "a ping": frame(FIN | PING, b"", masked=False),
        "a close": frame(FIN | CLOSE, b"\x03\xe8", masked=False),
        "a fragment": frame(TEXT, b"1") + frame(FIN, b"1", masked=False),
    }.items()
}
RESERVED: Final[dict[str, Row]] = {
    **{f"opcode {opcode}": (frame(FIN | opcode), closed(1002)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"reserved bit {bit:#x}": (frame(FIN | bit | TEXT, b"1"), closed(1002)) for bit in (RSV1, RSV2, RSV3)},
    "a reserved bit of a continuation": (frame(TEXT, b"1") + frame(FIN | RSV2, b"1"), closed(1002)),
    "a reserved bit of a ping": (frame(FIN | RSV3 | PING), closed(1002)),
    "another protocol": (b"GET / HTTP/1.1\r\nHost: box\r\n\r\n", closed(1002)),
}
CLOSES: Final[dict[str, Row]] = {
    "a close without a code": (close(), closed(None)),
    "a close of one octet": (frame(FIN | CLOSE, b"\x03"), closed(1002)),
    "a close with a reason": (close(4000, "weg, é".encode()), closed(4000)),
    "a close with the longest reason": (close(1000, b"r" * 123), closed(1000)),
    "a frame after the close": (BYE + text(b"1") + ping(), closed(1000)),
    "anything after the close": (BYE + b"\xff" * 500, closed(1000)),
    "two closes": (BYE + close(1001), closed(1000)),
    **{
        f"close code {code}": (close(code), closed(code))
        for code in (1000, 1001, 1003, 1007, 1008, 1009, 1011, 3000, 4999)
    },
    **{
        f"close code {code}": (close(code), closed(1002))
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
}
NOISE: Final[dict[str, Row]] = {
    "so much that is no acknowledgement": (text(b"hello?") * MOST_NOISE, closed(1008)),
    "a little that is no acknowledgement": (text(b"hello?") * (MOST_NOISE - 1) + BYE, closed(1000)),
}
TABLE: Final[dict[str, Row]] = {**FRAGMENTS, **CONTROL, **SIZES, **UTF8, **MASKS, **RESERVED, **CLOSES, **NOISE}


def compressed(message: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


SAID: Final = compressed(b"success\r\n")
COMPRESSED: Final[dict[str, Row]] = {
    "compressed": (frame(FIN | RSV1 | TEXT, SAID) + BYE, closed(1000)),
    "not compressed": (text(b"1") + BYE, closed(1000)),
    "compressed in fragments": (
        frame(RSV1 | TEXT, SAID[:3]) + ping(b"p") + frame(FIN, SAID[3:]) + BYE,
        [pong(b"p"), (CLOSE, 1000)],
    ),
    "a bomb": (frame(FIN | RSV1 | BINARY, compressed(bytes(10_000_000))), closed(1009)),
    "a bomb in fragments": (
        frame(RSV1 | BINARY, compressed(bytes(600)) + b"\0\0\xff\xff") * 1 + frame(FIN, compressed(bytes(600))),
        closed(1009),
    ),
    "not what was agreed": (frame(FIN | RSV1 | TEXT, b"\xff\xff"), closed(1007)),
    "bad UTF-8 in what was compressed": (frame(FIN | RSV1 | TEXT, compressed(b"\xff")), closed(1007)),
    "the bit on a continuation": (frame(RSV1 | TEXT, SAID[:3]) + frame(FIN | RSV1, SAID[3:]), closed(1002)),
    "the bit on a ping": (frame(FIN | RSV1 | PING), closed(1002)),
    "another bit": (frame(FIN | RSV1 | RSV2 | TEXT, SAID), closed(1002)),
}


@pytest.fixture
async def running(box: Box) -> AsyncIterator[Running]:
    """The box's application behind a real server that takes small messages."""
    async with serving(box.application, limits=LIMITS) as server:
        yield server


async def told(running: Running, over: str, octets: bytes, *, early: bool, fields: Fields = ()) -> Told:
    """What a client is told that says this at once, or once it is accepted."""
    async with raw_websocket(running, over, fields=fields, octets=octets if early else b"") as client:
        if not early:
            await client.send(octets)
        return [(each.opcode, each.code if each.opcode == CLOSE else each.payload) for each in await client.rest()]


async def check(
    box: Box, running: Running, over: str, *, table: dict[str, Row], early: bool = False, deflate: bool = False
) -> None:
    fields = [DEFLATE] if deflate else []
    async with raw_websocket(running, over, "/?granularity=instance") as witness:
        found = {
            name: await told(running, over, octets, early=early, fields=fields) for name, (octets, _) in table.items()
        }
        assert found == {name: expected for name, (_, expected) in table.items()}
        assert running.server.counters.failed == 0
        await box.stow(made(named(1)))
        said = await witness.next()
        assert said is not None
        assert named(1).instance.encode() in said.payload


@pytest.mark.parametrize("over", PROTOCOLS)
@pytest.mark.parametrize("early", [False, True], ids=["after the handshake", "with the handshake"])
async def test_each_row(box: Box, running: Running, over: str, early: bool) -> None:
    await check(box, running, over, table=TABLE, early=early)


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_each_row_with_compression(box: Box, running: Running, over: str) -> None:
    plain = {name: row for name, row in TABLE.items() if name != f"reserved bit {RSV1:#x}"}
    await check(box, running, over, table=plain | COMPRESSED, deflate=True)


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_fragments_are_an_acknowledgement(box: Box, running: Running, over: str) -> None:
    path = "/subscribers/NIGHT?granularity=instance"
    await box.stow(made(named(1)))
    async with raw_websocket(running, over, path) as client:
        await box.stow(made(named(2)), made(named(3)))
        assert named(2).instance.encode() in await report(client)
        assert named(3).instance.encode() in await report(client)
        await client.send(frame(TEXT, b"suc"), ping(), frame(FIN, b"cess\r\n"), close(1000))
        assert [each.opcode for each in await client.rest()] == [PONG, CLOSE]
    async with raw_websocket(running, over, path) as client:
        assert named(3).instance.encode() in await report(client)


async def report(client: Raw) -> bytes:
    """The next report."""
    said = await client.next()
    assert said is not None
    assert said.opcode == TEXT
    return said.payload


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_a_close_while_reports_are_on_their_way(box: Box, running: Running, over: str) -> None:
    async with raw_websocket(running, over, "/?granularity=instance") as client:
        await box.stow(*(made(named(number), size=600) for number in range(200)))
        await client.send(close(1000))
        *reports, last = await client.rest()
        assert {each.opcode for each in reports} <= {TEXT}
        assert last.code == 1000


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_a_close_with_as_many_in_flight_as_may_be(box: Box, running: Running, over: str) -> None:
    async with raw_websocket(running, over, "/subscribers/NIGHT?granularity=instance") as client:
        await box.stow(*(made(named(number), size=600) for number in range(IN_FLIGHT + 5)))
        for _ in range(IN_FLIGHT):
            await report(client)
        await client.send(close(1000))
        assert [each.code for each in await client.rest()] == [1000]


@pytest.mark.parametrize("over", PROTOCOLS)
@pytest.mark.parametrize(
    "answer",
    [b"", close(1001), text(b"1") * 20 + close(1001), b"\xff" * 100, close(1000) * 3],
    ids=["nothing", "the same", "messages before it", "no frames", "three closes"],
)
async def test_the_box_closes_and_the_client_answers_what_it_likes(running: Running, over: str, answer: bytes) -> None:
    async with raw_websocket(running, over) as client:
        running.shutdown.set()
        said = await client.next()
        assert said is not None
        assert said.code == 1001
        await client.send(answer)
        assert await client.rest() == []
    await running.ended.wait()
    assert running.server.counters.failed == 0


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_both_close_at_the_same_time(running: Running, over: str) -> None:
    async with raw_websocket(running, over) as client:
        running.shutdown.set()
        await client.send(close(4000))
        said = await client.rest()
        assert [each.opcode for each in said] == [CLOSE]
        assert said[0].code in {1001, 4000}


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_a_client_that_is_half_gone_is_asked_and_let_go(box: Box, over: str) -> None:
    limits = Limits(websocket_ping_s=0.1, websocket_pong_s=0.1, linger_s=0.1)
    async with serving(box.application, limits=limits) as running:
        async with raw_websocket(running, over) as client:
            assert [each.opcode for each in await client.rest()] == [PING]
        async with raw_websocket(running, over, fields=[DEFLATE]) as client:
            await client.send(frame(TEXT, b"half a mess"))
            assert [each.opcode for each in await client.rest()] == [PING]


async def test_what_comes_after_a_fault_is_not_held(running: Running) -> None:
    """Whether it comes after the box's close frame or before it has one: nothing of it is looked at."""
    many = bytes(1 << 20)
    tracemalloc.start()
    try:
        for closing in (False, True):
            async with raw_websocket(running, PROTOCOLS[0]) as client:
                if closing:
                    running.shutdown.set()
                    assert (await client.next()) is not None
                await client.send(b"\xff" * 100)
                tracemalloc.reset_peak()
                with suppress(trio.BrokenResourceError):
                    for _ in range(40):
                        await client.send(many)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
