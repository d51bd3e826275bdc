"""Five refused for good in a row without one taken between them are the destination's fault."""

from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.park_guard import PARKS_IN_A_ROW, ParkGuard, Ruled


def test_the_fifth_in_a_row_is_the_destinations_fault_and_so_is_every_further_one() -> None:
    guard = ParkGuard()
    assert [guard.refused(number, taken=1) for number in range(4)] == [Ruled.PARK] * 4
    assert guard.refused(4, taken=1) is Ruled.BLAME
    assert guard.row == (0, 1, 2, 3, 4)
    assert guard.refused(5, taken=1) is Ruled.BLAME
    assert guard.refuses_all(1)
    assert not guard.refuses_all(2)


def test_nothing_is_parked_before_anything_was_taken() -> None:
    guard = ParkGuard()
    assert [guard.refused(number, taken=0) for number in range(5)] == [Ruled.WAIT] * 4 + [Ruled.BLAME]
    assert guard.refused(5, taken=1) is Ruled.PARK


def test_the_same_instance_refused_again_counts_once() -> None:
    guard = ParkGuard()
    assert [guard.refused(1, taken=1) for _ in range(9)] == [Ruled.PARK] * 9


def test_what_has_an_instance_that_it_was_asked_for_does_not_refuse_everything() -> None:
    guard = ParkGuard()
    for number in range(5):
        guard.refused(number, taken=1)
    guard.absolve()
    assert not guard.refuses_all(1)
    assert guard.refused(6, taken=1) is Ruled.PARK


@given(st.lists(st.none() | st.integers(0, 9)))
def test_blames_exactly_when_five_were_refused_since_one_was_taken(moves: list[int | None]) -> None:
    guard, since, taken = ParkGuard(), list[int](), 0
    for number in moves:
        if number is None:
            taken += 1
            since.clear()
            continue
        if len(since) < PARKS_IN_A_ROW and number not in since:
            since.append(number)
        ruled = guard.refused(number, taken=taken)
        assert (ruled is Ruled.BLAME) is (len(since) == PARKS_IN_A_ROW) is guard.refuses_all(taken)
        assert list(guard.row) == since
        assert ruled is not Ruled.PARK or taken > 0
