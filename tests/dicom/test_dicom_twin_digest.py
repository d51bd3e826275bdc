"""Both digests of an instance: independent of cuts and encodings, and the pixels are hashed once for both."""

import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.dicom import twin_digest, uids
from edged.dicom.dataset import LONG_VALUE
from edged.dicom.digests import FileDigest, new_digest
from edged.dicom.edits import Piece
from edged.dicom.scanner import InstanceScanner, Scan
from tests.support.dicom_samples import bare_file, converted, digest_of, file_of, plain, read, scan, shipped, written

PIXELS = bytes(range(256)) * (LONG_VALUE // 256)
PIXEL_DATA = plain(0x7FE00010, b"OW", PIXELS)
GROUP_LENGTH = plain(0x00280000, b"UL", bytes(4))
PADDING = plain(0xFFFCFFFC, b"OB", bytes(700))
SHORTER = plain(0x00420011, b"OB", PIXELS[2:])
ENCAPSULATED = (
    b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"
    + b"".join(b"\xfe\xff\x00\xe0" + len(each).to_bytes(4, "little") + each for each in (b"", b"ab" * 20, b"cd" * 9))
    + b"\xfe\xff\xdd\xe0\0\0\0\0"
)


def scanned(pieces: list[bytes]) -> Scan:
    scanner = InstanceScanner()
    for piece in pieces:
        scanner.feed(piece)
    return scanner.finish()


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[low:high] for low, high in pairwise(marks)]


class Counted:
    """A digest that adds what it hashes to a count."""

    def __init__(self, count: list[int]) -> None:
        self._digest = new_digest()
        self._count = count

    def update(self, data: Piece) -> None:
        self._count.append(len(data))
        self._digest.update(data)

    def digest(self) -> bytes:
        return self._digest.digest()


@pytest.mark.parametrize("step", [0, 4096, 1 << 17])
@pytest.mark.parametrize("syntax", [uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN])
def test_pixels_are_hashed_once(monkeypatch: pytest.MonkeyPatch, syntax: str, step: int) -> None:
    data_set = read(file_of())
    data_set.add_new(0x7FE00010, "OW", PIXELS * 4)
    data = written(data_set, syntax)
    count: list[int] = []
    monkeypatch.setattr(twin_digest, "new_digest", lambda: Counted(count))
    found = scan(data, step)
    assert sum(count) < len(data) + 2000
    assert found.file_digest == digest_of(data, found.body_offset)


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (file_of(PIXEL_DATA), PIXELS),
        (file_of(plain(0x7FE00010, b"OB", PIXELS[2:])), b""),
        (file_of(SHORTER, PIXEL_DATA), PIXELS),
        (file_of(plain(0x00420011, b"OB", PIXELS), PIXEL_DATA), PIXELS + PIXEL_DATA),
        (file_of(ENCAPSULATED, transfer_syntax_uid=uids.JPEG_BASELINE), None),
        (file_of(), b""),
    ],
)
def test_the_body_is_what_begins_with_the_first_long_value(data: bytes, begins: bytes | None) -> None:
    found = scan(data)
    expected = begins if begins is not None else ENCAPSULATED[20:]
    assert data[found.body_offset :] == expected
    assert found.file_digest == digest_of(data, found.body_offset)
    body = found.body_offset - found.dataset_offset
    assert found.dataset_digest == digest_of(data[found.dataset_offset :], body)


