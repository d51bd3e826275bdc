"""What HTTP/2 streams are lent: never more than there is, in equal shares to those whose bodies are being read."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edged.server.http2_settings import FIRST_WINDOW_BYTES
from edged.server.limits import KIB, Limits
from edged.server.windows import STEP_BYTES, Window, WindowPool

LIMITS = Limits()
MOST_BYTES = LIMITS.stream_window_bytes - FIRST_WINDOW_BYTES
WINDOWS = 12

steps = st.lists(
    st.tuples(
        st.sampled_from(["first", "read", "grow", "shrink", "end", "give back"]),
        st.integers(0, WINDOWS - 1),
        st.integers(0, 1000),
    ),
    max_size=80,
)


@given(steps, st.integers(0, 2000), st.integers(0, 2000))
@example([("read", 0, 0), ("read", 3, 0), ("grow", 0, 900), ("grow", 3, 900), ("first", 6, 700)], 2000, 1500)
def test_no_more_is_lent_than_there_is(moves: list[tuple[str, int, int]], total: int, shared: int) -> None:
    parent = WindowPool(shared * KIB, reserve_bytes=shared * KIB // 2)
    pools = [WindowPool(total * KIB, reserve_bytes=total * KIB // 2) for _ in range(3)]
    windows = [Window(pools[number % 3], parent) for number in range(WINDOWS)]
    lent = [0] * WINDOWS
    for move, number, size_kib in moves:
        window, size = windows[number], size_kib * KIB
        match move:
            case "first":
                lent[number] += size if window.take_first(size) else 0
            case "read":
                window.begin_reading()
            case "grow":
                more = window.grow(size)
                lent[number] += more
                if more:
                    assert min(parent.spare_bytes, pools[number % 3].spare_bytes) >= 0
            case "shrink":
                less = window.shrink(size)
                assert less <= size
                lent[number] -= less
            case "end":
                window.end_reading()
            case _:
                window.give_back()
                lent[number] = 0
        assert parent.free_bytes == shared * KIB - sum(lent) >= 0
        for at, pool in enumerate(pools):
            assert pool.free_bytes == total * KIB - sum(lent[at::3]) >= 0
    for window in windows:
        window.give_back()
    assert [pool.readers for pool in (*pools, parent)] == [0] * 4
    assert parent.free_bytes == shared * KIB


@pytest.mark.parametrize("count", [1, 8, 9, 20, 100])
def test_all_who_read_come_to_equal_shares(count: int) -> None:
    own = WindowPool(LIMITS.connection_window_bytes, reserve_bytes=LIMITS.streams * FIRST_WINDOW_BYTES)
    everybodys = WindowPool(LIMITS.windows_bytes, reserve_bytes=LIMITS.windows_bytes // 2)
    windows, more = [Window(own, everybodys) for _ in range(count)], [0] * count
    for window in windows:
        assert window.take_first(FIRST_WINDOW_BYTES)
        window.begin_reading()
    for _ in range(10):
        for at, window in enumerate(windows):
            more[at] += window.grow(MOST_BYTES)
            more[at] -= window.shrink(200_000)
    share = min(MOST_BYTES, LIMITS.windows_bytes // 2 // count)
    assert max(more) == share
    assert share - STEP_BYTES < min(more)
    assert own.free_bytes >= (LIMITS.streams - count) * FIRST_WINDOW_BYTES  # for those that may still come
    assert everybodys.free_bytes >= (LIMITS.windows_bytes // 2) - count * FIRST_WINDOW_BYTES


def test_a_window_does_not_grow_by_little() -> None:
    pool = WindowPool(4 * STEP_BYTES)
    first, second = Window(pool), Window(pool)
    first.begin_reading()
    assert first.grow(3 * STEP_BYTES + 1) == 3 * STEP_BYTES + 1
    second.begin_reading()
    assert second.grow(3 * STEP_BYTES) == 0  # there is less than a step
    assert second.grow(10) == 10  # but it is all that it lacks
    assert first.shrink(1000) == 1000
    assert first.shrink(4 * STEP_BYTES) == STEP_BYTES + 1 - 1000  # down to its share, half of all
    assert second.grow(3 * STEP_BYTES) == 2 * STEP_BYTES - 10
    first.end_reading()
    assert second.grow(4 * STEP_BYTES) == 0  # it still has what it has
    assert first.shrink(4 * STEP_BYTES) == 2 * STEP_BYTES
    assert second.grow(4 * STEP_BYTES) == 2 * STEP_BYTES
