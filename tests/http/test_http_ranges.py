"""Ranges: what a field asks for, and the answer cut from a payload in any pieces."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.media_type import parse_media_type
from edged.http.multipart import MultipartError, MultipartParser, PartBegin, PartData, PartEnd, boundary_of
from edged.http.multipart_writer import PART_TAIL, MultipartWriter
from edged.http.ranges import (
    MAX_RANGES,
    ByteRange,
    Cutter,
    PartialContent,
    Piece,
    Section,
    Unsatisfiable,
    Window,
    partial_content,
    select_ranges,
    slice_pieces,
)

PAYLOAD = bytes(range(256)) * 4


def pairs(header: str | None, length: int = 1000) -> list[tuple[int, int]] | Unsatisfiable | None:
    selected = select_ranges(header, length)
    return [(each.start, each.stop) for each in selected] if isinstance(selected, tuple) else selected


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-499", [(0, 500)]),
        ("bytes=500-999", [(500, 1000)]),
        ("bytes=-500", [(500, 1000)]),
        ("bytes=500-", [(500, 1000)]),
        ("bytes=0-", [(0, 1000)]),
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-0,-1", [(0, 1), (999, 1000)]),
        ("BYTES=0-0", [(0, 1)]),
        ("  bytes=0-0\t", [(0, 1)]),
        ("bytes= 0-0 ,\t5-9 ,", [(0, 1), (5, 10)]),
        ("bytes=,,0-0", [(0, 1)]),
        ("bytes=00000000000000000000000001-0000002", [(1, 3)]),
        ("bytes=999-999999", [(999, 1000)]),
        ("bytes=-99999", [(0, 1000)]),
        (f"bytes=990-{'9' * 6000}", [(990, 1000)]),
        (f"bytes=-{'9' * 6000}", [(0, 1000)]),
    ],
)
def test_reads(header: str, ranges: list[tuple[int, int]]) -> None:
    assert pairs(header) == ranges


@pytest.mark.parametrize(
    ("header", "ranges"),
    [
        ("bytes=0-9,10-19", [(0, 20)]),
        ("bytes=0-9,11-19", [(0, 10), (11, 20)]),
        ("bytes=5-9,0-6", [(0, 10)]),
        ("bytes=0-99,10-19", [(0, 100)]),
        ("bytes=500-,-600,0-0", [(0, 1), (400, 1000)]),
        ("bytes=700-799,100-199", [(100, 200), (700, 800)]),
        ("bytes=0-9,5000-", [(0, 10)]),
        ("bytes=0-9,-0", [(0, 10)]),
    ],
)
def test_ranges_come_ascending_and_apart(header: str, ranges: list[tuple[int, int]]) -> None:
    assert pairs(header) == ranges


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=1-0",
        "bytes=0-9,1-0",
        "bytes=0-9,x",
        "bytes=--5",
        "bytes=0 - 9",
        "bytes=0-9;q=1",
        "bytes =0-9",
        "bytes=+1-2",
        "bytes=0x1-2",
        "bytes=٠-١",
        "bytes=0-9\n",
        "bytes=0-9, bytes=20-29",
        "items=0-9",
        "0-9",
    ],
)
def test_what_is_ignored(header: str | None) -> None:
    assert pairs(header) is None


def test_many_ranges_are_ignored() -> None:
    apart = [f"{first}-{first}" for first in range(0, 4 * MAX_RANGES, 2)]
    assert len(pairs("bytes=" + ",".join(apart[:MAX_RANGES])) or ()) == MAX_RANGES  # type: ignore[arg-type]
    assert pairs("bytes=" + ",".join(apart[: MAX_RANGES + 1])) is None
    assert pairs("bytes=0-" + ",0-" * 100_000) is None
    assert pairs("bytes=" + "," * 100_000) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-2000", "bytes=-0", "bytes=2000-,-0", "bytes=1000-1000"])
def test_unsatisfiable(header: str) -> None:
    selected = select_ranges(header, 1000)
    assert selected == Unsatisfiable(1000)
    assert isinstance(selected, Unsatisfiable)
    assert selected.content_range == "bytes */1000"


def test_an_empty_payload() -> None:
    assert pairs("bytes=-5", 0) is None  # satisfied by nothing, which Content-Range cannot say
    assert pairs("bytes=0-", 0) == Unsatisfiable(0)
    assert pairs("bytes=-0", 0) == Unsatisfiable(0)


def test_one_range_answers_as_it_is() -> None:
    plan = partial_content((ByteRange(10, 20),), 1024, content_type="application/dicom", boundary="b")
    assert dict(plan.fields) == {
        "content-type": "application/dicom",
        "content-length": "10",
        "content-range": "bytes 10-19/1024",
    }
    assert body_of(plan, [PAYLOAD]) == PAYLOAD[10:20]


def test_several_ranges_answer_in_parts() -> None:
    ranges = (ByteRange(0, 1), ByteRange(500, 510))
    plan = partial_content(ranges, 1024, content_type="text/plain", boundary="SEP")
    assert body_of(plan, [PAYLOAD]) == (
        b"--SEP\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/1024\r\n\r\n"
        + PAYLOAD[:1]
        + b"\r\n--SEP\r\nContent-Type: text/plain\r\nContent-Range: bytes 500-509/1024\r\n\r\n"
        + PAYLOAD[500:510]
        + b"\r\n--SEP--"
    )
    fields = dict(plan.fields)
    assert fields["content-type"] == "multipart/byteranges; boundary=SEP"
    assert fields["content-length"] == str(plan.content_length)
    assert "content-range" not in fields


def test_an_illegal_boundary_is_refused() -> None:
    with pytest.raises(MultipartError):
        partial_content((ByteRange(0, 1), ByteRange(2, 3)), 9, content_type="text/plain", boundary='"')


def test_a_range_of_a_multipart_payload_counts_its_boundaries() -> None:
    writer = MultipartWriter("inner")
    head = writer.head([("Content-Type", "application/dicom")])
    pieces = [head, PAYLOAD, PART_TAIL, head, b"second", PART_TAIL + writer.closing]
    whole = b"".join(pieces)
    header = f"bytes=2-6,{len(head) - 1}-{len(head)},-9"
    ranges = select_ranges(header, len(whole))
    assert isinstance(ranges, tuple)
    plan = partial_content(ranges, len(whole), content_type=str(writer.media_type("application/dicom")), boundary="out")
    parts = [data for _, data in parts_of(plan, body_of(plan, pieces))]
    assert parts == [b"inner", b"\n\x00", b"--inner--"]


def test_pieces_are_viewed_and_not_copied() -> None:
    window = Window(10, 20)
    view = window.feed(PAYLOAD)
    assert view is not None
    assert view.obj is PAYLOAD
    [cut] = Cutter([Section(b"", ByteRange(10, 20))]).feed(PAYLOAD)
    assert isinstance(cut, memoryview)
    assert cut.obj is PAYLOAD


def test_a_window_says_where_it_wants_to_read() -> None:
    window, wanted, seen = Window(100, 200), [], b""
    for start, stop in ((96, 150), (150, 1024)):
        wanted.append(window.wanted)
        window.seek(start)
        seen += window.feed(PAYLOAD[start:stop]) or b""
    assert wanted == [100, 150]
    assert window.wanted is None
    assert seen == PAYLOAD[100:200]
    assert window.feed(b"more") is None
    window.seek(5000)


def test_a_window_does_not_lose_bytes() -> None:
    window = Window(100, 200)
    with pytest.raises(ValueError, match="cannot go"):
        window.seek(101)
    window.seek(100)
    with pytest.raises(ValueError, match="cannot go"):
        window.seek(99)


def test_a_cutter_skips_what_lies_between() -> None:
    plan = partial_content((ByteRange(100, 110), ByteRange(900, 910)), 1024, content_type="text/plain", boundary="SEP")
    cutter, sent, fed = plan.cutter(), b"", 0
    while (wanted := cutter.wanted) is not None:
        chunk = wanted // 64 * 64  # as a store of fixed chunks would read
        cutter.seek(max(chunk, fed))
        sent += b"".join(cutter.feed(PAYLOAD[max(chunk, fed) : chunk + 64]))
        fed = chunk + 64
    assert sent == body_of(plan, [PAYLOAD])
    assert len(sent) == plan.content_length
    assert cutter.feed(b"more") == []


def test_a_cutter_does_not_lose_bytes() -> None:
    cutter = Cutter([Section(b"", ByteRange(100, 110))])
    with pytest.raises(ValueError, match="cannot go"):
        cutter.seek(101)


def test_slicing_stops_asking_after_the_last_range() -> None:
    def pieces() -> Iterator[bytes]:
        yield PAYLOAD[:100]
        yield PAYLOAD[100:200]
        raise AssertionError

    assert b"".join(slice_pieces(pieces(), [ByteRange(0, 2), ByteRange(150, 200)])) == PAYLOAD[:2] + PAYLOAD[150:200]


def body_of(plan: PartialContent, pieces: list[bytes]) -> bytes:
    cutter = plan.cutter()
    body = b"".join(part for piece in pieces for part in cutter.feed(piece))
    assert cutter.wanted is None
    assert len(body) == plan.content_length
    return body


def parts_of(plan: PartialContent, body: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Read a multipart/byteranges body back with the parser of multipart bodies."""
    parser = MultipartParser(boundary_of(parse_media_type(dict(plan.fields)["content-type"])))
    parts: list[tuple[dict[str, str], bytes]] = []
    for event in [*parser.feed(body), *parser.finish()]:
        match event:
            case PartBegin(headers):
                parts.append((dict(headers), b""))
            case PartData(data):
                parts[-1] = (parts[-1][0], parts[-1][1] + data)
            case PartEnd(complete):
                assert complete
    return parts


