"""Any octets, in any pieces: a connection ends, and nothing comes out of it but answers.

Whole connections over socket pairs, so that every layer is real; one trio run for each example.
"""

import trio
from hypothesis import example, given
from hypothesis import strategies as st

from edged.server import Limits
from edged.server.exchange import Service
from edged.server.http1 import HTTP1Connection
from edged.server.http2 import HTTP2Connection
from edged.server.peer import peer_of
from edged.server.wire import Wire
from tests.support.server_kit import TO_HTTP2, TO_WEBSOCKET, read_all, sink

LIMITS = Limits(head_s=5, body_s=5, linger_s=0.2, drain_s=1)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: box\r\n"
FRAGMENTS = [
    b"GET / HTTP/1.1\r\nHost: box\r\n\r\n",
    POST + b"Content-Length: 5\r\n\r\nabcde",
    POST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n",
    b"5\r\nabcde\r\n",
    b"0\r\n\r\n",
    b"fffffffffffffffff\r\n",
    b"GET /early HTTP/1.0\r\n\r\n",
    TO_HTTP2,
    TO_WEBSOCKET,
    b"\x81\x82\x00\x00\x00\x00hi",
    b"\x88\x80\x00\x00\x00\x00",
    b"\xff",
    PREFACE,
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # SETTINGS
    b"\x00\x00\x04\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41",  # HEADERS, broken
    b"\x00\x00\x08\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x03box",  # HEADERS, a GET
    b"\x00\x00\x08\x01\x04\x00\x00\x00\x03\x83\x86\x84\x41\x03box",  # HEADERS, a POST
    b"\x00\x00\x03\x00\x01\x00\x00\x00\x03abc",  # DATA, the last
    b"\x00\x00\x05\x00\x08\x00\x00\x00\x03\x03ab\x00\x00",  # DATA, padded
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # WINDOW_UPDATE by nothing
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08",  # RST_STREAM
    b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # GOAWAY
    b"\x00\x00\x00\x09\x04\x00\x00\x00\x01",  # CONTINUATION
]
streams = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=8)


async def serve_octets(octets: bytes, cuts: list[int]) -> bytes:
    """What comes back from a connection that gets `octets`, cut where `cuts` say, and then the end."""
    ours, theirs = trio.socket.socketpair()
    answers = b""

    async def client() -> None:
        nonlocal answers
        begin = 0
        async with trio.SocketStream(theirs) as stream, trio.open_nursery() as nursery:

            async def receive() -> None:
                nonlocal answers
                answers = await read_all(stream)

            nursery.start_soon(receive)
            try:
                for cut in [*sorted(cuts), len(octets)]:
                    await stream.send_all(octets[begin:cut])
                    begin = max(begin, cut)
                await stream.send_eof()
            except trio.BrokenResourceError:
                pass

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            stream = trio.SocketStream(ours)
            wire, service = Wire(stream, write_s=5), Service.of(sink, LIMITS)
            start = await HTTP1Connection(wire, peer_of(stream), service).run()
            if start is not None:
                await HTTP2Connection(wire, peer_of(stream), service).run(start)
            await wire.close()
    return answers


@given(streams, st.lists(st.integers(0, 200), max_size=4))
@example([PREFACE, *FRAGMENTS[14:15], *FRAGMENTS[16:20]], [])
@example([TO_HTTP2, PREFACE, FRAGMENTS[14]], [])
@example([TO_WEBSOCKET, *FRAGMENTS[10:13]], [])
def test_a_connection_ends_and_raises_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    octets = b"".join(pieces)
    answers = trio.run(serve_octets, octets, [min(cut, len(octets)) for cut in cuts])
    assert answers[:5] in {b"", b"HTTP/", b"\x00\x00\x18\x04\x00"} or answers[3:4] == b"\x04"


def test_one_octet_at_a_time() -> None:
    octets = b"".join(FRAGMENTS[:6]) + b"GET / HTTP/1.0\r\n\r\n"
    whole = trio.run(serve_octets, octets, [])
    single = trio.run(serve_octets, octets, list(range(len(octets))))
    assert whole.count(b"HTTP/1.1 200 OK") == single.count(b"HTTP/1.1 200 OK") > 0
