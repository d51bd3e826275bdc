"""The multipart parser: whole, byte by byte, split anywhere, cut anywhere, and anything at all."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.media_type import MediaType
from edged.http.multipart import (
    MAX_BOUNDARY,
    Event,
    MultipartError,
    MultipartLimits,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)

BOUNDARY = b"AaB03x"
TYPE = (("content-type", "application/dicom"),)


@dataclass
class Part:
    headers: tuple[tuple[str, str], ...]
    data: bytes = b""
    complete: bool | None = None


@dataclass
class Seen:
    """What a consumer saw of a body, whatever the pieces were."""

    parts: list[Part] = field(default_factory=list)
    error: str = ""
    closed: bool = False

    def take(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case PartBegin(headers):
                    assert not self.parts or self.parts[-1].complete is not None
                    self.parts.append(Part(headers))
                case PartData(data):
                    assert self.parts[-1].complete is None
                    assert len(data) > 0
                    self.parts[-1].data += data
                case PartEnd(complete):
                    assert self.parts[-1].complete is None
                    self.parts[-1].complete = complete


def parse(pieces: list[bytes], limits: MultipartLimits | None = None) -> Seen:
    parser, seen = MultipartParser(BOUNDARY, limits), Seen()
    try:
        for piece in pieces:
            seen.take(parser.feed(piece))
        seen.closed = parser.closed
        seen.take(parser.finish())
    except MultipartError as error:
        seen.error = str(error)
    return seen


def every_way(body: bytes) -> Seen:
    """Parse whole, byte by byte and in odd pieces; all must agree."""
    whole = parse([body])
    assert parse([body[i : i + 1] for i in range(len(body))]) == whole
    assert parse([body[i : i + 7] for i in range(0, len(body), 7)]) == whole
    return whole


def body_of(*parts: bytes) -> bytes:
    head = b"--AaB03x\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + part + b"\r\n" for part in parts) + b"--AaB03x--"


@pytest.mark.parametrize(
    "body",
    [
        body_of(b"one", b"two"),
        body_of(b"one", b"two") + b"\r\n",
        body_of(b"one", b"two") + b"\r\nepilogue\r\n--AaB03x\r\n\r\nnot a part\r\n--AaB03x--",
        b"\r\n" + body_of(b"one", b"two"),
        b"a preamble\r\n" + body_of(b"one", b"two"),
        body_of(b"one", b"two").replace(b"--AaB03x\r\n", b"--AaB03x \t \r\n"),
        body_of(b"one", b"two").replace(b"application/dicom\r\n\r\n", b"application/dicom\n\n"),
        body_of(b"one", b"two").replace(b"--AaB03x\r\nC", b"--AaB03x\nC"),
        body_of(b"one", b"two").replace(b"Content-Type: application", b"CONTENT-TYPE:\r\n\tapplication"),
    ],
)
def test_two_parts_in_all_legal_dress(body: bytes) -> None:
    seen = every_way(body)
    assert seen.parts == [Part(TYPE, b"one", complete=True), Part(TYPE, b"two", complete=True)]
    assert not seen.error
    assert seen.closed


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--AaB03x\r\n\r\ndata\r\n--AaB03x--", [Part((), b"data", complete=True)]),
        (b"--AaB03x\n\ndata\r\n--AaB03x--", [Part((), b"data", complete=True)]),
        (body_of(b""), [Part(TYPE, b"", complete=True)]),
        (b"--AaB03x\r\nA: b\r\n\r\n--AaB03x--", [Part((("a", "b"),), b"", complete=True)]),
        (b"--AaB03x\r\n\r\n--AaB03x\r\n\r\n\r\n--AaB03x--", [Part((), b"", True), Part((), b"", True)]),
        (b"--AaB03x--", []),
        (b"--AaB03x\r\nA : b : c \r\n\r\nx\r\n--AaB03x--", [Part((("a", "b : c"),), b"x", complete=True)]),
    ],
)
def test_lean_parts(body: bytes, parts: list[Part]) -> None:
    seen = every_way(body)
    assert seen.parts == parts
    assert seen.closed
    assert not seen.error


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n--AaB03",
        b"\r\n--AaB03xy",
        b"\r\n--AaB03x-",
        b"\r\n--AaB03x\r",
        b"\r\n--AaB03x  z",
        b"\n--AaB03x\n",
        b"\r--AaB03x\r\n",
        b"\r\n\r\n\r\n-",
        b"--AaB03xy",
        b"\r\n--AaB03x" + b" " * 300 + b"\r\n",
        b"\r\n--aab03x\r\n",
    ],
)
def test_what_only_looks_like_a_delimiter_is_data(data: bytes) -> None:
    seen = every_way(body_of(data, b"x" + data + b"y"))
    assert [part.data for part in seen.parts] == [data, b"x" + data + b"y"]
    assert not seen.error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no delimiter at all",
        b"--AaB03",
        b"--other\r\n\r\nx\r\n--other--",
        b"--AaB03x\r\nno colon\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\n folded: first\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\nA: b\rc\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\nA: b\x00\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\n: b\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\nA: " + b"b" * 9000 + b"\r\n\r\nx\r\n--AaB03x--",
        b"--AaB03x\r\n" + b"A: b\r\n" * 65 + b"\r\nx\r\n--AaB03x--",
    ],
)
def test_bad_syntax(body: bytes) -> None:
    assert every_way(body).error


def test_parts_before_an_error_are_seen_first() -> None:
    seen = every_way(body_of(b"one")[:-2] + b"\r\nno colon\r\n\r\n")
    assert seen.parts == [Part(TYPE, b"one", complete=True)]
    assert seen.error


def test_an_error_is_final() -> None:
    parser = MultipartParser(BOUNDARY)
    for piece in (b"--AaB03x\r\nno colon\r\n\r\n", body_of(b"one")):
        with pytest.raises(MultipartError):
            parser.feed(piece)
    with pytest.raises(MultipartError):
        parser.finish()


def test_nothing_may_follow_the_end() -> None:
    parser = MultipartParser(BOUNDARY)
    parser.feed(body_of(b"one"))
    assert parser.finish() == []
    with pytest.raises(MultipartError):
        parser.feed(b"x")


def test_a_body_cut_anywhere_never_completes_the_part_that_was_cut() -> None:
    body = body_of(b"first\r\n", b"second")
    for length in range(len(body)):
        seen = parse([body[:length]])
        complete = [part.data for part in seen.parts if part.complete]
        assert complete == [b"first\r\n", b"second"][: len(complete)]
        assert not seen.closed
        assert seen.error or len(complete) < 2 or length == len(body)
        assert all(part.complete is not None for part in seen.parts)


def test_all_bytes_of_a_cut_part_are_handed_on() -> None:
    seen = every_way(b"--AaB03x\r\n\r\ndata\r\n--AaB03x")
    assert seen.parts == [Part((), b"data\r\n--AaB03x", complete=False)]


def test_a_body_without_the_last_dashes_keeps_its_parts() -> None:
    seen = every_way(body_of(b"one")[:-2] + b"\r\n")
    assert seen.parts == [Part(TYPE, b"one", complete=True)]
    assert not seen.closed
    assert not seen.error


def test_a_cut_head_is_a_part_that_did_not_complete() -> None:
    seen = every_way(body_of(b"one")[:-2] + b"\r\nContent-Ty")
    assert seen.parts[1:] == [Part((), b"", complete=False)]


def test_many_parts_and_their_limit() -> None:
    body = body_of(*[b"x"] * 20_000)
    assert len(parse([body]).parts) == 20_000
    pieces = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
    assert len(parse(pieces).parts) == 20_000
    limited = parse([body], MultipartLimits(parts=10))
    assert len(limited.parts) == 10
    assert limited.error


def test_large_data_is_handed_on_without_a_copy() -> None:
    parser = MultipartParser(BOUNDARY)
    parser.feed(b"--AaB03x\r\n\r\n")
    piece = bytes(65_536)
    [event] = parser.feed(piece)
    assert isinstance(event, PartData)
    assert event.data.obj is piece
    assert len(event.data) == len(piece)


@given(st.data())
def test_any_split_of_any_parts_gives_the_parts(data: st.DataObject) -> None:
    tricky = st.sampled_from([b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--AaB03", b"--AaB03xx", b" ", b"a"])
    parts = data.draw(st.lists(st.lists(tricky | st.binary(max_size=9)).map(b"".join), max_size=4))
    body = body_of(*parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    seen = parse(pieces)
    assert seen == parse([body])
    if not any(b"--AaB03x\r\n" in part or b"--AaB03x--" in part for part in parts):
        assert [part.data for part in seen.parts] == parts


@given(
    st.lists(
        st.sampled_from(
            [b"--AaB03x", b"\r\n--AaB03x", b"--", b"\r\n", b"\n", b"\r", b" ", b"A: b", b":", b"\x00", b"x"]
        )
        | st.binary(max_size=4),
        max_size=30,
    )
)
def test_anything_is_events_or_its_own_error_however_it_is_cut(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    whole = every_way(body)
    assert parse(pieces) == whole
    assert whole.error or all(part.complete is not None for part in whole.parts)


@pytest.mark.parametrize(
    "boundary", ["a", "a" * 70, "a" * MAX_BOUNDARY, "gc0p4Jq0M2Yt08jU534c0p", "0'()+_,-./:=?", "a b"]
)
def test_a_boundary_that_is_read(boundary: str) -> None:
    assert boundary_of(MediaType("multipart", "related", {"boundary": boundary})) == boundary.encode()


@pytest.mark.parametrize("boundary", [None, "", "a" * (MAX_BOUNDARY + 1), "a ", "a\n", "*", "ä", "a;b"])
def test_an_illegal_boundary(boundary: str | None) -> None:
    parameters = {} if boundary is None else {"boundary": boundary}
    with pytest.raises(MultipartError):
        boundary_of(MediaType("multipart", "related", parameters))
