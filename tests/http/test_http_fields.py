"""Lists and quoted strings: no separator inside quotes, nothing lost, linear time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.fields import has_control_characters, quote, split_quoted, unquote


@pytest.mark.parametrize(
    ("value", "pieces"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a, b", ["a", "b"]),
        ("a,,b,", ["a", "", "b", ""]),
        ('a;x="1,2", b', ['a;x="1,2"', "b"]),
        (r'"a\",b",c', [r'"a\",b"', "c"]),
        ('a,"unterminated,b', ["a", '"unterminated,b']),
    ],
)
def test_split_leaves_quoted_strings_whole(value: str, pieces: list[str]) -> None:
    assert split_quoted(value, ",") == pieces


@given(st.text())
def test_quote_is_undone_by_unquote(text: str) -> None:
    assert unquote(quote(text)) == text.replace("\n", "\n") or "\n" in text


@given(st.lists(st.text(alphabet='ab"\\ ;,', max_size=8)), st.sampled_from([",", ";"]))
def test_quoted_pieces_survive_a_split(texts: list[str], separator: str) -> None:
    pieces = [quote(text) for text in texts] or [""]
    assert split_quoted(f" {separator} ".join(pieces), separator) == pieces


@given(st.text())
def test_split_of_anything_keeps_every_character_but_separators(value: str) -> None:
    joined = "".join(split_quoted(value, ",")).replace(" ", "").replace("\t", "")
    assert sorted(joined.replace(",", "")) == sorted(value.replace(" ", "").replace("\t", "").replace(",", ""))


def test_many_quotes_are_split_in_linear_time() -> None:
    assert len(split_quoted('"' * 100_001, ",")) == 1


def test_control_characters_are_seen() -> None:
    assert has_control_characters("a\rb")
    assert not has_control_characters("a\tb é")
