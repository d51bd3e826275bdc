"""Odd structures that are read all the same, those that are not, and the head of a file."""

import pytest

from edged.dicom import uids
from edged.dicom.errors import DicomError
from edged.dicom.head import LARGEST_HEAD
from edged.dicom.reasons import FailureReason
from tests.support.dicom_samples import bare_file, converted, file_of, plain, read, scan, shipped, ui

ITEM = b"\xfe\xff\0\xe0"
OPEN = b"\xff\xff\xff\xff"
END_OF_ITEM = b"\xfe\xff\x0d\xe0\0\0\0\0"
END_OF_SEQUENCE = b"\xfe\xff\xdd\xe0\0\0\0\0"
SEQUENCE = b"\x08\0\x40\x11SQ\0\0"
NAME = plain(0x00100010, b"PN", b"Doe^Jane")


def same_digest(one: bytes, other: bytes) -> bool:
    """Whether both are regular and the same, fed whole and byte by byte."""
    found = [scan(data, step) for data in (one, other) for step in (0, 1)]
    return all(each.irregular is None for each in found) and len({each.dataset_digest for each in found}) == 1


@pytest.mark.parametrize(
    "tail",
    [
        bytes(8),
        bytes(512),
        bytes(515),
        END_OF_ITEM,
        END_OF_SEQUENCE,
        plain(0xFFFCFFFC, b"OB", bytes(20)),
        plain(0x7FE00000, b"UL", bytes(4)),
    ],
)
def test_what_may_stand_behind_the_last_element(tail: bytes) -> None:
    assert same_digest(file_of(NAME), file_of(NAME, tail))


def test_what_may_not_stand_behind_the_padding() -> None:
    assert scan(file_of(NAME, bytes(40), b"x")).irregular == "Something stands behind the padding."


def test_an_empty_sequence_has_one_form() -> None:
    undefined = SEQUENCE + OPEN + END_OF_SEQUENCE
    assert same_digest(file_of(SEQUENCE + bytes(4)), file_of(undefined))
    empty_item = SEQUENCE + OPEN + ITEM + OPEN + END_OF_ITEM + END_OF_SEQUENCE
    assert same_digest(file_of(SEQUENCE + b"\x08\0\0\0" + ITEM + bytes(4)), file_of(empty_item))


def test_an_implicit_item_in_an_explicit_data_set() -> None:
    inner = b"\x08\0\x50\x11\x06\0\0\x001.2.66"
    implicit_item = SEQUENCE + OPEN + ITEM + OPEN + inner + END_OF_ITEM + END_OF_SEQUENCE
    explicit_item = implicit_item.replace(inner, plain(0x00081150, b"UI", b"1.2.66"))
    assert same_digest(file_of(implicit_item), file_of(explicit_item))


def test_an_element_without_a_vr_in_an_explicit_data_set() -> None:
    bare = b"\x10\0\x10\0\x08\0\0\0Doe^Jane"
    assert same_digest(file_of(NAME), file_of(bare))


def test_a_vr_of_the_future_has_a_long_header() -> None:
    future = b"\x09\0\x01\x10QQ\0\0\x04\0\0\0abcd"
    assert scan(file_of(future, NAME)).attributes["PatientName"] == b"Doe^Jane"
    short = b"\x09\0\x01\x10QQ\x04\0abcd"
    assert scan(file_of(short, NAME)).attributes["PatientName"] == b"Doe^Jane"


@pytest.mark.parametrize(
    "body",
    [
        SEQUENCE + OPEN + NAME + END_OF_SEQUENCE,
        SEQUENCE + b"\x08\0\0\0no items",
        SEQUENCE + OPEN + ITEM + OPEN + END_OF_SEQUENCE + END_OF_SEQUENCE,
        SEQUENCE + b"\x10\0\0\0" + ITEM + OPEN + plain(0x00080100, b"SH", b""),
        SEQUENCE + b"\x08\0\0\0" + ITEM + b"\x08\0\0\0" + NAME,
        SEQUENCE + b"\x0c\0\0\0" + ITEM + bytes(4) + ITEM + bytes(4),
        ITEM + bytes(4),
        b"\xe0\x7f\x10\0OB\0\0" + OPEN + ITEM + OPEN + END_OF_SEQUENCE,
        plain(0x00100000, b"UN", b"")[:8] + OPEN,
    ],
)
def test_what_makes_no_sense_is_irregular(body: bytes) -> None:
    whole = file_of(body, bytes(64))
    found = scan(whole)
    assert found.irregular is not None
    assert scan(whole, 1) == found


