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
from edged.http.zstandard import WINDOW_BYTES, zstd_compressor, zstd_decompressor
from tests.support.work import counted_calls, each_builtin_call

PLENTY = DecodeLimits(output_bytes=1 << 30)
EMPTY = gzip.compress(b"", mtime=0)
MAGIC = b"\x28\xb5\x2f\xfd"
EMPTY_LAST = b"\x01\0\0"  # a raw block of no octets, the last of its frame
SKIPPED = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
EMPTY_FRAME = encode(b"", Coding.ZSTD)
TWICE = ["gzip, deflate", "deflate, gzip", "gzip, gzip", "zstd, gzip", "deflate, zstd", "zstd, zstd"]
CODED = [None, "identity", "gzip", "x-gzip", "deflate", "zstd", *TWICE]
EMPTY_BLOCK = zlib.compressobj(wbits=-zlib.MAX_WBITS).flush(zlib.Z_SYNC_FLUSH)  # deflate that decodes to nothing


def framed(window: int, blocks: bytes = EMPTY_LAST, dictionary: bool = False) -> bytes:
    """A frame with this window descriptor (RFC 8878 3.1.1.1.2)."""
    return MAGIC + bytes([dictionary, window, *[7] * dictionary]) + blocks


def repeated(octet: bytes, count: int, last: bool = False) -> bytes:
    """A block of one octet many times."""
    return (last | 1 << 1 | count << 3).to_bytes(3, "little") + octet


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


@pytest.mark.parametrize("coded", ["gzip", "deflate", "zstd", "gzip, deflate", "zstd, zstd"])
def test_a_body_cut_anywhere_is_never_taken_for_whole(coded: str) -> None:
    sent = encoded(b"a body that is worth a few blocks" * 9, coded)
    for length in range(len(sent)):
        with pytest.raises(ContentCodingError):
            decode([sent[:length]], coded)


@pytest.mark.parametrize("coded", ["gzip", "deflate", "zstd", *TWICE])
@pytest.mark.parametrize("rest", [b"\x00", b"\r\n", b"junk", b"\x1f", b"\x1f\x8b", b"\x78\x9c", MAGIC, SKIPPED[:8]])
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


def test_frames_in_a_row() -> None:
    one, two = encode(b"one ", Coding.ZSTD), framed(0, b"\x19\0\0two")
    sent = SKIPPED + one + EMPTY_FRAME + SKIPPED + two + SKIPPED
    assert decode([sent], "zstd") == decode(one_by_one(sent), "zstd") == b"one two"
    assert decode([SKIPPED], "zstd") == b""
    for pieces in ([sent[:-1]], one_by_one(sent[:-1]), [SKIPPED[:5]]):
        with pytest.raises(ContentCodingError, match="early"):
            decode(pieces, "zstd")


def test_a_window_is_as_large_as_everybody_supports_and_no_larger() -> None:
    exponent = 23 - 10
    assert 1 << 23 == WINDOW_BYTES == 8 << 20
    for window in (0, exponent << 3):
        assert decode([framed(window)], "zstd") == b""
    for window in (exponent << 3 | 1, (exponent + 1) << 3, 0xFF):
        for pieces in ([framed(window)], one_by_one(framed(window))):
            with pytest.raises(ContentCodingError, match="8 MiB"):
                decode(pieces, "zstd")
    for size in (WINDOW_BYTES + 1, (1 << 32) - 1):  # a single segment: its content is its window
        with pytest.raises(ContentCodingError, match="8 MiB"):
            decode([MAGIC + b"\xa0" + size.to_bytes(4, "little")], "zstd")


