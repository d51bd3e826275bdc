"""What `edged.http` reads piece by piece, and what it cuts: multipart bodies, content codings, ranges.

What may live here: for each the function that holds its invariant, and a few inputs to begin with.
"""

import zlib
from itertools import groupby, pairwise
from zlib import crc32

from edged.http.content_coding import ContentCodingError
from edged.http.content_decoding import PIECE_BYTES, DecodeLimits, Decoder
from edged.http.multipart import (
    MultipartError,
    MultipartLimits,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    is_boundary,
)
from edged.http.ranges import ByteRange, partial_content, select_ranges
from tests.fuzz.target import Target, first_line, however_cut, text

LIMITS = MultipartLimits(head_bytes=300, headers=5, parts=8)
MOST_DECODED = 1 << 20
LONGEST_PAYLOAD = 2000
BOUNDARY = "a-boundary"


def multipart(data: bytes) -> None:
    """The same parts however the body is cut, never more octets than came; else MultipartError, however it is cut."""
    line, body = first_line(data)
    boundary = line.strip().encode("latin-1") if is_boundary(line.strip()) else b"x"
    events, _ = however_cut(body, lambda pieces: _parts(boundary, pieces))
    assert sum(len(event) for event in events if isinstance(event, bytes)) <= len(body)
    assert sum(event is True or event is False for event in events) <= LIMITS.parts


def _parts(boundary: bytes, pieces: list[bytes]) -> tuple[list[object], bool]:
    """Heads as they are, data joined, ends as whether they are complete; and whether the body was refused."""
    parser = MultipartParser(boundary, LIMITS)
    events: list[object] = []
    refused = False
    try:
        for piece in pieces:
            events += parser.feed(piece)
        events += parser.finish()
    except MultipartError:
        refused = True
    joined: list[object] = []
    for is_data, group in groupby(events, key=lambda event: isinstance(event, PartData)):
        if is_data:
            joined.append(b"".join(event.data for event in group if isinstance(event, PartData)))
            continue
        for event in group:
            joined.append(event.complete if isinstance(event, PartEnd) else event)
            assert isinstance(event, PartEnd | PartBegin)
    return joined, refused


def content_decoding(data: bytes) -> None:
    """The same body however it is cut, in pieces of bounded size and as a whole within its limit, or an error."""
    coding, body = first_line(data)
    however_cut(body, lambda pieces: _decoded(coding, pieces))


def _decoded(coding: str, pieces: list[bytes]) -> bytes | None:
    decoded = bytearray()
    try:
        decoder = Decoder(coding, DecodeLimits(MOST_DECODED))
        for piece in pieces:
            for given in decoder.feed(piece):
                assert len(given) <= PIECE_BYTES
                decoded += given
                assert len(decoded) <= MOST_DECODED
        decoder.finish()
    except ContentCodingError:
        return None
    return bytes(decoded)


def ranges(data: bytes) -> None:
    """Ascending ranges apart from one another within the payload; the answer has their bytes and its length."""
    length = crc32(data) % LONGEST_PAYLOAD
    selected = select_ranges(text(data), length)
    if not isinstance(selected, tuple):
        return
    assert selected == tuple(sorted(selected))
    assert all(0 <= each.start < each.stop <= length for each in selected)
    assert all(one.stop < other.start for one, other in pairwise(selected))
    payload = bytes(number * 7 % 251 for number in range(length))
    answer = however_cut(payload, lambda pieces: _answer(selected, pieces, length))
    wanted = [payload[each.start : each.stop] for each in selected]
    assert (_bodies(answer) if len(wanted) > 1 else [answer]) == wanted


def _answer(selected: tuple[ByteRange, ...], pieces: list[bytes], length: int) -> bytes:
    plan = partial_content(selected, length, content_type="application/dicom", boundary=BOUNDARY)
    cutter = plan.cutter()
    answer = b"".join(bytes(part) for piece in pieces for part in cutter.feed(piece))
    assert len(answer) == plan.content_length
    assert cutter.wanted is None
    return answer


def _bodies(answer: bytes) -> list[bytes]:
    parser = MultipartParser(BOUNDARY.encode())
    bodies: list[bytes] = []
    for event in [*parser.feed(answer), *parser.finish()]:
        if isinstance(event, PartBegin):
            bodies.append(b"")
        elif isinstance(event, PartData):
            bodies[-1] += event.data
    return bodies


_BODY = (
    b"preamble\r\n--x \t\r\nContent-Type: application/dicom\r\nA: b\r\n c\r\n\r\nDICM\r\n-\r\n--\r\n"
    b"--x\r\n\r\n\r\n--x\n\n--x--epilogue"
)
_PLAIN = b'{"00100020": {"vr": "LO"}}' * 20
_TEXT = zlib.compress(_PLAIN)
_GZIP = zlib.compressobj(wbits=31)
_MEMBER = _GZIP.compress(_PLAIN) + _GZIP.flush()

TARGETS = (
    Target("multipart", multipart, (b"x\n" + _BODY, b"a'b\n--a'b\r\n\r\n\r\n--a'b--", b"x\n--x\r\n\r\n" + bytes(99))),
    Target(
        "content-decoding",
        content_decoding,
        (
            b"gzip\n" + _MEMBER * 2,
            b"deflate\n" + _TEXT,
            b"gzip, deflate\n" + zlib.compress(_MEMBER),
            b"deflate\n" + zlib.compress(bytes(3 << 20), 9),
            b"identity\nabc",
        ),
    ),
    Target(
        "ranges", ranges, (b"bytes=0-0,-1", b"Bytes = 5-9 , 1-3,, 10-", b"bytes=-0", b"bytes=99999999999999999999-")
    ),
)
