"""Who may connect: the caps, what counts as one address, and that nothing is left behind."""

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.server.door import Door
from edged.server.exchange import Counters
from edged.server.idle import Idle
from edged.server.limits import Limits
from edged.server.peer import address_of

LIMITS = Limits(connections=5, connections_per_address=3, leaving=2, crowd=2)


class Peer:
    """A socket as far as the door looks at it."""

    def __init__(self, family: socket.AddressFamily, address: str) -> None:
        self.family = family
        self._address = address

    def getpeername(self) -> tuple[str, int]:
        if not self._address:
            raise OSError("not connected")
        return self._address, 4711


@pytest.mark.parametrize(
    ("family", "address", "counts_as"),
    [
        (socket.AF_UNIX, "", ""),
        (socket.AF_INET, "127.0.0.2", ""),
        (socket.AF_INET6, "::1", ""),
        (socket.AF_INET6, "::ffff:127.0.0.1", ""),
        (socket.AF_INET, "", ""),
        (socket.AF_INET, "192.0.2.7", "192.0.2.7"),
        (socket.AF_INET6, "::ffff:192.0.2.7", "192.0.2.7"),
        (socket.AF_INET6, "2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        (socket.AF_INET6, "fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(family: socket.AddressFamily, address: str, counts_as: str) -> None:
    assert address_of(Peer(family, address)) == counts_as  # type: ignore[arg-type]


def test_one_address_does_not_shut_the_others_out() -> None:
    counters = Counters()
    door = Door(LIMITS, counters)
    assert [door.enter("a") for _ in range(5)] == [True, True, True, False, False]
    assert (counters.refused, counters.crowded) == (2, 2)
    assert [door.enter("b"), door.enter(""), door.enter("c")] == [True, True, False]
    assert (counters.accepted, counters.open, counters.refused, counters.crowded) == (5, 5, 3, 2)
    assert door.enter("", capped=False)
    door.leave("a")
    door.leave("")
    assert door.enter("a")
    assert not door.enter("a")


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.booleans()), max_size=60))
def test_the_caps_hold_and_nothing_is_left(moves: list[tuple[str, bool]]) -> None:
    counters = Counters()
    door = Door(LIMITS, counters)
    inside: Counter[str] = Counter()
    for address, comes in moves:
        if comes:
            fits = sum(inside.values()) < LIMITS.connections
            fits = fits and (not address or inside[address] < LIMITS.connections_per_address)
            assert door.enter(address) == fits
            inside[address] += fits
        elif inside[address]:
            door.leave(address)
            inside[address] -= 1
    assert counters.open == sum(inside.values())
    for address in inside.elements():
        door.leave(address)
    assert (counters.open, door._inside.total, door._inside.by_address) == (0, 0, {})


class Kept:
    """A connection that waits for a next request, and ends when it is told to."""

    def __init__(self, idle: Idle, address: str) -> None:
        self.told = False
        idle.enter(address, self.end)

    def end(self) -> None:
        assert not self.told
        self.told = True


def test_the_longest_idle_connection_of_the_greatest_crowd_makes_room() -> None:
    counters, idle = Counters(), Idle()
    door = Door(LIMITS, counters, idle)
    assert all(door.enter(address) for address in ("b", "a", "a", "a", "b"))
    first_of_b, first, second = Kept(idle, "b"), Kept(idle, "a"), Kept(idle, "a")
    assert door.enter("c")
    assert (first_of_b.told, first.told, second.told) == (False, True, False)
    door.leave("a")
    assert door.enter("c")
    assert (first_of_b.told, second.told) == (True, False)  # two each by now, and that of b waits for longer
    door.leave("b")
    assert (counters.open, counters.refused) == (5, 0)


class Beginner(Kept):
    """A connection that has not brought a whole request head."""

    def __init__(self, idle: Idle, address: str) -> None:
        self.told = False
        idle.begin(address, self.end)


def test_of_a_crowd_those_without_a_head_make_room_where_nobody_is_idle() -> None:
    counters, idle = Counters(), Idle()
    door = Door(LIMITS, counters, idle)
    assert all(door.enter(address) for address in "baaab")
    of_b, first, second, kept = Beginner(idle, "b"), Beginner(idle, "a"), Beginner(idle, "a"), Kept(idle, "b")
    assert door.enter("c")
    assert (of_b.told, first.told, second.told, kept.told) == (False, False, False, True)
    door.leave("b")
    assert door.enter("d")
    assert (of_b.told, first.told, second.told) == (False, True, False)
    door.leave("a")
    assert not door.enter("e")  # they are two of a by now: no crowd
    assert (of_b.told, second.told) == (False, False)


def test_a_crowd_makes_no_room_for_another_one_nor_for_itself() -> None:
    counters, idle = Counters(), Idle()
    door = Door(Limits(connections=8, connections_per_address=4, crowd=2), counters, idle)
    assert all(door.enter(address) for address in "aaaabbbb")
    beginners = [Beginner(idle, address) for address in "ab"]
    assert not door.enter("a")
    door.leave("b")
    assert door.enter("b")
    door.leave("b")
    door.leave("b")
    assert door.enter("c")
    assert door.enter("d")
    assert door.enter("b")  # of which there are three then, against three of a
    assert [each.told for each in beginners] == [True, False]
    door.leave("a")
    assert not door.enter("b")


def test_a_crowd_makes_room_for_itself_only() -> None:
    counters, idle = Counters(), Idle()
    door = Door(LIMITS, counters, idle)
    assert all(door.enter("a") for _ in range(3))
    other = Kept(idle, "b")
    assert not door.enter("a")
    own = Kept(idle, "a")
    assert door.enter("a")
    assert (own.told, other.told) == (True, False)


def test_without_an_idle_connection_and_beyond_those_that_leave_nobody_enters() -> None:
    counters, idle = Counters(), Idle()
    door = Door(LIMITS, counters, idle)
    assert all(door.enter(address) for address in "abcde")
    assert not door.enter("f")
    kept = [Kept(idle, address) for address in "abcde"]
    assert [door.enter(address) for address in "fgh"] == [True, True, False]
    assert [each.told for each in kept] == [True, True, False, False, False]
    idle.leave(kept[0].end)  # known no more, and so nothing happens
    door.leave("a")
    assert door.enter("h")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, Kept, Beginner])), max_size=60))
def test_the_caps_hold_beside_those_that_make_room(moves: list[tuple[str, type[Kept] | None]]) -> None:
    counters, idle = Counters(), Idle()
    door = Door(LIMITS, counters, idle)
    inside: Counter[str] = Counter()
    beginners: list[tuple[str, Beginner]] = []
    for address, waits in moves:
        before = dict(inside)
        told = {id(each) for _, each in beginners if each.told}
        if door.enter(address):
            inside[address] += 1
            made = None if waits is None else waits(idle, address)
            beginners += [(address, made)] if isinstance(made, Beginner) else []
        for of, each in beginners:
            assert not each.told or id(each) in told or before[of] > max(LIMITS.crowd, before.get(address, 0) + 1)
        assert counters.open <= LIMITS.connections + LIMITS.leaving
        assert inside[address] <= LIMITS.connections_per_address + LIMITS.leaving
