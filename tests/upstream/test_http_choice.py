"""Which HTTP is spoken where both are offered: in a model of a link, and fact by fact."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.upstream.http_choice import ENOUGH_BYTES_PER_S, MARGIN, Measured, Version, choose
from edged.upstream.weighing import AGAIN_S, MOST_S, REST_S, SAMPLE_BYTES, SAMPLE_ROUND_TRIPS, SAMPLE_S, Weighing

ONE, TWO = Version
OFFERED = Measured(offered=True, round_trip_s=0.04, window_bytes=16 << 20)
BOUND = OFFERED.window_bytes / OFFERED.round_trip_s  # type: ignore[operator]
NARROW = replace(OFFERED, window_bytes=65_535)


@pytest.mark.parametrize(
    ("seen", "version", "reason"),
    [
        (Measured(offered=False), ONE, "does not offer HTTP/2"),
        (replace(OFFERED, offered=False, one=1.0, two=9.0), ONE, "does not offer HTTP/2"),
        (Measured(offered=True), TWO, "the peer offers it"),
        (OFFERED, TWO, "(16384 KiB, round trip 40 ms) allows 419.4 MB/s"),
        (replace(OFFERED, round_trip_s=0.0), TWO, "the peer offers it"),
        (NARROW, ONE, "not measured yet; the window of HTTP/2 (64 KiB, round trip 40 ms) allows 1.6 MB/s"),
        (replace(OFFERED, one=2 * BOUND), ONE, "allows 419.4 MB/s"),
        (replace(OFFERED, one=BOUND), TWO, "to be measured: HTTP/1.1 reached 419.4 MB/s"),
        (replace(OFFERED, two=5e6), ONE, "to be measured: HTTP/2 reached 5.0 MB/s"),
        (replace(OFFERED, one=9e6, two=9e6), TWO, "HTTP/1.1 reached 9.0 MB/s, HTTP/2 9.0 MB/s"),
        (replace(OFFERED, one=9e6, two=9e6, settled=ONE), ONE, "HTTP/2 9.0 MB/s"),
        (replace(OFFERED, one=9e6, two=9.5e6, settled=ONE), ONE, "HTTP/2 9.5 MB/s"),
        (replace(OFFERED, one=9e6, two=8.5e6, settled=TWO), TWO, "HTTP/2 8.5 MB/s"),
        (replace(OFFERED, one=9e6, two=12e6, settled=ONE), TWO, "HTTP/2 12.0 MB/s"),
        (replace(OFFERED, one=12e6, two=9e6, settled=TWO), ONE, "HTTP/1.1 reached 12.0 MB/s"),
    ],
)
def test_each_choice_has_its_reason(seen: Measured, version: Version, reason: str) -> None:
    chosen = choose(seen)
    assert chosen.version is version
    assert reason in chosen.reason


RATES = st.floats(1e4, 1e9)
SEEN = st.builds(
    Measured,
    offered=st.sampled_from([None, True, False]),
    round_trip_s=st.none() | st.floats(0.0, 1.0),
    window_bytes=st.none() | st.integers(0, 1 << 31),
    one=st.none() | RATES,
    two=st.none() | RATES,
    settled=st.none() | st.sampled_from(Version),
)


@given(SEEN)
def test_what_was_measured_is_never_much_worse_than_the_other(seen: Measured) -> None:
    version = choose(seen).version
    if seen.offered is False:
        assert version is ONE
    elif seen.one is not None and seen.two is not None:
        rates = {ONE: seen.one, TWO: seen.two}
        assert rates[version] >= (1 - MARGIN) * max(rates.values())
        assert choose(replace(seen, settled=version)).version is version  # and it stays


@dataclass(frozen=True)
class Link:
    """What a link carries: over HTTP/2 no more than its window lets it."""

    one: float
    two_at_most: float
    round_trip_s: float
    window_bytes: int

    def rate(self, version: Version) -> float:
        bound = self.window_bytes / self.round_trip_s
        return self.one if version is ONE else min(self.two_at_most, bound)


LINKS = st.builds(
    Link,
    one=st.floats(1e7, 1e9),
    two_at_most=st.floats(1e7, 1e9),
    round_trip_s=st.floats(0.0001, 0.5),
    window_bytes=st.integers(16_384, 1 << 26),
)


class Sending:
    """A destination that is sent to without a pause, a sample's worth at a time."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.now = 0.0
        self.weighing = Weighing(0.0)
        self.weighing.offers(True)
        self.weighing.path(0.0, round_trip_s=link.round_trip_s, window_bytes=link.window_bytes)
        self.spoken: list[Version] = []

    def send(self, times: int = 1) -> None:
        for _ in range(times):
            version = self.weighing.chosen(self.now).version
            self.weighing.began(version, self.now)
            rate = self.link.rate(version)
            for _ in range(2):  # the first of a row is dropped
                size = SAMPLE_BYTES + int(rate * max(SAMPLE_S, SAMPLE_ROUND_TRIPS * self.link.round_trip_s))
                self.now += size / rate
                self.weighing.moved(version, size, self.now)
            self.weighing.ended(version, self.now)
            self.spoken.append(version)

    @property
    def changes(self) -> int:
        return sum(before is not after for before, after in zip(self.spoken, self.spoken[1:], strict=False))

    def is_good(self) -> bool:
        chosen = self.weighing.chosen(self.now).version
        return self.link.rate(chosen) >= 0.85 * max(self.link.rate(each) for each in Version)


