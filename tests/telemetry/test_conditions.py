"""Conditions stand from the moment they are raised until they are cleared, and tell each turn once."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edged.telemetry.clock import ManualClock
from edged.telemetry.conditions import Condition, Conditions, Severity, Turn


def test_a_condition_stands_since_it_was_first_raised() -> None:
    clock = ManualClock(1_800_000_000.0)
    conditions = Conditions(clock)
    assert conditions.raise_("no-proof:archive", Severity.WARNING, "enable storage commitment")
    clock.advance(60)
    assert not conditions.raise_("no-proof:archive", Severity.WARNING, "enable it there")
    assert conditions.snapshot() == (
        Condition(name="no-proof:archive", since=1_800_000_000.0, severity=Severity.WARNING, hint="enable it there"),
    )
    assert conditions.stands("no-proof:archive")


def test_listeners_hear_each_turn_once() -> None:
    heard: list[tuple[Turn, str, Severity]] = []
    conditions = Conditions(ManualClock())
    conditions.listen(lambda turn, condition: heard.append((turn, condition.name, condition.severity)))
    conditions.raise_("store-full", Severity.WARNING, "")
    conditions.raise_("store-full", Severity.WARNING, "more")
    conditions.raise_("store-full", Severity.CRITICAL, "")
    assert conditions.clear("store-full")
    assert not conditions.clear("store-full")
    assert heard == [
        (Turn.RAISED, "store-full", Severity.WARNING),
        (Turn.RAISED, "store-full", Severity.CRITICAL),
        (Turn.CLEARED, "store-full", Severity.CRITICAL),
    ]


def test_what_matters_most_comes_first_then_the_oldest() -> None:
    clock = ManualClock()
    conditions = Conditions(clock)
    for name, severity in [("b", Severity.INFO), ("c", Severity.CRITICAL), ("a", Severity.INFO)]:
        conditions.raise_(name, severity, "")
        clock.advance(1)
    assert [condition.name for condition in conditions.snapshot()] == ["c", "b", "a"]


@pytest.mark.parametrize("name", ["", "Store", "store full", "store-", "a:", "a:b c", "a:" + "b" * 129])
def test_names_have_a_form(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a condition"):
        Conditions(ManualClock()).raise_(name, Severity.INFO, "")


class ConditionsMachine(RuleBasedStateMachine):
    """Whatever is raised and cleared: what was told adds up to what stands."""

    def __init__(self) -> None:
        super().__init__()
        self.conditions = Conditions(ManualClock())
        self.told: dict[str, Severity] = {}
        self.conditions.listen(self._hear)

    def _hear(self, turn: Turn, condition: Condition) -> None:
        if turn is Turn.RAISED:
            assert self.told.get(condition.name) is not condition.severity
            self.told[condition.name] = condition.severity
        else:
            del self.told[condition.name]

    @rule(name=st.sampled_from("abc"), severity=st.sampled_from(Severity))
    def raise_(self, name: str, severity: Severity) -> None:
        before = self.told.get(name)
        assert self.conditions.raise_(name, severity, "") is (before is not severity)

    @rule(name=st.sampled_from("abc"))
    def clear(self, name: str) -> None:
        stood = name in self.told
        assert self.conditions.clear(name) is stood

    @invariant()
    def told_is_what_stands(self) -> None:
        assert {c.name: c.severity for c in self.conditions.snapshot()} == self.told


TestConditions = ConditionsMachine.TestCase
