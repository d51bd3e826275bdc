"""Lists and quoted strings: no separator inside quotes, nothing lost, linear time."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.accept import parse_accept
from edged.http.content_coding import choose_coding, codings_of
from edged.http.fields import has_control_characters, parse_weight, printable, quote, split_quoted, unquote
from edged.http.media_type import MAX_LENGTH, parse_media_type
from tests.support.work import counted_calls


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


@pytest.mark.parametrize(
    ("most", "pieces"), [(1, ["a"]), (2, ["a", ""]), (4, ["a", "", "b", ""]), (9, ["a", "", "b", ""])]
)
def test_a_split_stops_at_its_bound(most: int, pieces: list[str]) -> None:
    assert split_quoted("a,,b,", ",", most=most) == pieces


@given(st.text(alphabet='ab", \\'), st.integers(1, 9))
def test_a_bound_cuts_the_list_and_changes_nothing_else(value: str, most: int) -> None:
    assert split_quoted(value, ",", most=most) == split_quoted(value, ",")[:most]


READERS: dict[str, Callable[[str], object]] = {
    "accept": parse_accept.__wrapped__,
    "accept-encoding": choose_coding.__wrapped__,
    "content-encoding": lambda value: quietly(codings_of, value),
    "content-type": lambda value: quietly(parse_media_type, value[:MAX_LENGTH]),
}
FILLERS = [",", ";", ", ", "a,", "a/b,", "gzip,", ";a=1", ";a", '"', '"",', '"";', r'"\",', "*;q=0.1,", "a/b;;;;,"]


def quietly(read: Callable[[str], object], value: str) -> None:
    with suppress(ValueError):
        read(value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("filler", FILLERS)
def test_a_longer_field_is_no_more_work(reader: str, filler: str) -> None:
    """What is counted are the calls of expressions and of the methods of texts and lists."""
    work = []
    for count in (1500, 30_000):
        parse_media_type.cache_clear()
        with counted_calls() as calls:
            READERS[reader](f"a/b;{filler * count}")
        work.append(calls.total())
    assert work[1] <= work[0] <= 5000


def test_control_characters_are_seen() -> None:
    assert has_control_characters("a\rb")
    assert not has_control_characters("a\tb é")


@pytest.mark.parametrize(
    ("text", "weight"),
    [("1", 1), ("1.000", 1), ("0", 0), ("0.25", 0.25), ("0.", 0), (".5", 0.5), ("1.1", None), ("-0", None), ("", None)],
)
def test_weights(text: str, weight: float | None) -> None:
    assert parse_weight(text) == weight


@given(st.text(), st.integers(0, 50))
def test_printable_is_ascii_and_bounded(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) == min(len(text), limit)
    assert shown.isascii()
    assert shown.isprintable()