@given(LINKS)
def test_on_any_link_the_choice_is_soon_good_and_stays(link: Link) -> None:
    sending = Sending(link)
    sending.send(4)
    assert sending.is_good()
    settled = len(sending.spoken)
    sending.send(20)
    assert sending.now < AGAIN_S
    assert sending.is_good()
    assert len(set(sending.spoken[settled:])) == 1


@given(LINKS, st.integers(1, 40))
def test_nothing_alternates_for_ever(link: Link, days: int) -> None:
    """Measured again ever more rarely: two changes each time, and not more often than the times double."""
    sending = Sending(link)
    sending.send(4)
    until = sending.now + days * MOST_S
    while sending.now < until:
        sending.now += AGAIN_S
        sending.send(4)
    doublings = 8  # from AGAIN_S to MOST_S
    measured_again = doublings + (sending.now / MOST_S) + 1
    assert sending.changes <= 2 + 2 * measured_again
    assert sending.is_good()


@given(LINKS, LINKS)
def test_another_path_is_measured_anew(before: Link, after: Link) -> None:
    sending = Sending(before)
    sending.send(4)
    sending.link = after
    sending.now += 2 * MOST_S
    sending.weighing.path(sending.now, round_trip_s=after.round_trip_s, window_bytes=after.window_bytes)
    sending.send(4)
    assert sending.is_good()


def test_a_light_load_that_grows_is_judged_again() -> None:
    sending = Sending(Link(one=1e6, two_at_most=1e6, round_trip_s=0.04, window_bytes=1 << 20))
    sending.send(4)
    assert sending.weighing.seen.settled is TWO
    sending.link = replace(sending.link, one=100e6, two_at_most=100e6)
    sending.now += REST_S
    sending.send(6)
    assert sending.weighing.chosen(sending.now).version is ONE


def test_a_load_that_shrinks_changes_nothing() -> None:
    sending = Sending(Link(one=100e6, two_at_most=50e6, round_trip_s=0.001, window_bytes=1 << 20))
    sending.send(4)
    assert sending.weighing.seen.settled is ONE
    sending.link = replace(sending.link, one=1e7, two_at_most=1e7)
    spoken = len(sending.spoken)
    sending.send(20)
    assert set(sending.spoken[spoken:]) == {ONE}


def test_bodies_on_both_versions_at_once_are_no_sample() -> None:
    weighing = Weighing(0.0)
    weighing.began(TWO, 0.0)
    weighing.began(ONE, 0.0)
    for second in range(1, 10):
        weighing.moved(ONE, SAMPLE_BYTES, second)
        weighing.moved(TWO, SAMPLE_BYTES, second)
    assert (weighing.seen.one, weighing.seen.two) == (None, None)
    weighing.ended(TWO, 10.0)
    weighing.began(ONE, 10.0)
    for second in range(11, 14):
        weighing.moved(ONE, SAMPLE_BYTES, second)
    assert (weighing.seen.one, weighing.seen.two) == (SAMPLE_BYTES, None)


def test_the_time_in_which_nothing_is_sent_does_not_count() -> None:
    weighing = Weighing(0.0)
    for second in range(0, 300, 100):
        weighing.began(TWO, second)
        weighing.moved(TWO, SAMPLE_BYTES, second + 1)
        weighing.ended(TWO, second + 1)
    assert weighing.seen.two == SAMPLE_BYTES


def test_a_peer_that_gives_no_connection_in_http_1_1_is_spoken_to_in_http_2() -> None:
    weighing = Weighing(0.0)
    weighing.offers(True)
    weighing.path(0.0, round_trip_s=0.2, window_bytes=65_535)
    assert ENOUGH_BYTES_PER_S > 65_535 / 0.2
    assert weighing.chosen(0.0).version is ONE
    weighing.one_failed(0.0)
    assert weighing.chosen(0.0).version is TWO
