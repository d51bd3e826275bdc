"""Frames and field sections of HTTP/2 without a connection: whole, in pieces, and any octets at all."""

from itertools import pairwise

import hpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.server.head_gate import HeadError
from edged.server.http2_codec import UPGRADING_BYTES, Codec
from edged.server.http2_frames import ConnectionFault, ErrorCode, Frame, FrameReader, FrameType
from edged.server.http2_patience import BURST, PER_S, Patience
from edged.server.http2_request import Malformed, check_trailers, length_of, request_of
from edged.server.http2_settings import FIRST_WINDOW_BYTES
from edged.server.limits import Limits
from tests.support.http2_raw import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    PADDED,
    PREFACE,
    SETTINGS,
    data,
    frame,
    headers,
    rst_stream,
    settings,
    window_update,
)

CONVERSATION = PREFACE + b"".join(
    (
        settings((4, 70_000), (3, 1)),
        headers(1),
        headers(3, GET[:2], END_STREAM),
        frame(CONTINUATION, END_HEADERS, 3, b"more"),
        data(1, b"\x02ab\0\0", PADDED),
        data(1, bytes(3000)),
        frame(99, 255, 7, b"unknown"),
        window_update(0, 5),
        rst_stream(1),
    )
)
octets_of_frames = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.builds(
            frame,
            st.integers(0, 11),
            st.integers(0, 255),
            st.integers(0, 9),
            st.one_of(st.binary(max_size=20), st.just(b"\x82\x86\x84\x41\x03box")),
        ),
    ),
    max_size=12,
).map(b"".join)


def reader() -> FrameReader:
    return FrameReader(frame_bytes=20_000, block_bytes=20_000)


def read(pieces: list[bytes]) -> tuple[list[Frame], ErrorCode | None]:
    """The frames, and the fault that ended them."""
    found, reading = [], reader()
    try:
        for piece in pieces:
            found += list(reading.take(piece))
    except ConnectionFault as fault:
        return found, fault.code
    return found, None


def test_a_conversation() -> None:
    frames, fault = read([CONVERSATION])
    assert fault is None
    assert [(each.kind, each.stream_id, len(each.payload), each.flow_bytes) for each in frames][3:6] == [
        (FrameType.DATA, 1, 2, 5),
        (FrameType.DATA, 1, 3000, 3000),
        (99, 7, 7, 7),
    ]
    assert frames[2].payload.endswith(b"more")
    assert len(frames) == 8


def test_one_octet_at_a_time() -> None:
    assert read([CONVERSATION[at : at + 1] for at in range(len(CONVERSATION))]) == read([CONVERSATION])


@given(octets_of_frames, st.lists(st.integers(0, 400), max_size=5))
def test_any_octets_in_any_pieces(octets: bytes, cuts: list[int]) -> None:
    octets = PREFACE + settings() + octets
    places = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    pieces = [octets[begin:end] for begin, end in pairwise(places)]
    assert read(pieces)[1] == read([octets])[1]
    if read([octets])[1] is None:
        assert read(pieces) == read([octets])


def test_what_is_held_is_bounded() -> None:
    reading = reader()
    list(reading.take(PREFACE + settings()))
    many = headers(1, GET, END_STREAM) + 1000 * frame(CONTINUATION, 0, 1, bytes(1000))
    with pytest.raises(ConnectionFault) as caught:
        list(reading.take(many))
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM
    with pytest.raises(ConnectionFault):  # before one octet of it has come
        list(reader().take(PREFACE + b"\x00\xff\xff\x04\x00\x00\x00\x00\x00"))


@given(octets_of_frames, st.lists(st.integers(1, 100_000), max_size=4))
@example(headers(1), [10])
def test_the_codec_gives_events_or_its_fault(octets: bytes, sizes: list[int]) -> None:
    codec = Codec(Limits(streams=3))
    codec.begin()
    try:
        for event in codec.receive(PREFACE + settings() + octets, 1.0):
            stream_id = getattr(event, "stream_id", 0)
            for size in sizes:
                codec.reset(stream_id + size % 3, ErrorCode.CANCEL)
    except ConnectionFault as fault:
        codec.end(fault.code)
    assert codec.out.take()[:4] == b"\x00\x00\x1e" + bytes([SETTINGS])
    assert codec.out.size == 0
    assert codec.out.take() == b""


names = st.sampled_from(
    [b":method", b":path", b":scheme", b":authority", b":protocol", b"host", b"x", b"te", b"cookie"]
)
values = st.one_of(
    st.sampled_from([b"GET", b"CONNECT", b"OPTIONS", b"/", b"*", b"websocket", b"box", b"http", b"trailers"]),
    st.binary(max_size=20),
)
fields_ = st.lists(st.tuples(st.one_of(names, st.binary(max_size=5)), values), max_size=8)


