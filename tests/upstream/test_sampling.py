"""How often is asked again, and when what is missed says something: by property."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edged.upstream.sampling import DAY_S, MOST_A_DAY, MOST_AT_ONCE, UNSEEN_IN_A_ROW, Allowance, Unseen

_TIMES = st.floats(0, 1e7, allow_nan=False)
_SHARES = st.floats(0, 1e9, allow_nan=False)


@given(st.lists(st.tuples(_TIMES, _SHARES)))
def test_never_more_than_the_share_and_the_caps_allow(steps: list[tuple[float, float]]) -> None:
    allowance, spent, earned = Allowance(0.0), 0, 0.0
    now = 0.0
    for seconds, a_day in steps:
        now += seconds
        earned += min(a_day, MOST_A_DAY) * seconds / DAY_S
        allowance = allowance.later(now, a_day=a_day)
        looks = int(allowance.looks)
        assert looks <= MOST_AT_ONCE
        spent += looks
        allowance = allowance.spent(looks)
        assert spent <= earned * (1 + 1e-9) + 1e-6


@given(st.floats(0.1, 1e6))
def test_it_is_due_when_it_says(a_day: float) -> None:
    allowance = Allowance(0.0)
    wait_s = allowance.wait_s(a_day=a_day)
    assert int(allowance.later(wait_s * 1.001, a_day=a_day).looks) == 1
    assert int(allowance.later(wait_s * 0.9, a_day=a_day).looks) == 0


def test_a_clock_that_stands_still_or_goes_back_earns_nothing() -> None:
    allowance = Allowance(100.0).later(50.0, a_day=DAY_S)
    assert allowance == Allowance(100.0)
    assert Allowance(0.0).wait_s(a_day=0.0) == float("inf")


class UnseenMachine(RuleBasedStateMachine):
    """Beside a model that remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.unseen = Unseen()
        self.missed: dict[int, float] = {}
        self.now = 0.0

    @rule(seconds=st.floats(0, 1000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(numbers=st.lists(st.integers(1, 12), max_size=8))
    def miss(self, numbers: list[int]) -> None:
        self.unseen.missed(numbers, self.now)
        for number in numbers:
            self.missed.setdefault(number, self.now)

    @rule()
    def see(self) -> None:
        self.unseen.seen()
        self.missed.clear()

    @invariant()
    def few_are_remembered(self) -> None:
        assert set(self.unseen.numbers) <= self.missed.keys()
        assert len(self.unseen.numbers) == min(UNSEEN_IN_A_ROW, len(self.missed))

    @invariant()
    def it_tells_of_many_or_of_a_long_time_and_of_nothing_else(self) -> None:
        telling = self.unseen.is_telling(self.now, within_s=900.0)
        if len(self.missed) >= UNSEEN_IN_A_ROW:
            assert telling
        elif telling:
            assert any(self.now - since >= 900.0 for since in self.missed.values())
        else:
            assert all(self.now - since < 900.0 for since in self.missed.values())


TestUnseen = UnseenMachine.TestCase
