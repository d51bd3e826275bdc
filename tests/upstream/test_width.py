"""How many workers send at once: more where more gets through, fewer where the peer slows, always within bounds."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.width import FEW, PATIENCE, ROUNDS, Width

MB = 1_000_000
BATCH = 8 * MB

Peer = Callable[[int], float]
"""How long a batch takes beside so many others, in seconds."""


def link(bytes_per_s: float, round_trip_s: float) -> Peer:
    """A link that all share, and an answer that comes a round trip later."""
    return lambda workers: max(BATCH * workers / bytes_per_s, BATCH / bytes_per_s + round_trip_s)


def run(width: Width, peer: Peer, batches: int = 400) -> tuple[Width, list[int]]:
    """Send so many batches; also the number of workers at each."""
    seen = []
    for _ in range(batches):
        seen.append(width.value)
        width = width.finished(BATCH, peer(width.value), age=width.age)
    return width, seen


def goodput(peer: Peer, workers: int) -> float:
    return workers * BATCH / peer(workers)


@pytest.mark.parametrize("round_trip_s", [0.04, 0.2, 1.0, 3.0])
def test_a_link_is_filled_whatever_the_round_trip(round_trip_s: float) -> None:
    peer = link(20 * MB, round_trip_s)
    _, seen = run(Width.first(32), peer)
    usual = sorted(seen[200:])[100]
    assert goodput(peer, usual) >= 0.8 * 20 * MB


def test_a_longer_round_trip_gets_more() -> None:
    ends = [run(Width.first(32), link(20 * MB, round_trip_s))[0].value for round_trip_s in (0.04, 1.0, 3.0)]
    assert ends == sorted(ends)
    assert ends[0] < ends[-1]


def test_a_full_link_gets_few_and_is_rarely_asked_for_more() -> None:
    _, seen = run(Width.first(16), link(20 * MB, 0.0), batches=1000)
    assert max(seen) == FEW + 1
    assert seen.count(FEW + 1) / len(seen) < 2 / PATIENCE


def test_the_most_is_the_most() -> None:
    width, seen = run(Width.first(4), link(200 * MB, 5.0))
    assert (width.value, max(seen)) == (4, 4)
    assert Width.first(1).value == 1


def test_a_peer_that_slows_gets_fewer_and_more_when_it_has_recovered() -> None:
    quick, slow = link(20 * MB, 3.0), link(MB, 0.0)
    width, _ = run(Width.first(8), quick)
    many = width.value
    assert many > FEW
    width, _ = run(width, slow)
    assert width.value <= FEW
    width, _ = run(width, quick)
    assert width.value >= many - 1


def test_a_peer_that_only_seems_to_slow_loses_none() -> None:
    """The objects became smaller: fewer workers get less through, so they come back."""
    width, _ = run(Width.first(8), link(20 * MB, 3.0))
    width, seen = run(width, link(2 * MB, 30.0))
    assert sorted(seen)[len(seen) // 2] >= width.most - 2


def test_who_asks_for_peace_gets_half_once_for_all_that_was_on_its_way() -> None:
    width, _ = run(Width.first(8), link(200 * MB, 5.0))
    assert width.value == 8
    age = width.age
    for _ in range(8):
        width = width.pushed_back(age=age)
    assert width.value == 4
    assert width.pushed_back(age=width.age).value == 2
    assert Width(8, 1).pushed_back(age=0).value == 1


def test_what_began_at_another_number_and_what_starved_does_not_count() -> None:
    width = Width.first(8)
    assert width.finished(BATCH, 10.0, age=width.age + 1) == width
    for _ in range(ROUNDS * width.value - 1):
        width = width.finished(BATCH, 10.0, age=width.age)
    assert width.starved() == Width.first(8)


EVENTS = st.one_of(
    st.tuples(st.just("finished"), st.floats(1e-4, 1e4), st.integers(0, 1)),
    st.tuples(st.sampled_from(["starved", "pushed"]), st.just(0.0), st.integers(0, 1)),
)


@given(st.integers(1, 64), st.lists(EVENTS, max_size=200))
def test_it_stays_within_its_bounds(most: int, events: list[tuple[str, float, int]]) -> None:
    width = Width.first(most)
    for what, seconds, back in events:
        age = width.age - back
        match what:
            case "finished":
                width = width.finished(BATCH, seconds, age=age)
            case "starved":
                width = width.starved()
            case _:
                width = width.pushed_back(age=age)
        assert 1 <= width.value <= most
