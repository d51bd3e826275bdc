"""Tokens, passwords and certificates: which are known, and that guessing passwords takes turns and is bounded."""

import base64
import contextlib
import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.config import Certificate, Password, Role, Token
from edged.config.scrypt import PasswordHash
from edged.origin.credentials import (
    MOST_OF_FAILING_ADDRESS,
    MOST_WAITING,
    Busy,
    Passwords,
    find_certificate,
    find_token,
    read_basic,
)
from edged.origin.throttle import EVERY_S, FAILURES, Throttle
from edged.origin.waiting import FIRST_OF_ADDRESS, FIRST_OF_NAME, Places, Rounds

READ = (Role.READ,)
HERE = "192.0.2.7"


def token(name: str) -> Token:
    return Token(name=name, sha256=hashlib.sha256(name.encode()).hexdigest(), roles=READ)


def test_a_token_is_found_wherever_it_stands() -> None:
    tokens = [token(name) for name in ("one", "two", "three")]
    assert [find_token(tokens, each.name) for each in tokens] == tokens
    for unknown in ("", "four", "ON", "one ", tokens[0].sha256, "\xe9", "\u0100"):
        assert find_token(tokens, unknown) is None
    assert find_token([], "one") is None


def test_a_certificate_is_found_by_its_fingerprint_before_its_names() -> None:
    der = b"certificate"
    by_name = Certificate(name="by-name", subject="ct.example", roles=READ)
    by_print = Certificate(name="by-print", sha256=hashlib.sha256(der).hexdigest(), roles=READ)
    assert find_certificate([by_name, by_print], der, ["ct.example"]) is by_print
    assert find_certificate([by_name, by_print], b"another", ["other", "ct.example"]) is by_name
    assert find_certificate([by_name, by_print], b"another", ["CT.example", ""]) is None


def basic(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


@pytest.mark.parametrize(
    ("credential", "pair"),
    [
        (basic(b"ct:sesame"), ("ct", "sesame")),
        (basic(b"ct:a:b"), ("ct", "a:b")),
        (basic(b":"), ("", "")),
        (basic("ct:Schlüssel".encode()), ("ct", "Schlüssel")),
        (basic("ct:Schlüssel".encode("latin-1")), ("ct", "Schlüssel")),
        (basic(b"ct"), None),
        (basic(b"ct:" + b"x" * 2000), None),
        ("", None),
        ("Y3Q6", ("ct", "")),
        ("Y3Q6 ", None),
        ("\xe9", None),
    ],
)
def test_reading_basic(credential: str, pair: tuple[str, str] | None) -> None:
    assert read_basic(credential) == pair


@given(st.text(max_size=40))
def test_any_basic_credential(credential: str) -> None:
    pair = read_basic(credential)
    assert pair is None or len(pair) == 2


@dataclass(frozen=True)
class Slow(PasswordHash):
    """Takes its time as the test says, and counts how often it was asked and by how many at once."""

    asked: list[str] = field(default_factory=list)
    at_once: list[int] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    running: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(1))

    def matches(self, password: str) -> bool:
        self.at_once.append(self.running.acquire(blocking=False))
        self.asked.append(password)
        assert self.go.wait(20)
        self.running.release()
        return password == "sesame"


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow(14, 8, 1, b"", b"")
    made.go.set()
    yield made
    made.go.set()


def user(slow: Slow, name: str = "ct") -> Password:
    return Password(name=name, scrypt=slow, roles=READ)


async def test_a_password_is_checked_once(slow: Slow) -> None:
    passwords = Passwords([user(slow)], Throttle())
    for _ in range(3):
        found = await passwords.find("ct", "sesame", address=HERE)
        assert found is not None
        assert await passwords.find("ct", "wrong", address=HERE) is None
    assert slow.asked == ["sesame", "wrong"]


async def test_whether_there_is_such_a_user_takes_no_other_time(slow: Slow) -> None:
    passwords = Passwords([user(slow)], Throttle())
    assert await passwords.find("nobody", "sesame", address=HERE) is None
    assert await passwords.find("nobody", "sesame", address=HERE) is None
    assert slow.asked == ["sesame"]


async def test_passwords_take_turns_and_the_same_one_is_checked_once(slow: Slow) -> None:
    passwords = Passwords([user(slow)], Throttle())
    found: list[Password | None] = []

    async def find(password: str) -> None:
        found.append(await passwords.find("ct", password, address=HERE))

    async with trio.open_nursery() as nursery:
        for password in ("sesame", "sesame", "one", "two", "sesame"):
            nursery.start_soon(find, password)
    assert sorted(slow.asked) == ["one", "sesame", "two"]
    assert all(slow.at_once)
    assert [each is None for each in found].count(False) == 3


