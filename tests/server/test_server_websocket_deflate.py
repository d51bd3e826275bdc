"""Compressed messages over real sockets: negotiated where a client offers it, small ones as they are, bombs refused."""

import zlib
from contextlib import AsyncExitStack

import pytest

from edged.server import Limits, websocket_frames
from edged.server.websocket_deflate import deflated
from tests.support.server_kit import serving, sink
from tests.support.websocket_raw import (
    BINARY,
    CLOSE,
    DEFLATE,
    FIN,
    PROTOCOLS,
    RSV1,
    TEXT,
    Said,
    close,
    frame,
    raw_websocket,
    text,
)

EXTENSIONS = b"sec-websocket-extensions"
LINE = b"a line of many. " * 100


def compressed(message: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_without_an_offer_nothing_is_compressed(over: str) -> None:
    async with serving(sink) as running, raw_websocket(running, over) as client:
        assert EXTENSIONS not in client.answered
        await client.send(text(LINE))
        assert await client.next() == Said(FIN | TEXT, LINE)
        await client.send(close(1000))
        assert await client.rest() == [Said(FIN | CLOSE, b"\x03\xe8")]


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_large_messages_are_compressed_and_small_ones_are_not(over: str) -> None:
    async with serving(sink) as running, raw_websocket(running, over, fields=[DEFLATE]) as client:
        wanted = b"permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        assert client.answered[EXTENSIONS] == wanted
        small = frame(FIN | RSV1 | TEXT, compressed(b"small"))
        await client.send(frame(FIN | RSV1 | TEXT, compressed(LINE)), small, text(LINE), frame(FIN | BINARY, LINE))
        first, second, third, fourth = [await client.next() for _ in range(4)]
        assert first is not None
        assert third is not None
        assert fourth is not None
        assert second == Said(FIN | TEXT, b"small")
        assert (first.first, fourth.first) == (FIN | RSV1 | TEXT, FIN | RSV1 | BINARY)
        assert first == third
        assert len(first.payload) < 100
        for said in (first, third, fourth):  # each by itself: no context is taken over
            assert zlib.decompressobj(-15).decompress(said.payload + b"\0\0\xff\xff") == LINE


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_a_window_that_the_client_asks_for(over: str) -> None:
    offer = (EXTENSIONS, b"permessage-deflate; server_max_window_bits=9")
    message = LINE * 6
    async with serving(sink) as running, raw_websocket(running, over, fields=[offer]) as client:
        assert client.answered[EXTENSIONS].endswith(b"; server_max_window_bits=9")
        await client.send(frame(FIN | RSV1 | BINARY, compressed(message)))
        said = await client.next()
        assert said is not None
        assert said.first == FIN | RSV1 | BINARY
        assert zlib.decompressobj(-9).decompress(said.payload + b"\0\0\xff\xff") == message


@pytest.mark.parametrize("over", PROTOCOLS)
async def test_a_message_is_as_large_as_what_it_becomes(over: str) -> None:
    limits = Limits(message_bytes=1000, linger_s=0.2)
    async with serving(sink, limits=limits) as running:
        for size, code in ((1000, 1000), (1001, 1009), (10_000_000, 1009)):
            async with raw_websocket(running, over, fields=[DEFLATE]) as client:
                await client.send(frame(FIN | RSV1 | BINARY, compressed(bytes(size))), close(1000))
                assert (await client.rest())[-1].code == code
        assert running.server.counters.failed == 0


async def test_what_many_sessions_are_sent_is_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def counting(octets: bytes, window_bits: int) -> bytes:
        made.append(octets)
        return deflated(octets, window_bits)

    monkeypatch.setattr(websocket_frames, "deflated", counting)
    async with serving(sink) as running, AsyncExitStack() as stack:
        found = []
        for number in range(50):
            opened = raw_websocket(running, PROTOCOLS[number % 2], fields=[DEFLATE])
            client = await stack.enter_async_context(opened)
            await client.send(text(LINE))
            found.append(await client.next())
        assert found == [found[0]] * 50
    assert made == [LINE]
