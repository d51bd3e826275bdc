"""Back-off, breaker and slow lane: the waits, the moves, and what never happens."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.retry import (
    BREAKER_MOVES,
    DAILY,
    DESTINATION,
    OVERDUE_AFTER_S,
    RETRY_AFTER_CAP_S,
    SLOW_LANE,
    STUCK_AFTER,
    Backoff,
    Breaker,
    BreakerState,
    IllegalMove,
    Move,
    SlowLane,
    retry_floor_s,
)
from edged.upstream.verdict_values import Answer, Context, History, Kind, Report
from edged.upstream.verdicts import decide

RANDOM = st.floats(0, 1, exclude_max=True)
NOW = st.floats(0, 1e9)
RETRY_AFTER = st.none() | st.floats()


def failures(count: int, random01: float = 1.0) -> Backoff:
    backoff = Backoff()
    for _ in range(count):
        backoff = backoff.failed(0.0, retry_after_s=None, random01=random01)
    return backoff


def test_ceilings_double_up_to_five_minutes() -> None:
    assert [DESTINATION.ceiling_s(count) for count in (1, 2, 3, 8, 9, 10, 10**6)] == [1, 2, 4, 128, 256, 300, 300]


def test_the_slow_lane_grows_from_a_minute_to_six_hours() -> None:
    assert [SLOW_LANE.ceiling_s(count) / 60 for count in (1, 2, 3, 4, 5, 6, 99)] == [1, 4, 16, 64, 256, 360, 360]


def test_recovery_starts_anew() -> None:
    assert failures(9).recovered() == Backoff()


def test_logged_at_powers_of_two() -> None:
    logged = [count for count in range(40) if failures(count).should_log]
    assert logged == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize(
    ("asked", "floor"),
    [(None, 0), (-5, 0), (math.nan, 0), (90, 90), (math.inf, RETRY_AFTER_CAP_S), (1e9, RETRY_AFTER_CAP_S)],
)
def test_retry_after_is_capped(asked: float | None, floor: float) -> None:
    assert retry_floor_s(asked) == floor


@given(st.lists(st.tuples(st.floats(0, 1e4), RETRY_AFTER, RANDOM), min_size=1, max_size=80))
def test_waits_are_bounded_and_never_undercut_retry_after(steps: list[tuple[float, float | None, float]]) -> None:
    backoff, now = Backoff(), 0.0
    for passed_s, retry_after_s, random01 in steps:
        now += passed_s
        earlier = backoff.due_s
        backoff = backoff.failed(now, retry_after_s=retry_after_s, random01=random01)
        assert backoff.due_s >= max(earlier, now + retry_floor_s(retry_after_s))
        assert backoff.due_s <= max(earlier, now + RETRY_AFTER_CAP_S + DESTINATION.cap_s)
        assert not backoff.due(math.nextafter(backoff.due_s, -math.inf))
        assert backoff.due(backoff.due_s)
    assert backoff.failures == len(steps)


def move(breaker: Breaker, name: Move, now: float) -> Breaker:
    match name:
        case Move.FAILED:
            return breaker.failed(now, retry_after_s=None, random01=0.5)
        case Move.PASSED:
            return breaker.passed()
        case Move.PROBE:
            return breaker.probe(now)
        case Move.ABANDONED:
            return breaker.abandoned()


@pytest.mark.parametrize("state", BreakerState)
@pytest.mark.parametrize("name", Move)
def test_breaker_moves_along_its_table_and_no_other_way(state: BreakerState, name: Move) -> None:
    breaker = Breaker(state)
    if (state, name) in BREAKER_MOVES:
        assert move(breaker, name, 0.0).state is BREAKER_MOVES[state, name]
    else:
        with pytest.raises(IllegalMove, match=f"{name} while {state}"):
            move(breaker, name, 0.0)


def test_no_probe_before_it_is_due() -> None:
    breaker = Breaker().failed(100.0, retry_after_s=60, random01=0.0)
    with pytest.raises(IllegalMove, match="before it is due"):
        breaker.probe(159.9)
    assert breaker.probe(160.0).state is BreakerState.PROBING


def test_parallel_requests_that_fail_together_count_once_but_the_longest_retry_after_holds() -> None:
    breaker = Breaker()
    for retry_after_s in (None, 5.0, 30.0, None):
        breaker = breaker.failed(0.0, retry_after_s=retry_after_s, random01=0.0)
    assert breaker.backoff.failures == 1
    assert breaker.backoff.due_s == 30.0


def test_failed_probes_count_and_a_pass_tells_how_many() -> None:
    breaker = Breaker().failed(0.0, retry_after_s=None, random01=1.0)
    for _ in range(6):
        breaker = breaker.probe(1e6).failed(1e6 - 500, retry_after_s=None, random01=1.0)
    assert breaker.backoff.failures == 7
    assert breaker.passed() == Breaker()


def test_an_abandoned_probe_leaves_it_open_and_due() -> None:
    breaker = Breaker().failed(0.0, retry_after_s=None, random01=1.0).probe(1.0).abandoned()
    assert breaker.state is BreakerState.OPEN
    assert breaker.probe(1.0).state is BreakerState.PROBING


@given(st.lists(st.sampled_from(Move)))
def test_breaker_never_leaves_its_table(moves: Sequence[Move]) -> None:
    breaker, now = Breaker(), 0.0
    for name in moves:
        now += 1e4
        try:
            breaker = move(breaker, name, now)
        except IllegalMove:
            assert (breaker.state, name) not in BREAKER_MOVES
        assert (breaker.state is BreakerState.CLOSED) is (breaker.backoff.failures == 0)


def test_the_fifth_doubt_while_others_pass_is_stuck_and_daily() -> None:
    lane = SlowLane(since_s=0.0)
    for _ in range(STUCK_AFTER - 1):
        lane = lane.doubted(0.0, others_passed=True, random01=0.5)
        assert not lane.stuck
    lane = lane.doubted(0.0, others_passed=True, random01=0.5)
    assert lane.stuck
    assert 0.9 * DAILY.cap_s <= lane.backoff.due_s <= DAILY.cap_s
    assert not lane.due(3600.0)


def test_doubts_while_nothing_passes_never_make_it_stuck() -> None:
    lane = SlowLane(since_s=0.0)
    for _ in range(50):
        lane = lane.doubted(0.0, others_passed=False, random01=0.0)
    assert not lane.stuck
    assert lane.backoff.due_s == SLOW_LANE.cap_s / 2


def test_a_day_in_the_slow_lane_is_a_condition() -> None:
    lane = SlowLane(since_s=50.0)
    assert not lane.overdue(OVERDUE_AFTER_S)
    assert lane.overdue(50.0 + OVERDUE_AFTER_S)


@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_the_slow_lane_and_the_verdict_table_agree_on_stuck(others: list[bool]) -> None:
    lane = SlowLane(since_s=0.0)
    for others_passed in others:
        context = Context({"1": History(others_accepted=others_passed, doubtful=lane.doubtful)})
        verdict = decide(Answer(409, report=Report(failed={"1": 0x0110})), ("1",), context).instances["1"]
        lane = lane.doubted(0.0, others_passed=others_passed, random01=0.0)
        assert (verdict.kind is Kind.STUCK) is (lane.stuck and others_passed)


@given(NOW, RANDOM)
def test_the_slow_lane_waits_at_least_half_of_its_pace(now: float, random01: float) -> None:
    lane = SlowLane(now).doubted(now, others_passed=True, random01=random01)
    assert now + 30 <= lane.backoff.due_s <= now + 60
