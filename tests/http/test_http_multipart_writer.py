"""What is written has the length that was announced, and the parser reads it back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.media_type import parse_media_type
from edged.http.multipart import MultipartError, MultipartParser, PartBegin, PartData, PartEnd, boundary_of
from edged.http.multipart_writer import PART_TAIL, MultipartWriter

WRITER = MultipartWriter("edged-boundary")


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_length_is_exact_and_parts_come_back(parts: list[bytes]) -> None:
    head = WRITER.head([("Content-Type", "application/dicom")])
    body = b"".join(head + part + PART_TAIL for part in parts) + WRITER.closing
    assert len(body) == WRITER.content_length((len(head), len(part)) for part in parts)
    parser = MultipartParser(b"edged-boundary")
    seen: list[bytes] = []
    for event in [*parser.feed(body), *parser.finish()]:
        match event:
            case PartBegin(headers):
                assert headers == (("content-type", "application/dicom"),)
                seen.append(b"")
            case PartData(data):
                seen[-1] += data
            case PartEnd(complete):
                assert complete
    assert seen == parts
    assert parser.closed


def test_the_media_type_carries_type_and_boundary() -> None:
    written = str(WRITER.media_type("application/dicom"))
    assert written == 'multipart/related; type="application/dicom"; boundary=edged-boundary'
    assert boundary_of(parse_media_type(written)) == b"edged-boundary"


@pytest.mark.parametrize("header", [("X", "a\r\nY: b"), ("X Y", "a"), ("", "a"), ("X:", "a"), ("X\r\n", "a")])
def test_a_header_cannot_be_forged(header: tuple[str, str]) -> None:
    with pytest.raises(MultipartError):
        WRITER.head([header])


@pytest.mark.parametrize("boundary", ["", "a" * 71, "a ", "é", 'a"', "a\r\n"])
def test_an_illegal_boundary_is_refused(boundary: str) -> None:
    with pytest.raises(MultipartError):
        MultipartWriter(boundary)
