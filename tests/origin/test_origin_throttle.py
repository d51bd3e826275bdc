"""How often an address may fail: some at once, then one now and then; never for longer than that, nor for others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.origin.throttle import EVERY_S, FAILURES, Throttle
from edged.telemetry.clock import ManualClock

HERE = "192.0.2.7"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def exhausted(clock: ManualClock, address: str = HERE) -> Throttle:
    """One whose address has used up what it may fail."""
    throttle = Throttle(clock.monotonic)
    assert [throttle.failed(address) for _ in range(FAILURES)] == [0.0] * FAILURES
    return throttle


def test_some_at_once_then_one_in_a_while(clock: ManualClock) -> None:
    throttle = exhausted(clock)
    assert throttle.wait_s(HERE) == throttle.failed(HERE) == EVERY_S
    clock.advance(EVERY_S - 1)
    assert throttle.failed(HERE) == 1
    clock.advance(1)
    assert throttle.failed(HERE) == 0
    assert throttle.failed(HERE) == EVERY_S


def test_all_is_forgiven_in_time(clock: ManualClock) -> None:
    throttle = exhausted(clock)
    clock.advance(FAILURES * EVERY_S)
    assert [throttle.failed(HERE) for _ in range(FAILURES)] == [0.0] * FAILURES


def test_looking_does_not_count(clock: ManualClock) -> None:
    throttle = Throttle(clock.monotonic)
    assert [throttle.wait_s(HERE) for _ in range(3 * FAILURES)] == [0.0] * (3 * FAILURES)


def test_what_was_no_failure_is_given_back(clock: ManualClock) -> None:
    throttle = exhausted(clock)
    throttle.give_back(HERE)
    assert throttle.failed(HERE) == 0
    assert throttle.failed(HERE) == EVERY_S
    throttle.give_back("192.0.2.8")  # of which nothing is known any more
    assert [throttle.failed("192.0.2.8") for _ in range(FAILURES + 1)] == [0.0] * FAILURES + [EVERY_S]


@pytest.mark.parametrize(
    ("address", "same"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7"),
        ("2001:db8::1", "2001:db8:0:0:ffff::9"),
        ("fe80::1%eth0", "fe80::2"),
        ("local", "local"),
    ],
)
def test_what_is_one_address(clock: ManualClock, address: str, same: str) -> None:
    assert exhausted(clock, address).wait_s(same)


@pytest.mark.parametrize("other", ["192.0.2.8", "2001:db8:0:1::1", "local", "", "x" * 1000])
def test_others_are_not_held_up(clock: ManualClock, other: str) -> None:
    throttle = exhausted(clock)
    assert exhausted(clock, "2001:db8::1").wait_s(other) == throttle.wait_s(other) == 0


def test_the_table_is_bounded(clock: ManualClock) -> None:
    throttle = exhausted(clock)
    for number in range(5000):
        throttle.failed(f"198.51.{number >> 8}.{number & 255}")
    assert throttle.wait_s(HERE) == 0  # it failed first, so it was forgotten first
    assert len(throttle._empty_at) <= 4096
    clock.advance(EVERY_S)
    throttle.failed("203.0.113.1")
    assert len(throttle._empty_at) == 1


@given(st.lists(st.floats(0, 30), max_size=60))
def test_no_wait_is_longer_than_the_pause(pauses: list[float]) -> None:
    clock = ManualClock()
    throttle, within = Throttle(clock.monotonic), 0
    for pause in pauses:
        clock.advance(pause)
        wait_s = throttle.failed(HERE)
        assert 0 <= wait_s <= EVERY_S
        within += not wait_s
    assert within <= FAILURES + clock.monotonic() / EVERY_S + 1e-6