async def test_a_real_password() -> None:
    hashed = PasswordHash.parse(str(PasswordHash.of("Schlüssel", b"0123456789abcdef", parallel=1)))
    passwords = Passwords([Password(name="ct", scrypt=hashed, roles=READ)], Throttle())
    assert await passwords.find("ct", "Schlu\u0308ssel", address=HERE)
    assert await passwords.find("ct", "Schlussel", address=HERE) is None


async def test_those_that_wait_are_bounded_and_there_is_room_for_who_comes_first(slow: Slow) -> None:
    slow.go.clear()
    passwords = Passwords([user(slow), user(slow, "mr")], Throttle())
    async with trio.open_nursery() as nursery:
        for number in range(MOST_WAITING):
            nursery.start_soon(partial(passwords.find, "ct", f"{number}", address=f"198.51.100.{number}"))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Busy) as busy:
            await passwords.find("ct", "one more", address="198.51.100.0")
        assert busy.value.retry_after_s == 1
        nursery.start_soon(partial(passwords.find, "mr", "of another name", address="198.51.100.0"))
        nursery.start_soon(partial(passwords.find, "ct", "of another address", address=HERE))
        await trio.testing.wait_all_tasks_blocked()
        slow.go.set()
    assert {"of another name", "of another address"} < set(slow.asked)


async def quietly(passwords: Passwords, password: str, address: str, name: str = "ct") -> Password | None:
    """Ask, and be content with any answer."""
    with contextlib.suppress(Busy):
        return await passwords.find(name, password, address=address)
    return None


async def test_turns_go_round_the_addresses(slow: Slow) -> None:
    """Ten guesses of one address are not before the one password of another."""
    slow.go.clear()
    passwords = Passwords([user(slow)], Throttle())
    async with trio.open_nursery() as nursery:
        for number in range(FAILURES):
            nursery.start_soon(partial(passwords.find, "ct", f"{number}", address=HERE))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(partial(passwords.find, "ct", "sesame", address="192.0.2.8"))
        await trio.testing.wait_all_tasks_blocked()
        slow.go.set()
    assert slow.asked.index("sesame") <= 2


ANY = PasswordHash(14, 8, 1, b"", b"")
CHECK_S = 0.25


@dataclass
class Checks:
    """Checks in virtual time, as long as real ones take, and counts."""

    asked: list[str] = field(default_factory=list)

    async def __call__(self, hashed: PasswordHash, password: str) -> bool:
        await trio.sleep(CHECK_S)
        self.asked.append(password)
        return password.startswith("sesame")


async def guess(passwords: Passwords, address: str, *, until_s: float, thread: int) -> None:
    """Guess without end, and come again at once whatever is said."""
    number = 0
    while trio.current_time() < until_s:
        number += 1
        try:
            await passwords.find("ct", f"{address} {thread} {number}", address=address)
        except Busy:
            await trio.sleep(0.5)


@pytest.mark.parametrize("threads", [1, 8, 64])
async def test_no_address_has_more_checked_than_it_may(autojump_clock: trio.testing.MockClock, *, threads: int) -> None:
    """However many it sends at once: ten, and then one in EVERY_S."""
    quick = Checks()
    passwords = Passwords([Password(name="ct", scrypt=ANY, roles=READ)], Throttle(), matches=quick)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for thread in range(threads):
            nursery.start_soon(partial(guess, passwords, HERE, until_s=began + 600, thread=thread))
    # who waits when the time is over is still checked
    lasted_s = trio.current_time() - began
    assert len(quick.asked) <= FAILURES + lasted_s / EVERY_S + 1
    assert lasted_s <= 600 + 2 * MOST_OF_FAILING_ADDRESS * EVERY_S


@pytest.mark.parametrize(
    ("attackers", "threads", "address", "within_s"),
    [(12, 5, "192.0.2.99", 5.0), (60, 2, "192.0.2.99", 20.0), (1, 7, "10.0.0.0", 30.0)],
)
async def test_an_honest_client_is_let_in_beside_guesses(
    autojump_clock: trio.testing.MockClock, *, attackers: int, threads: int, address: str, within_s: float
) -> None:
    """From another address at once; behind the address of the guesses it waits its turn, but no Busy tells it to go."""
    quick = Checks()
    passwords = Passwords([Password(name="ct", scrypt=ANY, roles=READ)], Throttle(), matches=quick)
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for attacker in range(attackers):
            for thread in range(threads):
                guessing = partial(guess, passwords, f"10.0.0.{attacker}", until_s=began + 1200, thread=thread)
                nursery.start_soon(guessing)
        await trio.sleep(100)
        for number in range(10):
            before = trio.current_time()
            assert await passwords.find("ct", f"sesame {number}", address=address)
            assert trio.current_time() - before <= within_s
        nursery.cancel_scope.cancel()


