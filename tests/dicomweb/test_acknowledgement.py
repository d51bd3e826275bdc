"""Acknowledgements of event reports, as they may come (CP-1871 8.10.5.3.1, DICOM.md §7)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.acknowledgement import (
    MOST_BYTES,
    Acknowledgement,
    AcknowledgementError,
    read_acknowledgement,
    write_acknowledgement,
)

MEDIA_TYPES = st.sampled_from(["application/json", "application/dicom+json", "application/dicom"])


@pytest.mark.parametrize(
    ("message", "taken"),
    [
        (b"1", True),
        (b"0", False),
        (b"success", True),
        (b"Failure\r\n", False),
        (b"1 application/dicom+json\r\n", True),
        (b"1 1 application/json\r\n", True),
        (b"1 0 application/json\r\n", False),
        (b"2 success application/dicom\r\n", True),
        (b"%x2 failure application/dicom+json\n", False),
        (b"0x2 1", True),
        (b"success \r\n", True),
    ],
)
def test_every_form_is_read(message: bytes, taken: bool) -> None:
    assert read_acknowledgement(message).taken is taken


def test_a_status_report_follows_the_line() -> None:
    read = read_acknowledgement(b'0 application/json\r\n{"detail": "no room"}')
    assert read == Acknowledgement(False, "application/json", b'{"detail": "no room"}')


@pytest.mark.parametrize(
    "message", [b"", b" ", b"yes", b"2", b"1 2", b"hello world", b"\xff\x00", b"{}", b"success a b", b"\r\n1"]
)
def test_anything_else_is_none(message: bytes) -> None:
    with pytest.raises(AcknowledgementError):
        read_acknowledgement(message)


def test_a_long_message_is_not_looked_at() -> None:
    read_acknowledgement(b"1\r\n".ljust(MOST_BYTES))
    with pytest.raises(AcknowledgementError):
        read_acknowledgement(b"1\r\n".ljust(MOST_BYTES + 1))


@given(st.builds(Acknowledgement, st.booleans(), MEDIA_TYPES, st.binary(max_size=100)))
def test_what_is_written_is_read_back(acknowledgement: Acknowledgement) -> None:
    assert read_acknowledgement(write_acknowledgement(acknowledgement)) == acknowledgement


@given(st.binary(max_size=300) | st.text(alphabet="01 success/failure\r\n", max_size=60).map(str.encode))
def test_nothing_else_leaves_the_reader(message: bytes) -> None:
    with suppress(AcknowledgementError):
        read_acknowledgement(message)
