"""Asking the required destinations about instances that the box knows nothing of, before it denies them (DICOM.md §6).

What is asked for is asked at most once a minute, a destination that does not answer not sooner either, however many
requests name the instance and however often they are looked at; some questions are out at a time. Nothing of an answer
is kept: whoever asked decides at once or asks again. Words that deny weigh more than a proof from elsewhere: an
instance is committed when every required destination has it.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping

import trio

from edged.config import Proof
from edged.dicom.reasons import FailureReason
from edged.services.commitment_evidence import Unproven, Witness
from edged.store.commitments import COMMITTED
from edged.store.records import Reference
from edged.telemetry.clock import Clock

AGAIN_S = 60.0
AT_A_TIME = 4
MOST_NOTES = 20_000
"""Questions whose last time is kept: beyond them the oldest is merely asked sooner again."""


class Inquiry:
    """Asks `required` destinations by their ids; those that do not run cannot be asked and are waited for."""

    def __init__(
        self, witnesses: Mapping[int, Witness], required: Collection[int], clock: Clock, *, accepted: Collection[Proof]
    ) -> None:
        self._witnesses = witnesses
        self._required = required
        self._clock = clock
        self._accepted = accepted
        self._asked: OrderedDict[Reference, float] = OrderedDict()
        self._silent_until: dict[int, float] = {}

    async def ask(self, references: Iterable[Reference]) -> dict[Reference, int]:
        """Return what can be answered now, COMMITTED or the reason why not; of the others nothing."""
        answers: dict[Reference, int] = {}
        at_a_time = trio.CapacityLimiter(AT_A_TIME)

        async def one(reference: Reference) -> None:
            async with at_a_time:
                answer = await self._ask(reference)
            if answer is not None:
                answers[reference] = answer

        async with trio.open_nursery() as nursery:
            for reference in references:
                if self._may_ask(reference):
                    nursery.start_soon(one, reference)
        return answers

    def _may_ask(self, reference: Reference) -> bool:
        now = self._clock.monotonic()
        if self._asked.get(reference, now) > now:
            return False
        self._asked[reference] = now + AGAIN_S
        self._asked.move_to_end(reference)
        if len(self._asked) > MOST_NOTES:
            self._asked.popitem(last=False)
        return True

    async def _ask(self, reference: Reference) -> int | None:
        said = []
        for destination in self._required:
            answer = await self._ask_at(destination, reference)
            if answer is Unproven.ABSENT:
                return FailureReason.NO_SUCH_OBJECT_INSTANCE
            said.append(answer)
        if Unproven.UNANSWERED in said or Unproven.LATER in said:
            return None
        if not said:
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        return COMMITTED if all(each in self._accepted for each in said) else FailureReason.PROCESSING_FAILURE

    async def _ask_at(self, destination: int, reference: Reference) -> Proof | Unproven:
        witness = self._witnesses.get(destination)
        if witness is None or self._clock.monotonic() < self._silent_until.get(destination, 0.0):
            return Unproven.UNANSWERED
        answer = await witness.ask(reference)
        if answer is Unproven.UNANSWERED:
            self._silent_until[destination] = self._clock.monotonic() + AGAIN_S
        return answer
