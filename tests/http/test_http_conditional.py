"""Entity tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.conditional import matches_if_none_match, strong_etag

ETAG = strong_etag(bytes.fromhex("00ff"))


def test_an_entity_tag_is_strong_and_quoted() -> None:
    assert ETAG == '"00ff"'


@pytest.mark.parametrize(
    ("header", "matches"),
    [
        (None, False),
        ("", False),
        ('"00ff"', True),
        ('W/"00ff"', True),
        ('"x", "00ff"', True),
        ("*", True),
        ("00ff", False),
        ('"x,00ff"', False),
        ('"*"', False),
    ],
)
def test_if_none_match(header: str | None, matches: bool) -> None:
    assert matches_if_none_match(header, ETAG) is matches


@given(st.text())
def test_any_condition_is_answered(header: str) -> None:
    assert matches_if_none_match(header, ETAG) in (True, False)
