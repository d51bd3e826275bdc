"""Five parks in a row without an accepted instance between them are the destination's fault."""

from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.park_guard import PARKS_IN_A_ROW, ParkGuard, Unpark


def test_the_fifth_park_gives_all_five_back() -> None:
    guard = ParkGuard()
    assert [guard.record_parked(uid) for uid in "abcd"] == [None] * 4
    assert guard.record_parked("e") == Unpark(tuple("abcde"))
    assert guard.record_parked("f") is None


def test_an_accepted_instance_makes_the_parks_stand() -> None:
    guard = ParkGuard()
    for uid in "abcd":
        guard.record_parked(uid)
    guard.record_accepted()
    assert [guard.record_parked(uid) for uid in "efgh"] == [None] * 4
    assert guard.record_parked("i") == Unpark(tuple("efghi"))


def test_the_same_instance_parked_again_counts_once() -> None:
    guard = ParkGuard()
    assert [guard.record_parked("a") for _ in range(9)] == [None] * 9


@given(st.lists(st.none() | st.sampled_from("abcdefgh")))
def test_gives_back_only_what_was_parked_since_the_last_accepted(moves: list[str | None]) -> None:
    guard, since = ParkGuard(), list[str]()
    for uid in moves:
        if uid is None:
            guard.record_accepted()
            since.clear()
            continue
        since = [*dict.fromkeys([*since, uid])]
        given_back = guard.record_parked(uid)
        assert (given_back is not None) is (len(since) == PARKS_IN_A_ROW)
        if given_back is not None:
            assert list(given_back.uids) == since
            since.clear()
