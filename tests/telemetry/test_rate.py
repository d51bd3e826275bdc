"""The rate: right from the start, forgetting by half-lives, never negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.telemetry.rate import HALF_LIFE_S, Rate

_STEPS = st.lists(st.tuples(st.floats(-5, 1000), st.integers(0, 10**9)), max_size=30)


def test_nothing_counted_is_nothing() -> None:
    assert Rate().bytes_per_s(5.0) == 0.0


@pytest.mark.parametrize("seconds", [2, 20, 200])
def test_an_even_flow_is_told_from_the_start(seconds: int) -> None:
    rate = Rate()
    for step in range(seconds * 10 + 1):
        rate = rate.after(100 + step / 10, 1000)
    assert rate.bytes_per_s(100.0 + seconds) == pytest.approx(10_000, rel=0.06)


def test_it_halves_in_a_half_life_of_silence() -> None:
    rate = Rate()
    for step in range(2000):
        rate = rate.after(step / 10, 1000)
    now = 200.0
    assert rate.bytes_per_s(now + HALF_LIFE_S) == pytest.approx(rate.bytes_per_s(now) / 2, rel=0.01)


def test_a_first_burst_is_not_infinitely_fast() -> None:
    assert Rate().after(3.0, 10**6).bytes_per_s(3.0) <= 1.04e6


@given(_STEPS, st.floats(-10, 10_000))
def test_it_is_never_negative_and_never_faster_than_all_at_once(steps: list[tuple[float, int]], after: float) -> None:
    rate, now, total = Rate(), 0.0, 0
    for pause, count in steps:
        now += pause
        total += count
        rate = rate.after(now, count)
    assert 0 <= rate.bytes_per_s(now + after) <= total * 1.04


@given(_STEPS)
def test_a_clock_that_goes_back_counts_as_one_that_stood_still(steps: list[tuple[float, int]]) -> None:
    rate, now, latest = Rate(), 0.0, None
    for pause, count in steps:
        now += pause
        latest = now if latest is None else max(latest, now)
        rate = rate.after(now, count)
    if latest is not None:
        assert rate.bytes_per_s(latest - 5) == rate.bytes_per_s(latest)
