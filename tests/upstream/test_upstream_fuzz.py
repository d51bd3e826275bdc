"""Whatever bytes a peer sends, in whatever portions: a response or NoAnswer, and nothing else.

The peer is a pair of connected sockets within the test, so that an example takes no more than a moment.
"""

import socket
from collections.abc import Iterator
from itertools import pairwise

import h2.config
import h2.connection
import trio
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import example, given
from hypothesis import strategies as st

from edged.upstream.dial import Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.http1 import Http1Connection
from edged.upstream.http2 import Http2Connection
from edged.upstream.message import BytesBody, NoAnswer, Request, Response
from edged.upstream.transport import Transport

ENDPOINT = Endpoint("http", "localhost", 80)
POST = Request("POST", "/studies", (("Content-Type", "text/plain"),), BytesBody(b"x" * 1000))
ANSWER = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def run(portions: list[bytes], *, http2: bool) -> Response | NoAnswer:
    """Give what a client makes of a peer that says `portions` and closes; over HTTP/2 after the request has come."""
    return trio.run(_run, portions, http2)


async def _run(portions: list[bytes], http2: bool) -> Response | NoAnswer:
    near, far = (trio.SocketStream(trio.socket.from_stdlib_socket(each)) for each in _pair())
    transport = Transport(near)
    async with trio.open_nursery() as nursery, far:
        nursery.start_soon(_say, far, portions, http2)
        try:
            if not http2:
                return await Http1Connection(transport, ENDPOINT, Timeouts()).exchange(POST)
            connection = Http2Connection(transport, ENDPOINT, Timeouts())
            await nursery.start(connection.run)
            return await connection.exchange(POST)
        except NoAnswer as error:
            return error
        finally:
            transport.close()


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]


async def _say(far: trio.SocketStream, portions: list[bytes], http2: bool) -> None:
    try:
        if http2:
            await far.send_all(SettingsFrame(0).serialize())
            while b"xxx" not in await far.receive_some():
                pass
        for portion in portions:
            await far.send_all(portion)
            await trio.lowlevel.checkpoint()
        await far.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at the places `cuts`, taken modulo its length."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 10_000), max_size=5)


@given(CUTS, st.binary(max_size=20))
def test_http_1_1_in_any_portions_and_with_bytes_after_the_end(cuts: list[int], after: bytes) -> None:
    result = run(split(ANSWER + after, cuts), http2=False)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, b"hello")


@given(CUTS, st.integers(0, len(ANSWER)), st.binary(max_size=30), st.integers(0, 10))
@example([], 0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 0)
@example([], 0, b"HTTP/1.1 200 \xff\r\nContent-Length: 99999999999999999999999\r\n\r\n", 0)
def test_http_1_1_of_any_bytes(cuts: list[int], at: int, put: bytes, cut_out: int) -> None:
    run(split(ANSWER[:at] + put + ANSWER[at + cut_out :], cuts), http2=False)


@given(st.binary(max_size=200), CUTS)
def test_http_1_1_of_garbage(data: bytes, cuts: list[int]) -> None:
    run(split(data, cuts), http2=False)


def http2_answer() -> bytes:
    """The bytes of a whole good answer on stream 1."""
    server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    server.initiate_connection()
    server.clear_outbound_data_buffer()
    client.initiate_connection()
    head = [(":method", "POST"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]
    client.send_headers(1, head)
    server.receive_data(client.data_to_send())
    server.send_headers(1, [(":status", "103")])
    server.send_headers(1, [(":status", "200"), ("content-length", "5")])
    server.send_data(1, b"hello", end_stream=True)
    return server.data_to_send()


HTTP2_ANSWER = http2_answer()


@given(CUTS)
def test_http_2_in_any_portions(cuts: list[int]) -> None:
    result = run(split(HTTP2_ANSWER, cuts), http2=True)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, b"hello")


@given(CUTS, st.integers(0, len(HTTP2_ANSWER)), st.binary(max_size=30), st.integers(0, 20))
def test_http_2_of_any_bytes(cuts: list[int], at: int, put: bytes, cut_out: int) -> None:
    run(split(HTTP2_ANSWER[:at] + put + HTTP2_ANSWER[at + cut_out :], cuts), http2=True)


def frames() -> Iterator[st.SearchStrategy[Frame]]:
    """Frames with legal layout and any content."""
    ids, numbers = st.sampled_from([1, 1, 1, 2, 3]), st.integers(0, 2**31 - 1)
    block = st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"\x88", b"\x88\x5c\x015", b"\x08\x03103", b"\x08\x03abc", b"\x08\x00", b"\x40\x01A\x01b"]),
    )
    flags = st.sampled_from([(), ("END_STREAM",), ("END_HEADERS",), ("END_STREAM", "END_HEADERS")])
    yield st.builds(HeadersFrame, ids, data=block, flags=flags)
    yield st.builds(ContinuationFrame, ids, data=block, flags=st.sampled_from([(), ("END_HEADERS",)]))
    yield st.builds(DataFrame, ids, data=st.binary(max_size=40), flags=st.sampled_from([(), ("END_STREAM",)]))
    yield st.builds(RstStreamFrame, ids, error_code=numbers)
    yield st.builds(GoAwayFrame, st.just(0), last_stream_id=numbers, error_code=numbers)
    yield st.builds(PingFrame, st.just(0), opaque_data=st.binary(min_size=8, max_size=8))
    yield st.builds(SettingsFrame, st.just(0), settings=st.dictionaries(st.integers(0, 10), numbers, max_size=3))
    yield st.builds(WindowUpdateFrame, st.sampled_from([0, 1, 3]), window_increment=st.integers(1, 2**31 - 1))
    yield st.builds(PushPromiseFrame, ids, promised_stream_id=st.sampled_from([2, 4]), data=block)


@given(st.lists(st.one_of(*frames()), max_size=12), CUTS)
def test_http_2_of_any_frames(said: list[Frame], cuts: list[int]) -> None:
    run(split(b"".join(frame.serialize() for frame in said), cuts), http2=True)