SPEC = st.tuples(st.integers(0, 40) | st.none(), st.integers(0, 40) | st.none()).map(
    lambda spec: "-".join("" if number is None else str(number) for number in spec)
)


def oracle(header: str, length: int) -> set[int] | None:
    """The bytes that a list of ranges names, by the letter of RFC 9110 14.1.2; None: the field is malformed."""
    named: set[int] = set()
    for spec in header.split(","):
        first, _, last = spec.partition("-")
        if not (first or last) or (first and last and int(last) < int(first)):
            return None
        if first:
            named |= set(range(int(first), min(int(last) + 1 if last else length, length)))
        else:
            named |= set(range(max(length - int(last), 0), length))
    return named


@given(st.lists(SPEC, min_size=1, max_size=6).map(",".join), st.integers(1, 30))
def test_what_is_selected_is_what_was_named(header: str, length: int) -> None:
    named, selected = oracle(header, length), select_ranges(f"bytes={header}", length)
    if named is None:
        assert selected is None
    elif not named:
        assert selected == Unsatisfiable(length)
    else:
        assert isinstance(selected, tuple)
        assert {byte for each in selected for byte in range(each.start, each.stop)} == named
        assert all(left.stop < right.start for left, right in pairwise(selected))


@given(st.data())
def test_any_pieces_give_the_answer(data: st.DataObject) -> None:
    payload = data.draw(st.binary(min_size=1, max_size=60))
    header = "bytes=" + ",".join(data.draw(st.lists(SPEC, min_size=1, max_size=5)))
    ranges = select_ranges(header, len(payload))
    if not isinstance(ranges, tuple):
        return
    cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=8)))
    pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    one_by_one = [payload[i : i + 1] for i in range(len(payload))]
    wanted = [payload[each.start : each.stop] for each in ranges]
    plan = partial_content(ranges, len(payload), content_type="a/b", boundary="x" * 70)
    body = body_of(plan, pieces)
    assert body_of(plan, one_by_one) == body_of(plan, [payload]) == body
    assert body_of(plan, [*pieces, b"bytes after the end"]) == body
    assert b"".join(slice_pieces(pieces, ranges)) == b"".join(wanted)
    windows = [Window(each.start, each.stop) for each in ranges]
    assert [b"".join(window.feed(piece) or b"" for piece in pieces) for window in windows] == wanted
    if len(ranges) > 1:
        heads = [
            {"content-type": "a/b", "content-range": f"bytes {each.start}-{each.stop - 1}/{len(payload)}"}
            for each in ranges
        ]
        assert parts_of(plan, body) == list(zip(heads, wanted, strict=True))
    else:
        assert [body] == wanted


@given(
    st.text() | st.lists(st.sampled_from(["bytes", "=", "-", ",", " ", "0", "5", "99999999999999999999"])).map("".join),
    st.integers(0, 2**40),
)
def test_any_field_is_answered(header: str, length: int) -> None:
    selected = select_ranges(header, length)
    if isinstance(selected, tuple):
        assert selected
        assert all(0 <= each.start < each.stop <= length for each in selected)
        assert all(each.content_range(length).startswith("bytes ") for each in selected)


def test_views_can_be_cut_too() -> None:
    pieces: list[Piece] = [memoryview(PAYLOAD)[:300], memoryview(PAYLOAD)[300:]]
    assert b"".join(slice_pieces(pieces, [ByteRange(290, 310)])) == PAYLOAD[290:310]