def test_what_lies_a_window_back_is_found() -> None:
    image = random.Random(1).randbytes(WINDOW_BYTES - (64 << 10))
    window_log, long_distance = 101, 160  # parameters of libzstd
    far = type(zstd_compressor())(options={window_log: 23, long_distance: 1})
    sent = far.compress(image + image[: 1 << 20]) + far.flush()
    assert len(sent) < WINDOW_BYTES + (16 << 10)
    assert decode([sent], "zstd") == image + image[: 1 << 20]


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
        (b"", "zstd"),
        (b"plain", "zstd"),
        (gzip.compress(b"body"), "zstd"),
        (encode(b"body", Coding.ZSTD)[:-4] + bytes(4), "zstd"),  # a wrong checksum
        (framed(0, dictionary=True), "zstd"),
        (MAGIC + b"\x08\0" + EMPTY_LAST, "zstd"),  # a reserved bit
        (MAGIC + b"\0\0" + b"\x07\0\0", "zstd"),  # a reserved type of block
        (b"\x27\xb5\x2f\xfd" + bytes(20), "zstd"),  # a format before the standard
    ],
)
def test_malformed_bodies(sent: bytes, coded: str) -> None:
    for pieces in ([sent], one_by_one(sent)):
        with pytest.raises(ContentCodingError):
            decode(pieces, coded)


@pytest.mark.parametrize(("coding", "check_bytes"), [(Coding.GZIP, 8), (Coding.ZSTD, 4)])
def test_what_came_before_an_error_is_good_and_the_error_is_final(coding: Coding, check_bytes: int) -> None:
    body = bytes(3 * PIECE_BYTES)
    decoder, seen = Decoder(coding.value, PLENTY), b""

    def read(data: bytes) -> None:
        nonlocal seen
        for piece in decoder.feed(data):
            seen += piece

    with pytest.raises(ContentCodingError):
        read(encode(body, coding)[:-check_bytes] + bytes(check_bytes))
    assert body.startswith(seen)
    for _ in range(2):
        with pytest.raises(ContentCodingError):
            read(encode(b"another", coding))
        with pytest.raises(ContentCodingError):
            decoder.finish()


@pytest.mark.parametrize("coded", ["br", "zstd, br", "gzip, gzip, gzip", "zstd, zstd, zstd"])
def test_a_coding_that_is_not_known_is_refused_before_the_body(coded: str) -> None:
    with pytest.raises(UnsupportedCoding):
        Decoder(coded, PLENTY)


@pytest.mark.parametrize("coded", [None, "gzip", "zstd", "gzip, deflate", "zstd, gzip"])
def test_the_bound_in_bytes(coded: str | None) -> None:
    sent = encoded(bytes(5000), coded)
    assert decode([sent], coded, DecodeLimits(output_bytes=5000)) == bytes(5000)
    with pytest.raises(ExpansionExceeded):
        decode([sent], coded, DecodeLimits(output_bytes=4999))


@pytest.mark.parametrize("coded", ["gzip", "zstd"])
def test_the_bound_on_the_ratio(coded: str) -> None:
    sent = encoded(bytes(1_000_000), coded)
    strict = DecodeLimits(output_bytes=1 << 30, ratio=100, free_bytes=10_000)
    for pieces in ([sent], one_by_one(sent)):
        with pytest.raises(ExpansionExceeded):
            decode(pieces, coded, strict)
    reached = 1_000_000 // len(sent) + 1
    assert decode([sent], coded, DecodeLimits(1 << 30, ratio=100, free_bytes=1_000_000)) == bytes(1_000_000)
    assert decode([sent], coded, DecodeLimits(1 << 30, ratio=reached, free_bytes=0)) == bytes(1_000_000)