async def test_an_address_that_has_failed_waits_and_a_good_password_comes_through(
    autojump_clock: trio.testing.MockClock,
) -> None:
    checks, quick = Throttle(), Checks()
    users = [Password(name=name, scrypt=ANY, roles=READ) for name in ("ct", "mr")]
    passwords = Passwords(users, Throttle(), checks, matches=quick)
    for _ in range(FAILURES):
        checks.failed(HERE)
    async with trio.open_nursery() as nursery:
        for number in range(2 * MOST_OF_FAILING_ADDRESS):
            nursery.start_soon(quietly, passwords, f"guess {number}", HERE)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(quietly, passwords, "sesame of mr", HERE, "mr")  # another name: a place of its own
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await passwords.find("ct", "one more", address=HERE)
        assert await passwords.find("ct", "sesame", address="192.0.2.8")  # another address does not wait for them
        assert await passwords.find("ct", "sesame", address=HERE)  # nor what is known already
        assert quick.asked == ["sesame"]
    assert "sesame of mr" in quick.asked
    assert len(quick.asked) == 2 + MOST_OF_FAILING_ADDRESS


async def test_what_is_wrong_again_costs_nothing_and_counts_by_itself(slow: Slow) -> None:
    """So that who sends an old password over and over keeps nobody else of his address waiting."""
    failures, checks = Throttle(), Throttle()
    passwords = Passwords([user(slow)], failures, checks)
    assert [await passwords.find("ct", "old", address=HERE) for _ in range(1 + FAILURES)] == [None] * (1 + FAILURES)
    with pytest.raises(Busy):
        await passwords.find("ct", "old", address=HERE)
    assert slow.asked == ["old"]
    assert checks.wait_s(HERE) == 0


async def test_a_good_password_is_no_failure(slow: Slow) -> None:
    checks = Throttle()
    passwords = Passwords([user(slow)], Throttle(), checks)
    assert await passwords.find("ct", "sesame", address=HERE)
    assert [checks.failed(HERE) for _ in range(FAILURES)] == [0] * FAILURES


async def test_an_unknown_user_is_compared_with_what_takes_longest(slow: Slow) -> None:
    dear = Slow(15, 8, 1, b"", b"")
    dear.go.set()
    passwords = Passwords([user(slow), Password(name="dear", scrypt=dear, roles=READ), user(slow, "mr")], Throttle())
    assert await passwords.find("nobody", "sesame", address=HERE) is None
    assert (slow.asked, dear.asked) == ([], ["sesame"])


async def test_what_is_remembered_of_wrong_ones_is_bounded(slow: Slow) -> None:
    passwords = Passwords([user(slow)], Throttle())
    passwords._wrong.update((b"%d" % number, None) for number in range(4096))
    assert await passwords.find("ct", "wrong", address=HERE) is None
    assert len(passwords._wrong) == 4096


async def test_who_gives_up_leaves_nothing_behind(slow: Slow) -> None:
    slow.go.clear()
    checks = Throttle()
    passwords = Passwords([user(slow)], Throttle(), checks)
    async with trio.open_nursery() as nursery:
        for number in range(FAILURES + MOST_OF_FAILING_ADDRESS):
            nursery.start_soon(quietly, passwords, f"{number}", HERE)
        await trio.testing.wait_all_tasks_blocked()
        slow.go.set()
        nursery.cancel_scope.cancel()
    assert len(slow.asked) == 1  # the one that could not be called back, which counts
    assert [checks.failed(HERE) for _ in range(FAILURES - 1)] == [0] * (FAILURES - 1)
    assert checks.failed(HERE)
    assert await passwords.find("ct", "sesame", address="192.0.2.8")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=60))
def test_places_are_bounded_whoever_comes(comers: list[tuple[str, str]]) -> None:
    places = Places(3, 2)
    inside: Counter[tuple[str, str]] = Counter()
    with contextlib.ExitStack() as held:
        for address, name in comers:
            if places.has_room(address, name):
                held.enter_context(places.taken(address, name))
                inside[address, name] += 1
        of_address = {each: sum(inside[each, name] for name in "xyz") for each in "abc"}
        assert max(of_address.values()) <= 2 * FIRST_OF_NAME
        assert inside.total() <= 3 * FIRST_OF_ADDRESS
        assert {address for address, _ in comers} == {address for address, count in of_address.items() if count}
    assert not places._names
    assert not places._addresses


async def test_a_turn_that_nobody_waits_for_any_more_goes_on() -> None:
    rounds, order = Rounds(), []

    async def take(line: str) -> None:
        async with rounds.turn(line):
            order.append(line)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery, rounds.turn("first"):
        for line in ("a", "a", "a", "b", "c"):
            nursery.start_soon(take, line)
            await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as impatient:
            impatient.start_soon(take, "b")
            impatient.start_soon(take, "d")
            await trio.testing.wait_all_tasks_blocked()
            impatient.cancel_scope.cancel()
    assert order == ["a", "b", "c", "a", "a"]
    assert (rounds._held, rounds._lines) == (False, {})
