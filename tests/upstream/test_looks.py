"""What the prover remembers: bounded, in turn, and by a clock that nobody corrects."""

from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.looks import FORGOTTEN_S, LEAST_LOOKS, Looks, Passed
from edged.upstream.notes import MOST_NOTES


def test_what_waits_is_bounded_and_the_oldest_goes_first() -> None:
    looks = Looks()
    for number in range(MOST_NOTES + 500):
        looks.postpone(number, 0.0)
    assert looks.waiting(-1.0) == set(range(500, MOST_NOTES + 500))
    assert looks.full
    looks.forget(700)
    assert not looks.full


def test_what_is_missing_keeps_its_place_and_what_moved_on_gives_it_up() -> None:
    looks = Looks()
    for number in range(MOST_NOTES):
        assert not looks.missed(number, 0.0, within_s=60.0)
    for now in (20.0, 40.0, 80.0):
        assert not looks.missed(MOST_NOTES, now, within_s=60.0)
    for now in (20.0, 40.0):
        assert not looks.missed(0, now, within_s=60.0)
    assert looks.missed(0, 80.0, within_s=60.0)
    late = 2 * FORGOTTEN_S
    for now in (late, late + 20.0, late + 40.0):
        assert not looks.missed(MOST_NOTES, now, within_s=60.0)
    assert looks.missed(MOST_NOTES, late + 80.0, within_s=60.0)


def test_looks_in_a_burst_after_a_long_pause_are_one_look() -> None:
    looks = Looks()
    assert not looks.missed(1, 0.0, within_s=900.0)
    assert not any(looks.missed(1, 100_000.0 + n, within_s=900.0) for n in range(10))
    assert looks.missed(1, 100_200.0, within_s=900.0)


@given(st.lists(st.floats(0.0, 500.0), max_size=30), st.floats(0.0, 2000.0))
def test_missing_counts_only_after_enough_looks_over_the_whole_time(pauses: list[float], within_s: float) -> None:
    looks, now = Looks(), 0.0
    for told, pause in enumerate(pauses, 1):
        now += pause
        if looks.missed(1, now, within_s=within_s):
            assert told >= LEAST_LOOKS
            assert now - pauses[0] >= within_s * (1 - 1e-9)
    looks.seen(1)
    assert not looks.missed(1, now, within_s=0.0)


def test_a_walk_passes_over_what_it_had_and_what_is_excluded() -> None:
    passed = Passed(5, {7})
    assert [number for number in range(1, 10) if number not in passed] == [6, 8, 9]
