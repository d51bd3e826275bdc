"""Failure and Warning Reasons."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicom.reasons import FailureReason, WarningReason, is_lack_of_room, reason_text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (0x0111, "0111H duplicate SOP instance"),
        (0xA901, "A901H study instance UID mismatch"),
        (0xA755, "A755H out of resources"),
        (0xA955, "A955H data set does not match SOP class"),
        (0xC999, "C999H cannot understand"),
        (0xC001, "C001H not a DICOM file"),
        (0xB000, "B000H coercion of data elements"),
        (45070, "B00EH already exists"),
        (1, "0001H unknown reason"),
    ],
)
def test_every_reason_can_be_told(reason: int, text: str) -> None:
    assert reason_text(reason) == text


@pytest.mark.parametrize(
    ("reason", "number"),
    [
        (FailureReason.SOP_CLASS_NOT_SUPPORTED, 290),
        (FailureReason.NO_SUCH_OBJECT_INSTANCE, 274),
        (FailureReason.TRANSFER_SYNTAX_NOT_SUPPORTED, 49442),
        (WarningReason.DATA_SET_DOES_NOT_MATCH_SOP_CLASS, 45063),
    ],
)
def test_the_numbers_of_the_standard(reason: int, number: int) -> None:
    assert reason == number


@pytest.mark.parametrize("reason", [0xA700, 0xA7FF, 0x0213])
def test_lack_of_room(reason: int) -> None:
    assert is_lack_of_room(reason)
    assert not is_lack_of_room(0x0110)
    assert not is_lack_of_room(0xA900)


@given(st.integers(0, 0xFFFF))
def test_any_code_has_a_text(reason: int) -> None:
    assert reason_text(reason).startswith(f"{reason:04X}H ")