def test_an_irregular_file_without_uids_is_refused() -> None:
    with pytest.raises(DicomError) as caught:
        scan(bare_file(SEQUENCE + b"\x08\0\0\0no items"))
    assert caught.value.reason is FailureReason.CANNOT_UNDERSTAND


def test_fragments_without_their_delimiter_are_cut() -> None:
    pixels = b"\xe0\x7f\x10\0OB\0\0" + OPEN + ITEM + bytes(4) + ITEM + b"\x02\0\0\0\xff\xd8"
    whole = file_of(pixels, transfer_syntax_uid=uids.JPEG_BASELINE)
    with pytest.raises(DicomError) as caught:
        scan(whole)
    assert caught.value.reason is FailureReason.TRUNCATED
    assert scan(whole + END_OF_SEQUENCE).leaves_as_is


def body_of(data: bytes) -> bytes:
    return data[scan(data).dataset_offset :]


SYNTAX = ui(0x00020010, uids.EXPLICIT_VR_LITTLE_ENDIAN)


@pytest.mark.parametrize(
    "head",
    [
        SYNTAX,
        plain(0x00020000, b"UL", b"\x01\0\0\0") + SYNTAX,
        plain(0x00020000, b"UL", b"\xff\xff\0\0") + SYNTAX,
        b"\x02\0\x10\0\x14\0\0\0" + SYNTAX[8:],
    ],
    ids=["no group length", "too small", "too large", "implicit"],
)
def test_heads_that_are_not_quite_right(head: bytes) -> None:
    whole = bytes(128) + b"DICM" + head + body_of(file_of(NAME))
    found = scan(whole)
    assert found.dataset_offset == 132 + len(head)
    assert found.leaves_as_is
    assert scan(whole, 1) == found


def test_a_file_without_a_preamble_gets_one_in_the_exit() -> None:
    whole = SYNTAX + body_of(file_of(NAME))
    found = scan(whole)
    assert not found.leaves_as_is
    assert found.exit_length == len(converted(whole))
    assert read(converted(whole)).PatientName == "Doe^Jane"


def test_a_tiny_file_without_a_head() -> None:
    body = body_of(file_of())
    assert len(body) < 132
    assert scan(body).dataset_offset == 0
    assert scan(body, 1) == scan(body)
    assert scan(converted(body)).sop_instance_uid == "1.2.3.4"


def test_a_head_without_an_end_is_refused() -> None:
    with pytest.raises(DicomError) as caught:
        scan(bytes(128) + b"DICM" + plain(0x00020102, b"OB", bytes(LARGEST_HEAD)))
    assert caught.value.reason is FailureReason.CANNOT_UNDERSTAND
    with pytest.raises(DicomError) as caught:
        scan(bytes(128) + b"DICM" + SYNTAX[:-1])
    assert caught.value.reason is FailureReason.TRUNCATED


@pytest.mark.parametrize("data", [b"", b"\x08", bytes(200), b"\x08\0 this is no element"])
def test_what_is_no_dicom_file(data: bytes) -> None:
    with pytest.raises(DicomError):
        scan(data)


def test_a_data_set_after_a_head_alone_is_missing() -> None:
    head = shipped("MR_small.dcm")[: scan(shipped("MR_small.dcm")).dataset_offset]
    with pytest.raises(DicomError) as caught:
        scan(head)
    assert caught.value.reason is FailureReason.REQUIRED_ATTRIBUTE_MISSING