@pytest.mark.parametrize(
    ("member", "given", "coding"),
    [
        (EMPTY, b"", "gzip"),
        (gzip.compress(b"a"), b"a", "gzip"),
        (EMPTY_FRAME, b"", "zstd"),
        (encode(b"a", Coding.ZSTD), b"a", "zstd"),
        (SKIPPED, b"", "zstd"),
    ],
)
def test_members_and_frames_are_bounded(member: bytes, given: bytes, coding: str) -> None:
    most = member * MAX_MEMBERS
    for body, coded in ((most, coding), (gzip.compress(most), f"{coding}, gzip")):
        assert decode([body], coded) == given * MAX_MEMBERS
    for body, coded in ((most + member, coding), (gzip.compress(most + member), f"{coding}, gzip")):
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
    steps_of_blocks = len(blocks) // STEP_BYTES[Coding.DEFLATE]
    raw = framed(0, bytes(3) * 20_000)
    steps_of_raw = len(raw) // STEP_BYTES[Coding.ZSTD]
    for body, coded, least in (
        (EMPTY * 2000, "gzip", 2000),
        (gzip.compress(EMPTY * 2000), "gzip, gzip", 2000),
        (blocks, "deflate", steps_of_blocks),
        (zlib.compress(blocks), "deflate, deflate", steps_of_blocks),
        (zlib.compress(bytes(5 << 20)), "deflate", (5 << 20) // PIECE_BYTES),
        (EMPTY_FRAME * 2000, "zstd", 2000),
        (SKIPPED * 2000, "zstd", 2000),
        (gzip.compress(EMPTY_FRAME * 2000), "zstd, gzip", 2000),
        (raw, "zstd", steps_of_raw),
        (encode(raw, Coding.ZSTD), "zstd, zstd", steps_of_raw),
        (b"\x5f\x2a\x4d\x18\xff\xff\xff\xff" + bytes(1 << 20), "zstd", (1 << 20) // STEP_BYTES[Coding.ZSTD]),
        (framed(0x50, repeated(b"a", 128 << 10) * 40), "zstd", (5 << 20) // PIECE_BYTES),
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
        elif isinstance(inflater, type(zstd_decompressor())):
            left.append(len(inflater.unused_data))

    for coding, member in ((Coding.GZIP, EMPTY), (Coding.ZSTD, EMPTY_FRAME)):
        left.clear()
        for body, coded in ((member * 2000, coding.value), (gzip.compress(member * 2000), f"{coding.value}, gzip")):
            with each_builtin_call(note):
                decode([body], coded)
        assert len(left) >= 4_000
        assert max(left) < STEP_BYTES[coding]


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.ZSTD])
def test_a_bomb_is_never_in_memory(coding: Coding) -> None:
    bomb = encode(encode(bytes(50 << 20), coding), coding)
    decoder = Decoder(f"{coding.value}, {coding.value}", DecodeLimits(output_bytes=1 << 40, free_bytes=20 << 20))
    given = 0

    def explode() -> None:
        nonlocal given
        for piece in decoder.feed(bomb):
            assert len(piece) <= PIECE_BYTES
            given += len(piece)

    with pytest.raises(ExpansionExceeded):
        explode()
    assert given <= 20 << 20


@pytest.mark.parametrize("coding", [Coding.GZIP, Coding.ZSTD])
def test_nothing_is_made_before_it_is_asked_for(coding: Coding) -> None:
    pieces = Decoder(coding.value, PLENTY).feed(encode(bytes(50 << 20), coding))
    assert len(next(pieces)) == PIECE_BYTES


HEADS = st.sampled_from(
    [
        *(b"", b"\x1f\x8b\x08", b"\x78\x9c", gzip.compress(b"body"), zlib.compress(b"body" * 99)),
        *(
            MAGIC,
            SKIPPED,
            EMPTY_FRAME,
            framed(0x50, b""),
            repeated(b"a", 100, last=True),
            encode(b"body" * 99, Coding.ZSTD),
        ),
    ]
)


@pytest.mark.parametrize("coded", CODED)
@given(pieces=st.lists(HEADS | st.binary(max_size=30), max_size=6))
def test_anything_is_a_body_or_its_own_error_however_it_is_cut(coded: str | None, pieces: list[bytes]) -> None:
    results = [outcome(each, coded) for each in (pieces, [b"".join(pieces)], one_by_one(b"".join(pieces)))]
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("coding", [Coding.DEFLATE, Coding.ZSTD])
@given(data=st.data())
def test_one_changed_byte_never_gives_another_body(coding: Coding, data: st.DataObject) -> None:
    body = data.draw(st.binary(min_size=1, max_size=100))
    sent = bytearray(encode(body, coding))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome([bytes(sent)], coding.value) in (body, None)


def outcome(pieces: list[bytes], coded: str | None) -> bytes | None:
    try:
        return decode(pieces, coded)
    except ContentCodingError:
        return None