@given(fields_)
@example(GET)
def test_a_field_section_is_a_request_or_its_error(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        head = request_of(fields)
    except (HeadError, Malformed):
        return
    assert head.version == "2"
    assert head.target.isascii()
    assert len(head.named[b"host"]) == 1
    assert not any(name.startswith(b":") for name, _ in head.fields)
    assert sum(map(len, head.named.values())) == len(head.fields)


@given(fields_)
def test_a_trailer_section_is_one_or_malformed(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        check_trailers(fields)
    except Malformed:
        return
    assert not any(name.startswith(b":") for name, _ in fields)


def test_a_head_is_read_as_in_http1() -> None:
    more = [(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"content-length", b"12")]
    head = request_of([*GET[:2], (b":authority", b"a:1"), (b":path", b"/b?c"), *more])
    assert (head.method, head.target) == ("GET", b"/b?c")
    assert head.fields == [
        (b"host", b"a:1"),
        (b"x", b"y"),
        (b"content-length", b"12"),
        (b"cookie", b"a=1; b=2"),
    ]
    assert length_of(head) == 12
    assert length_of(request_of(GET)) is None


def spent(patience: Patience) -> int:
    """How often it can be spent."""
    for times in range(10 * BURST):
        try:
            patience.spend()
        except ConnectionFault:
            return times
    raise AssertionError


def test_patience_comes_back_with_time_octets_and_answers() -> None:
    patience = Patience()
    patience.passed(100.0)
    assert spent(patience) == BURST
    patience.passed(102.0)
    assert 0 <= 2 * PER_S - 1 - spent(patience) <= 1
    patience.moved(1 << 20)
    assert spent(patience) > 900
    patience.answered()
    patience.passed(1_000_000.0)
    assert spent(patience) == BURST


@pytest.mark.parametrize("window", [b"", b"\0\4\0\0\0\5"])
def test_after_an_upgrade_little_is_sent_until_the_client_is_in_http2(window: bytes) -> None:
    """Nor more than its HTTP2-Settings allow; afterwards all that the windows have."""
    codec, early = Codec(Limits()), 5 if window else UPGRADING_BYTES
    codec.begin(window)
    assert codec.sendable(1) == early
    codec.send_data(1, bytes(early), ended=False)
    assert codec.sendable(1) == 0
    list(codec.receive(PREFACE + settings((4, 100_000)) + settings(), 1.0))
    sent = early
    while size := codec.sendable(1):
        codec.send_data(1, bytes(size), ended=False)
        sent += size
    assert sent == FIRST_WINDOW_BYTES


def test_goaway_of_the_codec_names_the_last_stream() -> None:
    codec = Codec(Limits())
    codec.begin()
    list(codec.receive(PREFACE + settings() + headers(5), 1.0))
    codec.out.take()
    codec.end(ErrorCode.INTERNAL_ERROR)
    assert codec.out.take() == frame(GOAWAY, 0, 0, b"\0\0\0\x05\0\0\0\x02")


def test_a_second_goaway_of_the_codec_names_no_later_stream() -> None:
    codec = Codec(Limits())
    codec.begin()
    list(codec.receive(PREFACE + settings() + headers(5), 1.0))
    codec.end()
    list(codec.receive(headers(7), 1.0))
    codec.out.take()
    codec.end(ErrorCode.INTERNAL_ERROR)
    assert codec.out.take() == frame(GOAWAY, 0, 0, b"\0\0\0\x05\0\0\0\x02")


@pytest.mark.parametrize("later", [(4, 1000), (1, 1024), (1, 4096), (1, 512)])
def test_a_smaller_table_is_told_whatever_settings_follow(later: tuple[int, int]) -> None:
    codec = Codec(Limits())
    codec.begin()
    list(codec.receive(PREFACE + settings((1, 1024)) + settings(later) + headers(1), 1.0))
    codec.out.take()
    codec.send_headers(1, [(b":status", b"200"), (b"a", b"b")], ended=True)
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 512 if later == (1, 512) else 1024
    fields = [tuple(field) for field in decoder.decode(codec.out.take()[9:], raw=True)]
    assert fields == [(b":status", b"200"), (b"a", b"b")]
    assert decoder.header_table_size == decoder.max_allowed_table_size


def test_a_cookie_in_crumbs_is_one_field() -> None:
    crumbs = [(b"cookie", b"a=b")] * 50
    limits = Limits(fields=10)
    assert request_of([*GET, *crumbs], limits).named[b"cookie"] == [b"; ".join([b"a=b"] * 50)]
    with pytest.raises(HeadError):
        request_of([*GET, *crumbs, *[(b"a", b"b")] * 11], limits)
