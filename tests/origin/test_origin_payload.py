"""Payloads: known before their first byte, the same each time, and any Range of one is its slice (RFC 9110 14)."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.http.media_type import MediaType
from edged.http.ranges import ByteRange, Piece
from edged.origin.exchange import Message, Refusal, Reply, Request
from edged.origin.payload import Held, Part, Payload, multipart, single_part
from edged.origin.payload_reply import reply_with
from tests.support.stow_kit import parts_of

NOW = 1_800_000_000.0
DICOM = MediaType("application", "dicom")
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

datas = st.lists(st.binary(max_size=300), min_size=1, max_size=5)
specs = st.one_of(
    st.builds("{0[0]}-{0[1]}".format, st.tuples(st.integers(0, 1500), st.integers(0, 1500)).map(sorted)),
    st.builds("{}-".format, st.integers(0, 1500)),
    st.builds("-{}".format, st.integers(0, 1500)),
)
headers = st.lists(specs, min_size=1, max_size=6).map(lambda each: "bytes=" + ",".join(each))


@dataclass(slots=True)
class Watched:
    """A source that counts how often it is opened."""

    data: bytes
    opened: list[Sequence[ByteRange] | None] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.data)

    @property
    def digest(self) -> bytes:
        return Held(self.data).digest

    async def pieces(self, ranges: Sequence[ByteRange] | None = None) -> AsyncGenerator[Piece, None]:
        self.opened.append(ranges)
        async with aclosing(Held(self.data).pieces(ranges)) as pieces:
            async for piece in pieces:
                yield piece


def related(*datas: bytes) -> Payload:
    parts = [Part(Held(data), DICOM, f"http://box/{index}") for index, data in enumerate(datas)]
    return multipart(parts, location="http://box/study", modified=1000.0, vary=("Accept",))


def single(data: bytes) -> Payload:
    return single_part(Part(Held(data), DICOM, "http://box/1"), modified=1000.5)


async def unheard() -> Message:
    raise AssertionError("a GET has no body")


def ask(payload: Payload, method: str = "GET", **fields: str) -> Reply:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    request = Request({"type": "http", "method": method, "headers": raw}, unheard, "/", "http://box")
    return reply_with(request, payload, NOW)


def body_of(reply: Reply) -> bytes:
    async def gathered() -> bytes:
        assert not isinstance(reply.body, bytes)
        async with aclosing(reply.body()) as pieces:
            return b"".join([bytes(piece) async for piece in pieces])

    return trio.run(gathered)


def slices_of(reply: Reply) -> list[tuple[int, int, bytes]]:
    """First byte, last byte and bytes of every range of a 206, read without any code of edged."""
    fields, body = dict(reply.headers), body_of(reply)
    assert int(fields["content-length"]) == len(body)
    parts = [(fields, body)]
    if fields["content-type"].startswith("multipart/byteranges"):
        assert "content-range" not in fields
        parts = parts_of(fields["content-type"], body)
    found = [(CONTENT_RANGE.fullmatch(head["content-range"]), data) for head, data in parts]
    return [(int(match[1]), int(match[2]), data) for match, data in found if match]


def wanted(header: str, length: int) -> set[int]:
    """The numbers of the bytes that a Range asks for, one by one."""
    numbers: set[int] = set()
    for spec in header.removeprefix("bytes=").split(","):
        first, _, last = spec.partition("-")
        if first:
            numbers.update(range(int(first), min(int(last) + 1 if last else length, length)))
        else:
            numbers.update(range(max(length - int(last), 0), length))
    return numbers


def require_slices(payload: Payload, header: str) -> None:
    whole = body_of(ask(payload))
    assert len(whole) == payload.source.length
    numbers = wanted(header, len(whole))
    if not numbers:
        if whole:
            with pytest.raises(Refusal) as refused:
                ask(payload, range=header)
            assert refused.value.problem.status is HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            assert ("content-range", f"bytes */{len(whole)}") in refused.value.headers
        return
    reply = ask(payload, range=header)
    assert reply.status is HTTPStatus.PARTIAL_CONTENT
    got = slices_of(reply)
    assert all(data == whole[first : last + 1] for first, last, data in got)
    assert sorted(number for first, last, _ in got for number in range(first, last + 1)) == sorted(numbers)


@given(datas, headers)
def test_any_range_of_a_multipart_payload_is_its_slice(contents: list[bytes], header: str) -> None:
    require_slices(related(*contents), header)


@given(st.binary(max_size=600), headers)
def test_any_range_of_a_single_part_is_its_slice(data: bytes, header: str) -> None:
    require_slices(single(data), header)


@given(datas)
def test_a_multipart_payload_is_its_parts(contents: list[bytes]) -> None:
    reply = ask(related(*contents))
    fields, body = dict(reply.headers), body_of(reply)
    assert int(fields["content-length"]) == len(body)
    assert body == body_of(ask(related(*contents)))
    for index, (head, data) in enumerate(parts_of(fields["content-type"], body)):
        assert data == contents[index]
        assert head == {
            "content-type": "application/dicom",
            "content-location": f"http://box/{index}",
            "content-length": str(len(data)),
        }


def test_every_payload_has_a_tag_of_its_own() -> None:
    payloads = [
        related(b"a"),
        related(b"a", b"b"),
        related(b"b", b"a"),
        related(b"ab"),
        single(b"a"),
        single(b"b"),
        single_part(Part(Held(b"a"), MediaType("application", "dicom", {"a": "b"}), "http://box/1"), modified=None),
        multipart([Part(Held(b"a"), DICOM, "http://other/0")], location="http://box/study", modified=None),
    ]
    assert len({payload.validators.etag for payload in payloads}) == len(payloads)
    assert related(b"a").validators == related(b"a").validators


def test_parts_outside_of_the_ranges_are_not_opened() -> None:
    sources = [Watched(bytes([index]) * 1000) for index in range(5)]
    parts = [Part(source, DICOM, "http://box/1") for source in sources]
    payload = multipart(parts, location="http://box/", modified=None)
    whole = body_of(ask(payload))
    begin, end = whole.index(b"\2" * 1000), whole.index(b"\3" * 1000)
    for source in sources:
        source.opened.clear()
    reply = ask(payload, range=f"bytes={begin + 10}-{begin + 19},{begin + 30}-{begin + 30},{end}-{end + 4}")
    assert body_of(reply).count(b"\2" * 10) == 1
    assert [source.opened for source in sources] == [
        [],
        [],
        [[ByteRange(10, 20), ByteRange(30, 31)]],
        [[ByteRange(0, 5)]],
        [],
    ]


LAST_MODIFIED = "Thu, 01 Jan 1970 00:16:40 GMT"
WHOLE, PART, SAME = HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.NOT_MODIFIED
TAG = str(single(b"0123456789").validators.etag)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, WHOLE),
        ({"range": "bytes=1-2"}, PART),
        ({"range": "bytes=1-2", "if_range": TAG}, PART),
        ({"range": "bytes=1-2", "if_range": LAST_MODIFIED}, PART),
        ({"range": "bytes=1-2", "if_range": '"other"'}, WHOLE),
        ({"range": "bytes=1-2", "if_range": "W/" + TAG}, WHOLE),
        ({"range": "bytes=1-2", "if_range": "Thu, 01 Jan 1970 00:16:41 GMT"}, WHOLE),
        ({"range": "bytes=90-", "if_range": '"other"'}, WHOLE),
        ({"range": "bytes=1-2", "if_none_match": TAG}, SAME),
        ({"range": "bytes=90-", "if_none_match": TAG}, SAME),
        ({"range": "bytes=1-2", "if_none_match": '"other"'}, PART),
        ({"range": "bytes=1-2", "if_match": TAG}, PART),
        ({"range": "lines=1-2"}, WHOLE),
        ({"range": "bytes=2-1"}, WHOLE),
        ({"if_none_match": TAG}, SAME),
        ({"if_none_match": "W/" + TAG}, SAME),
        ({"if_none_match": "*"}, SAME),
        ({"if_none_match": f'"other", {TAG}'}, SAME),
        ({"if_none_match": '"other"'}, WHOLE),
        ({"if_modified_since": LAST_MODIFIED}, SAME),
        ({"if_modified_since": "Thu, 01 Jan 1970 00:16:39 GMT"}, WHOLE),
        ({"if_modified_since": "yesterday"}, WHOLE),
        ({"if_modified_since": LAST_MODIFIED, "if_none_match": '"other"'}, WHOLE),
        ({"if_match": TAG}, WHOLE),
        ({"if_match": "*"}, WHOLE),
        ({"if_unmodified_since": LAST_MODIFIED}, WHOLE),
        ({"if_unmodified_since": "Thu, 01 Jan 1970 00:16:39 GMT", "if_match": TAG}, WHOLE),
    ],
)
def test_conditions(fields: dict[str, str], status: HTTPStatus) -> None:
    reply = ask(single(b"0123456789"), **fields)
    assert reply.status is status
    assert dict(reply.headers)["etag"] == TAG
    if status is SAME:
        assert reply.body == b""
    else:
        assert body_of(reply) == (b"12" if status is PART else b"0123456789")


@pytest.mark.parametrize(
    "fields",
    [
        {"if_match": '"other"'},
        {"if_match": "W/" + TAG},
        {"if_match": '"other"', "if_none_match": TAG},
        {"if_match": '"other"', "range": "bytes=90-"},
        {"if_unmodified_since": "Thu, 01 Jan 1970 00:16:39 GMT"},
    ],
)
def test_preconditions_that_fail(fields: dict[str, str]) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(Refusal) as refused:
            ask(single(b"0123456789"), method, **fields)
        assert refused.value.problem.status is HTTPStatus.PRECONDITION_FAILED


def test_what_the_answers_say() -> None:
    identity = {
        "etag": TAG,
        "content-location": "http://box/1",
        "cache-control": "private, no-cache",
    }
    said = {**identity, "last-modified": LAST_MODIFIED, "accept-ranges": "bytes"}
    whole = {**said, "content-type": "application/dicom", "content-length": "10"}
    part = {"content-type": "application/dicom", "content-length": "2", "content-range": "bytes 1-2/10"}
    payload = single(b"0123456789")
    assert dict(ask(payload).headers) == whole
    assert dict(ask(payload, "HEAD").headers) == whole
    assert dict(ask(payload, "HEAD", range="bytes=1-2").headers) == whole
    assert dict(ask(payload, if_none_match="*").headers) == identity
    assert dict(ask(payload, range="bytes=1-2").headers) == {**said, **part}
    assert dict(ask(payload, range="bytes=1-2", if_range=TAG).headers) == {**identity, **part}
    assert dict(ask(related(b"a")).headers)["vary"] == "Accept"


def test_without_a_date_dates_are_not_heeded() -> None:
    payload = single_part(Part(Held(b"0123456789"), DICOM, "http://box/1"), modified=None)
    assert "last-modified" not in dict(ask(payload).headers)
    for name in ("if_modified_since", "if_unmodified_since"):
        assert ask(payload, **{name: LAST_MODIFIED}).status is WHOLE
    assert ask(payload, range="bytes=1-2", if_range=LAST_MODIFIED).status is WHOLE
