"""Content codings: what is chosen for an answer, and that others can undo it."""

import gzip
import random
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.content_coding import (
    ACCEPT_ENCODING,
    Coding,
    Encoder,
    UnsupportedCoding,
    choose_coding,
    coded_etag,
    codings_of,
    encode,
    is_worth_encoding,
)
from edged.http.zstandard import zstd_decompressor

GZIP, DEFLATE, ZSTD, IDENTITY = Coding.GZIP, Coding.DEFLATE, Coding.ZSTD, Coding.IDENTITY


def one_frame(body: bytes) -> bytes:
    decompressor = zstd_decompressor()
    decoded = decompressor.decompress(body)
    assert (decompressor.eof, decompressor.unused_data) == (True, b"")
    return decoded


UNDO: dict[Coding, Callable[[bytes], bytes]] = {
    GZIP: gzip.decompress,
    DEFLATE: zlib.decompress,
    ZSTD: one_frame,
    IDENTITY: bytes,
}


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        (None, IDENTITY),
        ("", IDENTITY),
        ("gzip", GZIP),
        ("GZip", GZIP),
        ("x-gzip", GZIP),
        ("deflate", DEFLATE),
        ("gzip, deflate", GZIP),
        ("deflate, gzip", GZIP),
        ("gzip;q=0.5, deflate;q=0.8", DEFLATE),
        ("gzip ; q = 0.5 , deflate;Q=0.8", DEFLATE),
        ("gzip, deflate, br", GZIP),
        ("br, compress", IDENTITY),
        ("gzip, deflate, br, zstd", ZSTD),
        ("br, ZStd", ZSTD),
        ("zstd;q=0.9, gzip", GZIP),
        ("zstd;q=0.9, deflate;q=0.8, *;q=0.9", ZSTD),
        ("zstd;q=0, gzip;q=0.1", GZIP),
        ("zstd, identity;q=0.9, *;q=0", ZSTD),
        ("gzip;q=0, deflate;q=0, *", IDENTITY),
        ("identity", IDENTITY),
        ("identity, gzip", GZIP),
        ("identity;q=0.6, gzip;q=0.5", IDENTITY),
        ("gzip;q=0", IDENTITY),
        ("gzip;q=0, *", DEFLATE),
        ("*", GZIP),
        ("*;q=0.5, gzip;q=0.2", DEFLATE),
        ("*;q=0", None),
        ("identity;q=0", None),
        ("br, identity;q=0", None),
        ("identity;q=0, *", GZIP),
        ("gzip, identity;q=0", GZIP),
        ("gzip, *;q=0", GZIP),
        ("identity, *;q=0", IDENTITY),
        ("gzip;q=2", IDENTITY),
        ("gzip;q=", GZIP),
        ("gzip;level=9", IDENTITY),
        ("gzip;q=1;x=2", IDENTITY),
        ("gzip gzip", IDENTITY),
        (",,gzip,", GZIP),
        ("gzip;q=0.001", GZIP),
    ],
)
def test_negotiation(header: str | None, coding: Coding | None) -> None:
    assert choose_coding(header) is coding


@given(
    st.text()
    | st.lists(st.sampled_from(["gzip", "zstd", "*", "identity", ";", "q=", "0", "0.5", ",", " "])).map("".join)
)
def test_any_field_is_answered(header: str) -> None:
    assert choose_coding(header) in (None, *Coding)


@pytest.mark.parametrize(
    ("content_type", "length", "worth"),
    [
        ("application/dicom+json", 1024, True),
        ("application/dicom+json", 1023, False),
        ("application/dicom+json", None, True),
        ("application/json", 5000, True),
        ("application/problem+json; charset=utf-8", 5000, True),
        ("application/vnd.sun.wadl+xml", 5000, True),
        ("text/html; charset=utf-8", 5000, True),
        ("image/svg+xml", 5000, True),
        ('multipart/related; type="application/dicom+xml"; boundary=b', 5000, True),
        ('multipart/related; type="application/dicom"; boundary=b', 5000, False),
        ('multipart/related; type="multipart/related"; boundary=b', 5000, False),
        ("multipart/related", 5000, False),
        ("application/dicom", 5000, False),
        ("application/octet-stream", 5000, False),
        ("image/jpeg", 5000, False),
        ("video/mp4", 5000, False),
        ("nonsense", 5000, False),
    ],
)
def test_what_is_worth_encoding(content_type: str, length: int | None, worth: bool) -> None:
    assert is_worth_encoding(content_type, length) is worth


