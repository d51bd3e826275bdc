"""Decoding: whole, byte by byte, cut anywhere, followed by more, far too large, and anything at all."""

import gzip
import random
import zlib
from types import BuiltinFunctionType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.content_coding import Coding, ContentCodingError, UnsupportedCoding, codings_of, encode
from edged.http.content_decoding import (
    BETWEEN_FREE_BYTES,
    BETWEEN_RATIO,
    MAX_MEMBERS,
    PIECE_BYTES,
    STEP_BYTES,
    DecodeLimits,
    Decoder,
    ExpansionExceeded,
)
from tests.support.work import counted_calls, each_builtin_call

PLENTY = DecodeLimits(output_bytes=1 << 30)
EMPTY = gzip.compress(b"", mtime=0)
CODED = [None, "identity", "gzip", "x-gzip", "deflate", "gzip, deflate", "deflate, gzip", "gzip, gzip"]
EMPTY_BLOCK = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush(zlib.Z_SYNC_FLUSH)  # deflate that decodes to nothing


def decode(pieces: list[bytes], content_encoding: str | None, limits: DecodeLimits = PLENTY) -> bytes:
    decoder = Decoder(content_encoding, limits)
    body = b"".join(decoded for piece in pieces for decoded in decoder.feed(piece))
    decoder.finish()
    return body


def encoded(body: bytes, content_encoding: str | None) -> bytes:
    for coding in codings_of(content_encoding):
        body = encode(body, coding)
    return body


def one_by_one(body: bytes) -> list[bytes]:
    return [body[i : i + 1] for i in range(len(body))]


