"""What costs a client little and a server much: each ends its connection, and no other one notices."""

from collections.abc import Callable

import hpack
import pytest
import trio

from edged.server import Limits
from tests.support.http2_raw import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    POST,
    PRIORITY,
    RST_STREAM,
    WHOLE,
    WINDOW_UPDATE,
    RawHTTP2,
    Seen,
    block,
    data,
    frame,
    headers,
    raw_http2,
    rst_stream,
    settings,
    window_update,
)
from tests.support.server_kit import Message, Running, http2, serving, sink

ENHANCE_YOUR_CALM = 11
QUICK = Limits(linger_s=0.1, drain_s=0.5)
UNKNOWN = [(b":method", b"X"), *GET[1:]]
NEVER = [*POST[:3], (b":path", b"/never")]


def many(one: bytes) -> Callable[[int], bytes]:
    return lambda _: one


FLOODS: dict[str, Callable[[int], bytes]] = {
    "rapid reset": lambda n: headers(2 * n + 101, NEVER, END_HEADERS) + rst_stream(2 * n + 101),
    "rapid reset of whole requests": lambda n: headers(2 * n + 101) + rst_stream(2 * n + 101),
    "resets that the server is made to send": lambda n: (
        headers(2 * n + 101, NEVER, END_HEADERS) + window_update(2 * n + 101, 0)
    ),
    "requests that are none": lambda n: headers(2 * n + 101, [(b"A", b"b")]),
    "requests that the server refuses": lambda n: headers(2 * n + 101, UNKNOWN),
    "streams beyond the limit": lambda n: headers(2 * n + 101, NEVER, END_HEADERS),
    "SETTINGS": many(settings((4, 65_535))),
    "SETTINGS without settings": many(settings()),
    "PING": many(frame(PING, 0, 0, bytes(8))),
    "PRIORITY": lambda n: frame(PRIORITY, 0, 2 * n + 1, bytes(5)),
    "WINDOW_UPDATE of the connection": many(window_update(0, 1)),
    "WINDOW_UPDATE of a stream": many(window_update(1, 1)),
    "empty DATA": many(data(1, b"", 0)),
    "DATA of padding": many(data(1, b"\x04\0\0\0\0", PADDED)),
    "unknown frames": many(frame(0x42, 0, 0, b"x")),
    "late HEADERS": many(headers(3)),
    "crumbs of late DATA": many(data(3, b"x", 0)),
    "late DATA beyond its window": many(data(3, bytes(16_384), 0)),
    "GOAWAY": many(frame(GOAWAY, 0, 0, bytes(8))),
}


async def app(scope: Message, receive: object, send: object) -> None:
    """Answers all but /never, whose requests it goes on reading."""
    if scope["path"] != "/never":
        await sink(scope, receive, send)
        return
    assert callable(receive)
    while (await receive())["type"] != "http.disconnect":
        pass


async def flood(wire: RawHTTP2, one: Callable[[int], bytes]) -> None:
    """Send until the server does not take it any more; no more frames than a window has octets."""
    for begin in range(0, 65_000, 50):
        try:
            await wire.send(*(one(number) for number in range(begin, begin + 50)))
        except trio.BrokenResourceError:
            return
        await trio.lowlevel.checkpoint()


async def last_words(running: Running, begin: bytes, one: Callable[[int], bytes]) -> Seen:
    """The GOAWAY by which a flooded connection ends, while another one is served."""
    async with http2(running) as other, raw_http2(running) as wire:
        await wire.send(begin)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, wire, one)
            seen = await wire.wait_for(GOAWAY)
            assert await other.finish(await other.request()) == (200, b"0")
            nursery.cancel_scope.cancel()
    assert seen is not None
    return seen


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_ends_its_connection(name: str) -> None:
    begin = headers(1, NEVER, END_HEADERS)
    if name == "late HEADERS":
        begin += headers(3, NEVER, END_HEADERS) + rst_stream(3)
    elif "late DATA" in name:
        begin += headers(3, NEVER, END_HEADERS) + window_update(3, 0)  # which the server resets
    async with serving(app, limits=QUICK) as running:
        assert (await last_words(running, begin, FLOODS[name])).code == ENHANCE_YOUR_CALM
        assert running.server.counters.failed == 0


