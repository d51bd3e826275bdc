"""HTTP-dates: three forms in, one out."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.http.dates import http_date, parse_http_date

MOMENT = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT
IN_2026 = 1_780_000_000.0


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", MOMENT),
        ("Sunday, 06-Nov-94 08:49:37 GMT", MOMENT),
        ("Sun Nov  6 08:49:37 1994", MOMENT),
        ("Wed Nov 16 08:49:37 1994", MOMENT + 864_000),
        ("sun, 06 nov 1994 08:49:37 GMT", MOMENT),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 10.0),
        ("Wed, 31 Dec 1969 23:59:59 GMT", -1.0),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799.0),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
        ("Sun, 6 Nov 1994 08:49:37 GMT", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Foo 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, ٠٦ Nov 1994 08:49:37 GMT", None),
        ("1994-11-06T08:49:37Z", None),
        ("784111777", None),
    ],
)
def test_reads(value: str, moment: float | None) -> None:
    assert parse_http_date(value, IN_2026) == moment


@pytest.mark.parametrize(
    ("now", "two_digits", "year"),
    [
        ("2026", "26", "2026"),
        ("2026", "76", "2076"),
        ("2026", "77", "1977"),
        ("1994", "94", "1994"),
        ("1994", "00", "2000"),
        ("2099", "05", "2105"),
    ],
)
def test_two_digits_are_of_the_nearest_century(now: str, two_digits: str, year: str) -> None:
    present = parse_http_date(f"Mon, 01 Jan {now} 00:00:00 GMT", 0.0)
    assert present is not None
    meant = parse_http_date(f"Mon, 01 Mar {year} 12:00:00 GMT", 0.0)
    assert parse_http_date(f"Monday, 01-Mar-{two_digits} 12:00:00 GMT", present) == meant


@given(st.integers(0, 250_000_000_000))
def test_what_is_written_is_read_back_and_is_what_everybody_writes(moment: int) -> None:
    assert http_date(moment) == formatdate(moment, usegmt=True)
    assert parse_http_date(http_date(moment), IN_2026) == moment


@given(st.floats(-1e9, 1e10))
def test_a_fraction_is_cut_off(moment: float) -> None:
    assert parse_http_date(http_date(moment), IN_2026) == moment // 1


@pytest.mark.parametrize("moment", [1e12, -1e12])
def test_a_year_that_no_form_can_tell(moment: float) -> None:
    with pytest.raises(OverflowError):
        http_date(moment)


@given(st.text() | st.from_regex(r"\w{3,9},? \d\d[ -](Jan|Feb)[ -]\d{2,4} \d\d:\d\d:\d\d GMT"), st.floats(0, 4e9))
def test_any_value_is_a_time_or_nothing(value: str, now: float) -> None:
    assert isinstance(parse_http_date(value, now), float | None)
