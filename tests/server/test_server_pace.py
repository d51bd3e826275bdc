"""The floor under what a client moves: who keeps it is never found slow, whoever stays below is, in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.server.limits import Limits
from edged.server.pace import Pace

LIMITS = Limits()
FLOOR, WINDOW_S = LIMITS.floor_bytes_per_s, LIMITS.pace_window_s
waits = st.floats(0.001, LIMITS.body_s)


@given(st.lists(waits, max_size=200), st.floats(1.01, 1000))
def test_who_keeps_the_floor_is_never_slow(waited: list[float], faster: float) -> None:
    pace = Pace(LIMITS)
    for seconds in waited:
        pace.moved(int(seconds * FLOOR * faster) + 1)
        assert not pace.is_slow_after(seconds)


@given(st.lists(waits, min_size=1, max_size=400))
def test_an_octet_at_each_wait_is_slow_once_the_window_is_over(waited: list[float]) -> None:
    pace, total = Pace(LIMITS), 0.0
    for seconds in waited:
        pace.moved(1)
        total += seconds
        slow = pace.is_slow_after(seconds)
        assert slow == (total >= WINDOW_S)
        if slow:
            return


@pytest.mark.parametrize("line_bytes_per_s", [8_000, 1_000])
def test_a_narrow_line_with_long_stalls_is_honest(line_bytes_per_s: int) -> None:
    pace = Pace(LIMITS)
    for _ in range(100):
        assert not pace.is_slow_after(LIMITS.body_s)  # nothing comes, almost long enough to end
        for _ in range(60):
            pace.moved(line_bytes_per_s)
            assert not pace.is_slow_after(1.0)
