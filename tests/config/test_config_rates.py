"""Rates by days and times of day: what can be written, and what is said of the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.rates import DAY_MINUTES, Day, RateWindow, rates

_WEEKEND = frozenset({Day.SAT, Day.SUN})


def test_one_rate_is_for_always() -> None:
    assert rates("8Mbit/s") == (RateWindow(1_000_000.0),)
    assert rates(1_000_000) == rates("8Mbit/s")
    assert rates("") == rates([]) == ()


def test_windows_keep_their_order_and_what_is_left_out_is_always() -> None:
    night = {"days": ["sat", "sun"], "from": "22:00", "to": "06:30", "rate": ""}
    assert rates([night, {"rate": "1MB/s"}]) == (
        RateWindow(None, _WEEKEND, 22 * 60, 6 * 60 + 30),
        RateWindow(1_000_000.0, frozenset(Day), 0, DAY_MINUTES),
    )


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("fast", 'write "20Mbit/s"'),
        ("999B/s", "write at least 1kB/s"),
        (None, 'write "20Mbit/s"'),
        ([5], "or a list such as"),
        ([{}], "or a list such as"),
        ([{"rate": "1MB/s", "until": "07:00"}], "or a list such as"),
        ([{"rate": "1MB/s", "days": "mon"}], "write days as a list of mon, tue"),
        ([{"rate": "1MB/s", "days": []}], "write days as a list of mon, tue"),
        ([{"rate": "1MB/s", "days": ["Mon"]}], "write days as a list of mon, tue"),
        ([{"rate": "1MB/s", "from": "7:00"}], "a time of day such as"),
        ([{"rate": "1MB/s", "to": "24:01"}], "a time of day such as"),
        ([{"rate": "1MB/s", "to": 7}], "a time of day such as"),
    ],
)
def test_what_is_none_is_told(value: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rates(value)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["days", "from", "to", "rate", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@given(_VALUES)
def test_whatever_is_written_becomes_rates_or_a_problem(value: object) -> None:
    try:
        found = rates(value)
    except ValueError:
        return
    assert all(0 <= each.begin_minute <= DAY_MINUTES and each.days for each in found)