def test_a_long_value_inside_a_sequence_is_no_body() -> None:
    inner = plain(0x00420011, b"OB", PIXELS)
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner + b"\xfe\xff\x0d\xe0\0\0\0\0"
    data = file_of(b"\x40\0\x60\x02SQ\0\0\xff\xff\xff\xff" + item + b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert scan(data).body_offset == len(data)


@pytest.mark.parametrize("step", [0, 1000, LONG_VALUE, LONG_VALUE + 300])
def test_what_is_edited_behind_the_pixels_parts_the_digests(step: int) -> None:
    clean, padded = file_of(PIXEL_DATA), file_of(PIXEL_DATA, PADDING)
    found = scan(padded, step)
    assert found.dataset_digest == scan(clean).dataset_digest
    assert found.file_digest == digest_of(padded, found.body_offset)
    assert found == scan(padded)


def test_every_encoding_of_long_pixels_is_the_same_data_set() -> None:
    data_set = read(file_of(PIXEL_DATA))
    encodings = [uids.EXPLICIT_VR_LITTLE_ENDIAN, uids.IMPLICIT_VR_LITTLE_ENDIAN, uids.EXPLICIT_VR_BIG_ENDIAN]
    files = [written(data_set, each) for each in encodings[:2]]
    found = [scan(each) for each in files]
    deflater = zlib.compressobj(wbits=-15)
    body = deflater.compress(files[0][found[0].dataset_offset :]) + deflater.flush()
    deflated = bare_file(body, transfer_syntax_uid=uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    found += [scan(deflated), scan(deflated, 77), scan(converted(files[1]))]
    assert len({each.dataset_digest for each in found}) == 1
    assert found[2].body_offset == len(deflated)
    assert found[2].file_digest == digest_of(deflated, len(deflated))


def test_an_irregular_end_keeps_the_digest_of_the_file() -> None:
    broken = file_of(PIXEL_DATA) + b"\xff\xff\xff\xff" * 9
    found = scan(broken)
    assert found.irregular
    assert found.dataset_digest == found.file_digest == digest_of(broken, found.body_offset)
    assert scan(broken, 4096) == found


ELEMENTS = st.lists(
    st.sampled_from([GROUP_LENGTH, SHORTER, PIXEL_DATA, PADDING, plain(0x00100020, b"LO", b"A1")]), max_size=6
)


@settings(max_examples=60)
@given(ELEMENTS, st.lists(st.integers(0, 1 << 19), max_size=8))
def test_cuts_change_nothing(elements: list[bytes], cuts: list[int]) -> None:
    data = file_of(*elements)
    found = scanned(pieces_of(data, cuts))
    assert found == scan(data)
    assert found.file_digest == digest_of(data, found.body_offset)


@given(st.binary(max_size=300), st.integers(0, 300), st.lists(st.integers(0, 300), max_size=5))
def test_a_file_is_hashed_in_any_pieces(data: bytes, body_offset: int, cuts: list[int]) -> None:
    digest = FileDigest(body_offset)
    for piece in pieces_of(data, cuts):
        digest.update(piece)
    assert digest.digest() == digest_of(data, body_offset)


def test_real_pixels_have_a_body() -> None:
    data = shipped("CT_small.dcm")
    assert scan(data).body_offset == len(data)  # 32 KiB: nothing to gain
    data = shipped("examples_rgb_color.dcm")
    assert scan(data).body_offset < len(data)


@pytest.mark.parametrize("step", [0, 1, 40])
def test_a_file_that_is_shorter_than_a_preamble(step: int) -> None:
    four = ((0x0008, 0x0016, "1.9"), (0x0008, 0x0018, "1.1"), (0x0020, 0x000D, "1.2"), (0x0020, 0x000E, "1.3"))
    elements = b"".join(plain(group << 16 | element, b"UI", text.encode() + b"\0") for group, element, text in four)
    data = elements + ENCAPSULATED[:12] + b"\xfe\xff\x00\xe0\0\0\0\0" + ENCAPSULATED[-8:]
    assert len(data) < 132
    found = scan(data, step)
    assert data[found.body_offset :] == ENCAPSULATED[-8:]
    assert found == scan(data)
    assert found.file_digest == digest_of(data, found.body_offset)


def implicit(tag: int, value: bytes) -> bytes:
    return (
        (tag >> 16).to_bytes(2, "little")
        + (tag & 0xFFFF).to_bytes(2, "little")
        + len(value).to_bytes(4, "little")
        + value
    )


IMPLICIT_UIDS = (
    implicit(0x00080016, b"1.9\0") + implicit(0x00080018, b"1.1\0"),
    implicit(0x0020000D, b"1.2\0") + implicit(0x0020000E, b"1.3\0"),
)


@pytest.mark.parametrize(
    "held_back",
    [
        implicit(0x00090010, b"A" * LONG_VALUE),  # a private creator, of which the beginning is waited for
        implicit(0x00081140, b"A" * LONG_VALUE),  # a sequence by the dictionary that holds no item
    ],
)
@pytest.mark.parametrize("step", [1, 131, 300, 4096])
def test_a_body_whose_beginning_was_waited_for(held_back: bytes, step: int) -> None:
    data = bare_file(IMPLICIT_UIDS[0], held_back, IMPLICIT_UIDS[1], transfer_syntax_uid=uids.IMPLICIT_VR_LITTLE_ENDIAN)
    found = scan(data, step)
    assert found == scan(data)
    assert found.file_digest == digest_of(data, found.body_offset)


@pytest.mark.parametrize("step", [20, 40, 131])
def test_a_body_that_begins_before_a_preamble_could_end(step: int) -> None:
    long_value = implicit(0x00080008, b"A" * LONG_VALUE).replace(b"\x08\0\x08\0", b"\x08\0\x09\0", 1)
    data = long_value + IMPLICIT_UIDS[0].replace(b"\x08\0\x08\0", b"\x08\0\x08\0") + IMPLICIT_UIDS[1]
    found = scan(data, step)
    assert found == scan(data)
    assert found.file_digest == digest_of(data, found.body_offset)