@pytest.mark.parametrize("piece", [b"", b"x" * 4000])
async def test_a_field_block_without_end(piece: bytes) -> None:
    async with serving(app, limits=QUICK) as running:
        begin = headers(1, GET, END_STREAM)
        seen = await last_words(running, begin, many(frame(CONTINUATION, 0, 1, piece)))
        assert seen.code == ENHANCE_YOUR_CALM


async def test_a_small_block_that_would_become_large() -> None:
    encoder = hpack.Encoder()
    large = encoder.encode([*GET, (b"a", b"x" * 3000)], huffman=False)
    async with serving(app, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(frame(HEADERS, WHOLE, 1, large))
        assert await wire.status(1) == 200
        await wire.send(frame(HEADERS, WHOLE, 3, encoder.encode(GET) + b"\xbe" * 8000))
        seen = await wire.wait_for(GOAWAY)
        assert seen is not None
        assert seen.code == ENHANCE_YOUR_CALM


async def test_a_client_that_reads_nothing_is_not_answered_without_end() -> None:
    large, answered = [(b"x-large", b"x" * 10_000)], []

    async def head_only(scope: Message, receive: object, send: object) -> None:
        assert callable(send)
        await send({"type": "http.response.start", "status": 204, "headers": large})
        await send({"type": "http.response.body"})
        answered.append(scope["path"])

    limits = Limits(linger_s=0.1, drain_s=0.2)
    async with serving(head_only, limits=limits) as running, raw_http2(running) as wire:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, wire, lambda n: headers(2 * n + 1) if n < 4000 else b"")
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert len(answered) < 2000  # what socket buffers take of them
            nursery.cancel_scope.cancel()
        assert running.server.counters.failed == 0


async def test_an_honest_client_may_open_its_windows_as_often_as_it_reads() -> None:
    size = 2_000_000

    async def large(scope: Message, receive: object, send: object) -> None:
        assert callable(send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(size)})

    async with serving(large, limits=QUICK) as running, raw_http2(running) as wire:
        await wire.send(settings((4, 1000)), headers(1))
        left = size
        while left:
            seen = await wire.wait_for(DATA, GOAWAY, RST_STREAM)
            assert seen is not None
            assert seen.kind == DATA
            left -= len(seen.payload)
            await wire.send(window_update(0, len(seen.payload)), window_update(1, len(seen.payload)))


async def test_an_honest_client_may_make_many_requests_and_give_some_up() -> None:
    async with serving(app, limits=Limits(connection_requests=100_000)) as running, raw_http2(running) as wire:
        for number in range(1, 4001, 2):
            await wire.send(
                window_update(0, 1), headers(number), window_update(number, 1), frame(PRIORITY, 0, number, bytes(5))
            )
            assert await wire.status(number) == 200
            if number % 20 == 1:
                await wire.send(rst_stream(number))


async def test_an_honest_client_may_send_late_what_its_window_held() -> None:
    async with serving(app, limits=Limits(stream_window_bytes=1 << 20)) as running, raw_http2(running) as wire:
        for number in range(1, 81, 2):
            await wire.send(headers(number, NEVER, END_HEADERS))
            assert await wire.wait_for(WINDOW_UPDATE, stream_id=number)
            late = [data(number, bytes(1024), 0)] * 1024  # a whole window, 40 times: more frames than there is patience
            await wire.send(window_update(number, 0), *late)
            assert await wire.wait_for(RST_STREAM, stream_id=number)
        await wire.send(headers(101))
        assert await wire.status(101) == 200


async def test_what_strangers_cause_is_logged_once_in_a_while(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serving(app, limits=QUICK) as running, raw_http2(running) as wire:
        for number in range(1, 201, 4):
            await wire.send(headers(number, UNKNOWN), headers(number + 2, [(b"A", b"b")]))
            assert await wire.status(number) == 501
        await wire.send(frame(PING, 0, 0, bytes(8)))
        await wire.wait_for(PING)  # all that came before it has been read
        assert running.server.counters.malformed == 100
    assert len(caplog.records) == 2


def test_blocks_are_made_as_they_are_read() -> None:
    fields = [(b"a", b"b" * length) for length in (0, 1, 126, 127, 128, 300)]
    assert hpack.Decoder().decode(block(fields), raw=True) == fields