@pytest.mark.parametrize("coded", CODED)
@given(data=st.data())
def test_any_split_gives_the_body(coded: str | None, data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=300) | st.integers(0, 9999).map(bytes))
    sent = encoded(body, coded)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    pieces = [sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert decode([sent], coded) == decode(one_by_one(sent), coded) == decode(pieces, coded) == body


@pytest.mark.parametrize("coded", CODED)
@pytest.mark.parametrize("length", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
def test_lengths_around_a_piece(coded: str | None, length: int) -> None:
    for body in (bytes(length), random.Random(1).randbytes(length)):
        assert decode([encoded(body, coded)], coded) == body


def test_an_identity_body_is_handed_on_as_it_is() -> None:
    piece = bytes(PIECE_BYTES)
    [decoded] = Decoder(None, PLENTY).feed(piece)
    assert decoded is piece


@pytest.mark.parametrize("coded", ["gzip", "deflate", "gzip, deflate"])
def test_a_body_cut_anywhere_is_never_taken_for_whole(coded: str) -> None:
    sent = encoded(b"a body that is worth a few blocks" * 9, coded)
    for length in range(len(sent)):
        with pytest.raises(ContentCodingError):
            decode([sent[:length]], coded)


@pytest.mark.parametrize("coded", ["gzip", "deflate", "gzip, deflate", "deflate, gzip"])
@pytest.mark.parametrize("rest", [b"\x00", b"\r\n", b"junk", b"\x1f", b"\x1f\x8b", b"\x78\x9c"])
def test_bytes_after_the_end(coded: str, rest: bytes) -> None:
    sent = encoded(b"body", coded) + rest
    for pieces in ([sent], one_by_one(sent)):
        with pytest.raises(ContentCodingError):
            decode(pieces, coded)


def test_gzip_members_in_a_row() -> None:
    sent = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + gzip.compress(b"")
    assert decode([sent], "gzip") == decode(one_by_one(sent), "gzip") == b"one two"
    twice = zlib.compress(b"one ") + zlib.compress(b"two")
    with pytest.raises(ContentCodingError, match="follow"):
        decode([twice], "deflate")


@pytest.mark.parametrize(
    ("sent", "coded"),
    [
        (b"", "gzip"),
        (b"plain", "gzip"),
        (b"plain", "deflate"),
        (zlib.compress(b"body"), "gzip"),
        (gzip.compress(b"body"), "deflate"),
        (zlib.compress(b"body")[2:-4], "deflate"),  # without the zlib head and check
        (gzip.compress(b"body")[:-8] + bytes(8), "gzip"),
        (b"\x78\xbb" + bytes(10), "deflate"),  # asks for a dictionary
        (gzip.compress(b"plain"), "gzip, gzip"),
        (gzip.compress(gzip.compress(b"body")[:-1]), "gzip, gzip"),
    ],
)
def test_malformed_bodies(sent: bytes, coded: str) -> None:
    for pieces in ([sent], one_by_one(sent)):
        with pytest.raises(ContentCodingError):
            decode(pieces, coded)


def test_what_came_before_an_error_is_good_and_the_error_is_final() -> None:
    body = bytes(3 * PIECE_BYTES)
    decoder, seen = Decoder("gzip", PLENTY), b""

    def read(data: bytes) -> None:
        nonlocal seen
        for piece in decoder.feed(data):
            seen += piece

    with pytest.raises(ContentCodingError):
        read(gzip.compress(body)[:-8] + bytes(8))
    assert body.startswith(seen)
    for _ in range(2):
        with pytest.raises(ContentCodingError):
            read(gzip.compress(b"another"))
        with pytest.raises(ContentCodingError):
            decoder.finish()


@pytest.mark.parametrize("coded", ["br", "zstd", "gzip, gzip, gzip"])
def test_a_coding_that_is_not_known_is_refused_before_the_body(coded: str) -> None:
    with pytest.raises(UnsupportedCoding):
        Decoder(coded, PLENTY)


def test_the_bound_in_bytes() -> None:
    sent = gzip.compress(bytes(5000))
    assert decode([sent], "gzip", DecodeLimits(output_bytes=5000)) == bytes(5000)
    for coded, body in (("gzip", sent), (None, bytes(5000)), ("gzip, deflate", zlib.compress(sent))):
        with pytest.raises(ExpansionExceeded):
            decode([body], coded, DecodeLimits(output_bytes=4999))


def test_the_bound_on_the_ratio() -> None:
    sent = gzip.compress(bytes(1_000_000))
    strict = DecodeLimits(output_bytes=1 << 30, ratio=100, free_bytes=10_000)
    with pytest.raises(ExpansionExceeded):
        decode([sent], "gzip", strict)
    with pytest.raises(ExpansionExceeded):
        decode(one_by_one(sent), "gzip", strict)
    assert decode([sent], "gzip", DecodeLimits(1 << 30, ratio=100, free_bytes=1_000_000)) == bytes(1_000_000)
    assert decode([sent], "gzip", DecodeLimits(1 << 30, ratio=1100, free_bytes=0)) == bytes(1_000_000)


@pytest.mark.parametrize("member", [EMPTY, gzip.compress(b"a")])
def test_members_are_bounded(member: bytes) -> None:
    most = member * MAX_MEMBERS
    for body, coded in ((most, "gzip"), (gzip.compress(most), "gzip, gzip")):
        assert decode([body], coded) == gzip.decompress(member) * MAX_MEMBERS
    for body, coded in ((most + member, "gzip"), (gzip.compress(most + member), "gzip, gzip")):
        with pytest.raises(ExpansionExceeded, match="members"):
            decode([body], coded)


def test_a_coding_in_between_is_bounded_too() -> None:
    begun = zlib.compress(b"")[:2]
    free = begun + EMPTY_BLOCK * (BETWEEN_FREE_BYTES // len(EMPTY_BLOCK) - 1)
    with pytest.raises(ContentCodingError, match="too early"):
        decode([zlib.compress(free)], "deflate, deflate")
    with pytest.raises(ExpansionExceeded, match=f"{BETWEEN_RATIO} times"):
        decode([zlib.compress(free + EMPTY_BLOCK)], "deflate, deflate")
    image = random.Random(1).randbytes(BETWEEN_FREE_BYTES * 2)
    assert decode([encoded(image, "deflate, gzip")], "deflate, gzip") == image


def test_every_step_ends_in_a_yield() -> None:
    """Whatever gives little for much: no members, no blocks and no codings are run through in one go."""
    blocks = zlib.compress(b"")[:2] + EMPTY_BLOCK * 20_000
    steps_of_blocks = len(blocks) // STEP_BYTES
    for body, coded, least in (
        (EMPTY * 2000, "gzip", 2000),
        (gzip.compress(EMPTY * 2000), "gzip, gzip", 2000),
        (blocks, "deflate", steps_of_blocks),
        (zlib.compress(blocks), "deflate, deflate", steps_of_blocks),
        (zlib.compress(bytes(5 << 20)), "deflate", (5 << 20) // PIECE_BYTES),
    ):
        yields, most, before = 0, 0, 0
        with counted_calls() as calls:
            for _ in Decoder(coded, PLENTY).feed(body):
                yields += 1
                most = max(most, calls["decompress"] - before)
                before = calls["decompress"]
        assert most <= len(codings_of(coded))
        assert yields >= least


def test_what_is_left_over_is_never_copied_far() -> None:
    left: list[int] = []

    def note(called: BuiltinFunctionType) -> None:
        if isinstance(inflater := called.__self__, type(zlib.decompressobj())):
            left.append(len(inflater.unused_data) + len(inflater.unconsumed_tail))

    for body, coded in ((EMPTY * 5000, "gzip"), (gzip.compress(EMPTY * 5000), "gzip, gzip")):
        with each_builtin_call(note):
            decode([body], coded)
    assert len(left) >= 10_000
    assert max(left) < STEP_BYTES


def test_a_bomb_is_never_in_memory() -> None:
    bomb = encode(encode(bytes(50 << 20), Coding.GZIP), Coding.GZIP)
    decoder = Decoder("gzip, gzip", DecodeLimits(output_bytes=1 << 40, free_bytes=20 << 20))
    given = 0

    def explode() -> None:
        nonlocal given
        for piece in decoder.feed(bomb):
            assert len(piece) <= PIECE_BYTES
            given += len(piece)

    with pytest.raises(ExpansionExceeded):
        explode()
    assert given <= 20 << 20


def test_nothing_is_made_before_it_is_asked_for() -> None:
    pieces = Decoder("gzip", PLENTY).feed(gzip.compress(bytes(50 << 20)))
    assert len(next(pieces)) == PIECE_BYTES


HEADS = st.sampled_from([b"", b"\x1f\x8b\x08", b"\x78\x9c", gzip.compress(b"body"), zlib.compress(b"body" * 99)])


@pytest.mark.parametrize("coded", CODED)
@given(pieces=st.lists(HEADS | st.binary(max_size=30), max_size=6))
def test_anything_is_a_body_or_its_own_error_however_it_is_cut(coded: str | None, pieces: list[bytes]) -> None:
    results = [outcome(each, coded) for each in (pieces, [b"".join(pieces)], one_by_one(b"".join(pieces)))]
    assert results[0] == results[1] == results[2]


@given(st.data())
def test_one_changed_byte_never_gives_another_body(data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=100))
    sent = bytearray(encode(body, Coding.DEFLATE))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome([bytes(sent)], "deflate") in (body, None)


def outcome(pieces: list[bytes], coded: str | None) -> bytes | None:
    try:
        return decode(pieces, coded)
    except ContentCodingError:
        return None
