"""Reasons for closing a notification connection, written and read (CP-1871 8.10.6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.dicomweb.close_reason import MOST_BYTES, CloseCode, Reason, ReasonCode, read_reason, write_reason


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("C308 no such requester", Reason("no such requester", ReasonCode.RECEIVING_AE_TITLE_UNKNOWN)),
        ("c315", Reason("", ReasonCode.EVENT_REPORTS_NOT_SUPPORTED)),
        ("0000: done", Reason("done", ReasonCode.SUCCESS)),
        ("C309 unknown to the Standard", Reason("C309 unknown to the Standard")),
        ("going away", Reason("going away")),
        ("", Reason("")),
        (None, Reason("")),
    ],
)
def test_what_a_peer_says(said: str | None, reason: Reason) -> None:
    assert read_reason(said) == reason


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_code_of_the_table_comes_back(code: ReasonCode) -> None:
    assert write_reason(Reason("why", code)) == f"{code:04X} why"
    assert read_reason(write_reason(Reason("why", code))) == Reason("why", code)


@given(st.text(max_size=300), st.sampled_from([None, *ReasonCode]))
def test_a_reason_fits_into_a_control_frame(text: str, code: ReasonCode | None) -> None:
    assert len(write_reason(Reason(text, code)).encode()) <= MOST_BYTES


def test_codes_of_our_own_are_private_ones() -> None:
    assert all(code < 3000 or 4000 <= code <= 4999 for code in CloseCode)
