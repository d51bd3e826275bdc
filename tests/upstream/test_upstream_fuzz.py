"""Whatever bytes a peer sends, in whatever portions: a response or NoAnswer, and nothing else.

The peer is the other end of a pair of sockets, so that an example takes no more than a moment.
"""

from collections.abc import Iterator
from itertools import pairwise

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

from edged.upstream.message import Response
from tests.support.upstream_octets import http2_answer, response_to

ANSWER = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut `data` at the places `cuts`, taken modulo its length."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(0, 10_000), max_size=5)


@given(CUTS, st.binary(max_size=20))
def test_http_1_1_in_any_portions_and_with_bytes_after_the_end(cuts: list[int], after: bytes) -> None:
    result = response_to(split(ANSWER + after, cuts), http2=False)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, b"hello")


@given(CUTS, st.integers(0, len(ANSWER)), st.binary(max_size=30), st.integers(0, 10))
@example([], 0, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", 0)
@example([], 0, b"HTTP/1.1 200 \xff\r\nContent-Length: 99999999999999999999999\r\n\r\n", 0)
def test_http_1_1_of_any_bytes(cuts: list[int], at: int, put: bytes, cut_out: int) -> None:
    response_to(split(ANSWER[:at] + put + ANSWER[at + cut_out :], cuts), http2=False)


@given(st.binary(max_size=200), CUTS)
def test_http_1_1_of_garbage(data: bytes, cuts: list[int]) -> None:
    response_to(split(data, cuts), http2=False)


HTTP2_ANSWER = http2_answer()


@given(CUTS)
def test_http_2_in_any_portions(cuts: list[int]) -> None:
    result = response_to(split(HTTP2_ANSWER, cuts), http2=True)
    assert isinstance(result, Response)
    assert (result.status, result.body) == (200, b"hello")


@given(CUTS, st.integers(0, len(HTTP2_ANSWER)), st.binary(max_size=30), st.integers(0, 20))
def test_http_2_of_any_bytes(cuts: list[int], at: int, put: bytes, cut_out: int) -> None:
    response_to(split(HTTP2_ANSWER[:at] + put + HTTP2_ANSWER[at + cut_out :], cuts), http2=True)


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
    response_to(split(b"".join(frame.serialize() for frame in said), cuts), http2=True)
