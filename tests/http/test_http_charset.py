"""The Selected Character Set, step by step (PS3.18 8.8.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.charset import MAX_CHARSETS, CharsetRange, CharsetWishes, parse_accept_charset, select_charset

OFFERED = ("utf-8", "iso-8859-1", "iso-8859-15")


def selected(media_type: str | None = None, query: str | None = None, header: str | None = None) -> str:
    return select_charset(CharsetWishes(media_type=media_type, query=query, header=header), OFFERED)


@pytest.mark.parametrize(
    ("media_type", "query", "header", "expected"),
    [
        ("ISO-8859-1", "iso-8859-15", "utf-8", "iso-8859-1"),
        ("latin-9", "iso-8859-15", "iso-8859-1", "iso-8859-15"),
        (None, "iso-8859-15;q=0.5,iso-8859-1", "utf-8", "iso-8859-1"),
        (None, "koi8-r", "iso-8859-15", "iso-8859-15"),
        (None, "*", "iso-8859-15", "iso-8859-15"),
        (None, None, "iso-8859-15;q=0.1, *;q=0.2", "utf-8"),
        (None, None, "utf-8;q=0, *", "iso-8859-1"),
        (None, None, "*", "utf-8"),
        (None, None, "koi8-r", "utf-8"),
        (None, None, "utf-8;q=0", "utf-8"),
        (None, None, "iso-8859-1;q=2, iso-8859-15;q=0.1", "iso-8859-15"),
        (None, None, '"iso-8859-1"', "iso-8859-1"),
        (None, None, "ISO-8859-1,utf-8;q=0.7,*;q=0.7", "iso-8859-1"),
        (None, None, "", "utf-8"),
        (None, None, None, "utf-8"),
    ],
)
def test_the_steps(media_type: str | None, query: str | None, header: str | None, expected: str) -> None:
    assert selected(media_type, query, header) == expected


def test_other_names_lead_to_those_offered() -> None:
    wishes = CharsetWishes(query="ISO_IR 100")
    assert select_charset(wishes, OFFERED, aliases={"iso_ir 100": "ISO-8859-1"}) == "iso-8859-1"


def test_a_long_list_is_cut() -> None:
    assert len(parse_accept_charset("utf-8," * 1000)) == MAX_CHARSETS


def test_what_has_too_many_parameters_is_left_out() -> None:
    assert parse_accept_charset(f"utf-8{';a=1' * 9}, iso-8859-1{';a=1' * 7};q=0.5") == (
        CharsetRange("iso-8859-1", 0.5),
    )


@given(st.none() | st.text(), st.none() | st.text(), st.none() | st.text(alphabet='*uft-8;q=01.," ', max_size=40))
def test_anything_selects_one_of_those_offered(media_type: str | None, query: str | None, header: str | None) -> None:
    assert selected(media_type, query, header) in OFFERED
