"""Whom an unknown instance is asked of, and what their words come to, where the rules leave several ways open."""

from collections.abc import Mapping, Sequence

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from edged.config import Proof
from edged.dicom.reasons import FailureReason
from edged.services.commitment_asking import AGAIN_S, Inquiry, Ways
from edged.services.commitment_evidence import Unproven
from edged.store.commitments import COMMITTED
from edged.store.records import Reference
from edged.telemetry.clock import ManualClock

DENIED, FAILED = FailureReason.NO_SUCH_OBJECT_INSTANCE, FailureReason.PROCESSING_FAILURE
REFERENCE = Reference(sop_class_uid="1.2", sop_instance_uid="1.2.3")
HAS, NONE, NOT_YET, SAYS_NOTHING = Proof.DICOMWEB, Unproven.ABSENT, Unproven.UNANSWERED, Unproven.UNTOLD
SPLIT = ({1}, {2})
BOTH = ({1}, {1, 2})
NOBODY: frozenset[int] = frozenset()


class Saying:
    """A destination that always says the same."""

    def __init__(self, answer: Proof | Unproven) -> None:
        self.answer = answer
        self.asked = 0

    async def ask(self, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
        assert references == [REFERENCE]
        self.asked += 1
        return {REFERENCE: self.answer}


def ways(*sets: set[int]) -> Ways:
    return frozenset(map(frozenset, sets))


async def answered(said: dict[int, Saying], open_ways: Ways, remembered: frozenset[int] = NOBODY) -> int | None:
    clock = ManualClock()
    inquiry = Inquiry(said, lambda _: open_ways, clock, accepted=(Proof.DICOMWEB, Proof.SEARCH))
    first = await inquiry.ask({REFERENCE: remembered})
    assert await inquiry.ask({REFERENCE: remembered}) == {}, "once a minute"
    clock.advance(AGAIN_S)
    assert await inquiry.ask({REFERENCE: remembered}) == first
    return first.get(REFERENCE)


@pytest.mark.parametrize(
    ("open_ways", "one", "two", "answer"),
    [
        (({1, 2},), HAS, HAS, COMMITTED),
        (({1, 2},), HAS, NONE, DENIED),
        (({1, 2},), NOT_YET, NONE, DENIED),
        (({1, 2},), HAS, NOT_YET, None),
        (({1, 2},), HAS, SAYS_NOTHING, FAILED),
        (({1, 2},), HAS, Proof.STORED, FAILED),
        (SPLIT, HAS, HAS, COMMITTED),
        (SPLIT, HAS, NONE, FAILED),
        (SPLIT, NONE, NONE, DENIED),
        (SPLIT, NOT_YET, NONE, None),
        (SPLIT, SAYS_NOTHING, NONE, FAILED),
        (BOTH, NONE, NOT_YET, DENIED),
        (BOTH, HAS, NONE, FAILED),
        (BOTH, HAS, HAS, COMMITTED),
        ((), HAS, HAS, DENIED),
    ],
)
async def test_what_they_say_comes_to(
    open_ways: tuple[set[int], ...], one: Proof | Unproven, two: Proof | Unproven, answer: int | None
) -> None:
    assert await answered({1: Saying(one), 2: Saying(two)}, ways(*open_ways)) == answer


async def test_who_had_committed_to_it_is_asked_alone() -> None:
    said = {1: Saying(HAS), 2: Saying(NONE)}
    assert await answered(said, ways(*SPLIT), frozenset({1})) == COMMITTED
    assert (said[1].asked, said[2].asked) == (2, 0)
    assert await answered({1: Saying(NONE), 2: Saying(HAS)}, ways(*SPLIT), frozenset({1})) == DENIED
    assert await answered({1: Saying(HAS), 2: Saying(NONE)}, ways(*SPLIT), frozenset({9})) == FAILED, "who left"


@given(
    st.sets(st.frozensets(st.sampled_from([1, 2, 3]), min_size=1), min_size=1).map(frozenset),
    st.fixed_dictionaries({each: st.sampled_from([HAS, NONE, NOT_YET, SAYS_NOTHING]) for each in (1, 2, 3)}),
)
def test_no_way_that_it_may_have_gone_makes_an_answer_untrue(
    open_ways: Ways, said: dict[int, Proof | Unproven]
) -> None:
    answers = []

    async def run() -> None:
        answers.append(await answered({each: Saying(word) for each, word in said.items()}, open_ways))

    trio.run(run)
    for way in open_ways:
        if answers == [COMMITTED]:
            assert {said[each] for each in way} == {HAS}
        if answers == [DENIED]:
            assert NONE in {said[each] for each in way}