def test_an_encoded_representation_is_another_one() -> None:
    tags = ['"00ff-gzip"', '"00ff-deflate"', '"00ff-zstd"', '"00ff"']
    assert [coded_etag('"00ff"', coding) for coding in Coding] == tags
    assert coded_etag('W/"1"', GZIP) == 'W/"1-gzip"'


@pytest.mark.parametrize("coding", Coding)
@given(pieces=st.lists(st.binary(max_size=200)))
def test_others_undo_what_is_encoded(coding: Coding, pieces: list[bytes]) -> None:
    encoder = Encoder(coding)
    encoded = b"".join(encoder.feed(memoryview(piece)) for piece in pieces) + encoder.finish()
    assert UNDO[coding](encoded) == b"".join(pieces)
    assert UNDO[coding](encode(b"".join(pieces), coding)) == b"".join(pieces)


@pytest.mark.parametrize("coding", Coding)
def test_equal_bodies_are_encoded_equally(coding: Coding) -> None:
    body = b'{"00080018":{"vr":"UI"}}' * 100
    assert encode(body, coding) == encode(body, coding)
    assert encode(body, GZIP)[4:8] == bytes(4)  # the time of a gzip head
    if coding is not IDENTITY:
        assert len(encode(body, coding)) < len(body) / 10


def test_a_zstd_body_has_a_checksum_and_a_window_that_everybody_supports() -> None:
    body = random.Random(1).randbytes(5 << 20)
    encoder = Encoder(ZSTD)
    sent = encoder.feed(body) + encoder.finish()
    descriptor, window = sent[4:6]
    assert descriptor == 0x04  # a checksum; neither a single segment nor a dictionary
    assert 1 << (10 + (window >> 3)) == 2 << 20


@pytest.mark.parametrize(
    ("value", "codings"),
    [
        (None, ()),
        ("", ()),
        ("identity", ()),
        ("gzip", (GZIP,)),
        ("X-GZIP", (GZIP,)),
        ("deflate, gzip", (DEFLATE, GZIP)),
        ("Zstd", (ZSTD,)),
        ("gzip, zstd", (GZIP, ZSTD)),
        ("identity, gzip ,, identity", (GZIP,)),
    ],
)
def test_the_codings_of_a_body(value: str | None, codings: tuple[Coding, ...]) -> None:
    assert codings_of(value) == codings


@pytest.mark.parametrize(
    "value",
    [
        *("br", "x-zstd", "compress", "gzip, br", "gzip;q=1", "*", '"gzip"', "gzip, gzip, gzip"),
        *("identity," * 40, "," * 40 + "gzip", "," * 40),
    ],
)
def test_codings_that_are_not_undone(value: str) -> None:
    with pytest.raises(UnsupportedCoding):
        codings_of(value)


def test_what_is_offered_is_what_is_undone() -> None:
    name, value = ACCEPT_ENCODING
    assert name == "accept-encoding"
    assert [codings_of(each) for each in value.split(", ")] == [(GZIP,), (DEFLATE,), (ZSTD,)]


@given(st.text() | st.lists(st.sampled_from(["gzip", "zstd", "deflate", "identity", ",", " ", "x-"])).map("".join))
def test_any_content_encoding_is_known_or_unsupported(value: str) -> None:
    try:
        assert set(codings_of(value)) <= {GZIP, DEFLATE, ZSTD}
    except UnsupportedCoding:
        return
