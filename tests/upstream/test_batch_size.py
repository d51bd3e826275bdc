"""The learned batch size: it reaches the measured seconds, halves on refusal, and keeps its bounds."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.batch_size import PATIENCE, BatchLimits, BatchSize

MIB = 1024 * 1024


def settled(size: BatchSize, each_bytes: int, rate: float, per_instance_s: float, *, rounds: int = 60) -> BatchSize:
    """Full batches of equal instances over a line of `rate` bytes a second."""
    for _ in range(rounds):
        count = full(size, each_bytes)
        seconds = count * each_bytes / rate + count * per_instance_s
        size = size.measured(count, count * each_bytes, seconds)
    return size


def full(size: BatchSize, each_bytes: int) -> int:
    count = 1
    while size.fits(count + 1, (count + 1) * each_bytes):
        count += 1
    return count


@pytest.mark.parametrize(
    ("each_bytes", "rate", "per_instance_s", "ideal"),
    [(MIB // 2, 2.5e6, 0.0, 23), (MIB // 2, 1e9, 0.1, 49), (50 * MIB, 2.5e6, 0.0, 1), (MIB // 2, 1e9, 0.0, 500)],
)
def test_a_full_batch_takes_the_seconds_to_aim_at(
    each_bytes: int, rate: float, per_instance_s: float, ideal: int
) -> None:
    size = settled(BatchSize.first(BatchLimits()), each_bytes, rate, per_instance_s)
    assert ideal * 0.8 <= full(size, each_bytes) <= ideal * 1.2


def test_it_follows_a_line_that_becomes_slow_and_fast_again() -> None:
    fast = settled(BatchSize.first(BatchLimits()), MIB, 1e8, 0.0)
    slow = settled(fast, MIB, 1e6, 0.0, rounds=12)
    assert full(fast, MIB) > 300
    assert 3 <= full(slow, MIB) <= 6
    assert full(settled(slow, MIB, 1e8, 0.0, rounds=12), MIB) > 300


def test_a_refusal_halves_and_is_not_repeated_soon() -> None:
    size = settled(BatchSize.first(BatchLimits()), MIB, 1e8, 0.0)
    at = full(size, MIB)
    size = size.refused(at, at * MIB)
    assert full(size, MIB) == at // 2
    passed = 0
    while full(size, MIB) < at:
        size = settled(size, MIB, 1e8, 0.0, rounds=1)
        passed += 1
    assert passed >= PATIENCE


def test_refusals_go_down_to_one() -> None:
    size = settled(BatchSize.first(BatchLimits()), MIB, 1e9, 0.0)
    for _ in range(12):
        count = full(size, MIB)
        size = size.refused(count, count * MIB)
    assert full(size, MIB) == 1
    assert size.refused(1, MIB) == size


def test_a_trickle_teaches_nothing() -> None:
    size = settled(BatchSize.first(BatchLimits()), MIB, 1e8, 0.0)
    assert size.measured(1, MIB, 0.5) == size


def test_limits_must_hold_something() -> None:
    for limits in ({"seconds": 0.0}, {"max_instances": 0}, {"max_bytes": 0}):
        with pytest.raises(ValueError, match="at least one"):
            BatchLimits(**limits)


SENT = st.tuples(st.integers(1, 10**4), st.integers(0, 10**12))
STEPS = st.lists(st.tuples(SENT, st.none() | st.floats(0, 1e7)), max_size=60)


@given(STEPS, st.builds(BatchLimits, st.floats(0.1, 60), st.integers(1, 1000), st.integers(1, 10**9)))
def test_limits_stay_in_bounds_whatever_is_measured(
    steps: Sequence[tuple[tuple[int, int], float | None]], limits: BatchLimits
) -> None:
    size = BatchSize.first(limits)
    for (count, size_bytes), seconds in steps:
        before = size
        if seconds is None:
            size = size.refused(count, size_bytes)
            assert size.instances.value <= before.instances.value
            assert size.size_bytes.value <= before.size_bytes.value
        else:
            size = size.measured(count, size_bytes, seconds)
            assert size.instances.value <= 2 * before.instances.value
        assert 1 <= size.instances.value <= limits.max_instances
        assert 1 <= size.size_bytes.value <= limits.max_bytes
        assert size.fits(1, 10**15)
