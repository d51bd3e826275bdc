"""Request bodies without their framing: whole, in any pieces, with octets after the end, and against h11's reading."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.server import http1_body
from edged.server.head_gate import HeadError, check_head
from edged.server.http1_body import (
    LINE_BYTES,
    LINES_PER_TURN,
    MAX_CHUNK_BYTES,
    MAX_TRAILERS,
    Body,
    BodyError,
    Chunked,
    Counted,
    body_of,
)

GOOD = [
    (b"0\r\n\r\n", b""),
    (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    (b"3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n", b"abc0123456789"),
    (b"3 \r\nabc\r\n0\t\r\n\r\n", b"abc"),
    (b'3;a;b=c ; d = "e\\"\xff;"\r\nabc\r\n0;x\r\n\r\n', b"abc"),
    (b"1\r\n\r\r\n1\r\n\n\r\n0\r\nTrailer: x\r\nother:\r\n\r\n", b"\r\n"),
]
BAD = [
    b"\r\n",
    b"zz\r\n",
    b"-1\r\n",
    b"+1\r\n",
    b"0x3\r\nabc\r\n",
    b" 3\r\nabc\r\n",
    b"3\nabc\r\n0\r\n\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabc\rX",
    b"3;\r\nabc\r\n",
    b"3;a b\r\nabc\r\n",
    b"3;a=\nb\r\nabc\r\n",
    b'3;a="b\r\nabc\r\n',
    b"f" * 16 + b"\r\n",
    b"f" * 15 + b"\r\n",
    b"%x\r\n" % (MAX_CHUNK_BYTES + 1),
    b"3\rX",
    b"3\n",
    b"0\r\na: b\r\r",
    b"0\r\nnot a field\r\n\r\n",
    b"0\r\n a: folded\r\n\r\n",
    b"0\r\na: b\nc: d\r\n\r\n",
    b"0\r\n" + b"a: b\r\n" * (MAX_TRAILERS + 1),
    b"1" + b" " * LINE_BYTES,
    b"0\r\na: " + b"b" * LINE_BYTES,
]


def read(body: Body, octets: bytes, cuts: list[int]) -> tuple[bytes, bytes | None]:
    """What a body gives for octets cut where `cuts` say, and what came behind its end, None without an end."""
    found, begin = b"", 0
    for cut in [*sorted(cuts), len(octets)]:
        if body.complete:
            break
        found += body.take(octets[begin:cut])
        while body.interrupted:
            found += body.take(b"")
        begin = max(begin, cut)
    return found, body.rest + octets[begin:] if body.complete else None


def singly(octets: bytes) -> list[int]:
    return list(range(len(octets)))


@pytest.mark.parametrize(("octets", "expected"), GOOD)
@pytest.mark.parametrize("after", [b"", b"GET / HTTP/1.1\r\n"])
def test_chunks(octets: bytes, expected: bytes, after: bytes) -> None:
    assert read(Chunked(), octets + after, []) == (expected, after)
    assert read(Chunked(), octets + after, singly(octets)) == (expected, after)


@pytest.mark.parametrize("octets", BAD)
def test_broken_chunks(octets: bytes) -> None:
    for cuts in ([], singly(octets)):
        with pytest.raises(BodyError):
            read(Chunked(), octets, cuts)


pieces = st.lists(st.binary(max_size=40), max_size=5)
cuts = st.lists(st.integers(0, 300), max_size=8)


@given(pieces, st.binary(max_size=20), cuts)
def test_any_split_of_chunks(bodies: list[bytes], after: bytes, cuts: list[int]) -> None:
    octets = b"".join(b"%X\r\n%s\r\n" % (len(body), body) for body in bodies if body) + b"0\r\n\r\n"
    assert read(Chunked(), octets + after, cuts) == (b"".join(bodies), after)


@given(st.binary(max_size=60), st.integers(0, 60), cuts)
def test_any_split_of_a_counted_body(octets: bytes, length: int, cuts: list[int]) -> None:
    expected = (octets[:length], octets[length:] if len(octets) >= length else None)
    assert read(Counted(length), octets, cuts) == expected


fragments = st.sampled_from(
    [octets for octets, _ in GOOD] + BAD + [b"5\r\n", b"abcde", b"\r\n", b"\r", b"\n", b";", b"0"]
)


@given(st.lists(st.one_of(fragments, st.binary(max_size=20)), max_size=6).map(b"".join), cuts)
@example(b"3\r\nabc\r\r\n", [])
def test_a_result_or_its_own_error_and_the_same_in_pieces(octets: bytes, cuts: list[int]) -> None:
    results = []
    for where in ([], cuts, singly(octets)):
        try:
            results.append(read(Chunked(), octets, where))
        except BodyError:
            results.append((b"", b"refused"))
    with pytest.MonkeyPatch.context() as patch:  # every line interrupts
        patch.setattr(http1_body, "LINES_PER_TURN", 1)
        try:
            results.append(read(Chunked(), octets, cuts))
        except BodyError:
            results.append((b"", b"refused"))
    assert results[0] == results[1] == results[2] == results[3]


@given(st.lists(fragments, max_size=4).map(b"".join))
def test_what_is_taken_h11_takes_as_the_same(octets: bytes) -> None:
    try:
        ours = read(Chunked(), octets, [])
    except BodyError:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(b"POST / HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n" + octets)
    theirs.next_event()
    body = b""
    while isinstance(event := theirs.next_event(), h11.Data):
        body += event.data
    assert ours[0] == body
    assert (ours[1] is not None) == isinstance(event, h11.EndOfMessage)


@pytest.mark.parametrize("step", [10, 10_000, 1_000_000])
def test_tiny_chunks_are_read_in_turns(step: int) -> None:
    octets, body, found, turns = b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\nnext", Chunked(), 0, 0
    for begin in range(0, len(octets), step):
        if not body.complete:
            found += len(body.take(octets[begin : begin + step]))
        while body.interrupted:
            turns += 1
            piece = body.take(b"")
            assert len(piece) <= LINES_PER_TURN
            found += len(piece)
    assert (found, turns) == (20_000, 40_002 // LINES_PER_TURN)
    assert turns >= 40
    assert b"next".endswith(body.rest)


def test_nothing_is_copied_that_need_not_be() -> None:
    octets = bytes(1000)
    body = Counted(2000)
    assert body.take(octets) is octets
    chunked = Chunked()
    chunked.take(b"ffff\r\n")
    assert chunked.take(octets) is octets


def test_the_largest_chunk_is_that_of_a_content_length() -> None:
    head = b"POST / HTTP/1.1\r\nHost: box\r\nContent-Length: %d\r\n\r\n"
    check_head(head % MAX_CHUNK_BYTES)
    with pytest.raises(HeadError):
        check_head(head % (MAX_CHUNK_BYTES + 1))
    assert read(Chunked(), b"%x\r\nabc" % MAX_CHUNK_BYTES, []) == (b"abc", None)


def test_a_head_says_how_long_its_body_is() -> None:
    assert body_of(check_head(b"GET / HTTP/1.0\r\n\r\n")).complete
    assert not body_of(check_head(b"GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\n")).complete
    chunked = body_of(check_head(b"POST / HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: Chunked\r\n\r\n"))
    assert isinstance(chunked, Chunked)
