"""The token bucket never gives more than the rate, hardly less, and to nobody out of turn; windows say which rate."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.rates import rates
from edged.upstream.token_bucket import BURST_S, URGENT_S, Bucket, rate_at

MINUTE_S = 60.0
_SIZES = st.integers(1, 65_536)
_RATE = st.sampled_from([1_000.0, 125_000.0, 2_500_000.0, 125_000_000.0])


def sent_within(rate: float, seconds: float, *, size: int, takers: int = 1) -> int:
    """What leaves when so many take pieces of a size, each as soon as its last one left."""
    bucket, sent, nexts = Bucket(), 0, [0.0] * takers
    while min(nexts) < seconds:
        now = min(nexts)
        bucket, wait_s = bucket.take(now, size, rate=rate)
        nexts[nexts.index(now)] = now + wait_s
        sent += size if now + wait_s < seconds else 0
    return sent


@pytest.mark.parametrize("takers", [1, 4])
@pytest.mark.parametrize(("rate", "size"), [(1_000.0, 1024), (125_000.0, 31_250), (12_500_000.0, 65_536)])
def test_over_a_minute_it_is_the_rate_within_five_percent(rate: float, size: int, takers: int) -> None:
    assert sent_within(rate, MINUTE_S, size=size, takers=takers) == pytest.approx(rate * MINUTE_S, rel=0.05)


@given(st.lists(st.tuples(_SIZES, st.floats(0, 3), st.booleans()), min_size=1, max_size=60), _RATE)
def test_it_never_gives_more_than_the_rate_whatever_comes_when(
    steps: list[tuple[int, float, bool]], rate: float
) -> None:
    """Of what is not urgent, over any time: the rate, what is made up for, and the last piece."""
    bucket, now, left = Bucket(), 0.0, list[tuple[float, int]]()
    for size, pause_s, urgent in steps:
        now += pause_s
        bucket, wait_s = bucket.take(now, size, rate=rate, urgent=urgent)
        if urgent:
            assert wait_s == 0.0
        else:
            left.append((now + wait_s, size))
    assert [at for at, _ in left] == sorted(at for at, _ in left)
    for first in range(len(left)):
        for last in range(first, len(left)):
            took_s = left[last][0] - left[first][0]
            assert sum(size for _, size in left[first:last]) <= rate * (took_s + BURST_S) * (1 + 1e-9)


@given(st.lists(_SIZES, max_size=50), _RATE)
def test_urgent_ones_never_wait_and_hold_others_up_only_so_long(sizes: list[int], rate: float) -> None:
    bucket = Bucket()
    for size in sizes:
        bucket, wait_s = bucket.take(10.0, size, rate=rate, urgent=True)
        assert wait_s == 0.0
    _, wait_s = bucket.take(10.0, 1, rate=rate)
    assert wait_s == pytest.approx(min(URGENT_S, max(0.0, sum(sizes) / rate - BURST_S)))


def test_urgent_ones_count() -> None:
    bucket, _ = Bucket().take(0.0, 2000, rate=1000.0, urgent=True)
    assert bucket.take(0.0, 1, rate=1000.0)[1] == 1.0


def test_a_new_rate_holds_from_the_next_piece_on() -> None:
    bucket, _ = Bucket(0.0).take(0.0, 1000, rate=1000.0)
    bucket, wait_s = bucket.take(0.0, 1000, rate=10_000.0)
    assert wait_s == 1.0
    assert bucket.take(0.0, 1000, rate=10_000.0)[1] == pytest.approx(1.1)


_OFFICE = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "07:00", "to": "19:00", "rate": "1MB/s"}
_NIGHT = {"days": ["fri"], "from": "22:00", "to": "06:00", "rate": "9MB/s"}


@pytest.mark.parametrize(
    ("when", "rate"),
    [
        ("2026-03-02 06:59:59", None),  # a Monday
        ("2026-03-02 07:00:00", 1e6),
        ("2026-03-02 18:59:59", 1e6),
        ("2026-03-02 19:00:00", None),
        ("2026-03-06 21:59:00", None),
        ("2026-03-06 22:00:00", 9e6),
        ("2026-03-07 05:59:00", 9e6),
        ("2026-03-07 06:00:00", None),
        ("2026-03-07 22:00:00", None),
        ("2026-03-06 05:00:00", None),  # the night before belongs to Thursday
    ],
)
def test_the_first_window_that_a_moment_is_in_decides(when: str, rate: float | None) -> None:
    assert rate_at(rates([_OFFICE, _NIGHT]), datetime.fromisoformat(when)) == rate


def test_windows_are_gone_through_in_their_order() -> None:
    moment = datetime.fromisoformat("2026-03-02 12:00:00")
    assert rate_at(rates([{**_OFFICE, "rate": ""}, {"rate": "2MB/s"}]), moment) is None
    assert rate_at(rates([{"rate": "2MB/s"}, _OFFICE]), moment) == 2e6
    assert rate_at((), moment) is None


def test_without_a_clock_it_is_the_least_of_all() -> None:
    assert rate_at(rates([_NIGHT, _OFFICE, {"rate": ""}]), None) == 1e6
    assert rate_at(rates([{"rate": ""}]), None) is None
    assert rate_at((), None) is None


@given(st.datetimes(datetime(2024, 1, 1), datetime(2034, 1, 1)), st.integers(0, 1439), st.integers(0, 1439))
def test_a_window_of_every_day_and_its_complement_cover_the_day(when: datetime, begin: int, end: int) -> None:
    def window(first: int, last: int, rate: str) -> dict[str, str]:
        def clock(minute: int) -> str:
            return f"{minute // 60:02}:{minute % 60:02}"

        return {"from": clock(first), "to": clock(last), "rate": rate}

    found = rate_at(rates([window(begin, end, "1MB/s")]), when)
    other = rate_at(rates([window(end, begin, "1MB/s")]), when)
    assert (found is None) != (other is None) or begin == end
