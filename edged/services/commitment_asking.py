"""Asking the required destinations about instances that the box knows nothing of, before it denies them (DICOM.md §6).

Which those are: for what is remembered the ones that had committed to it, as far as they are still there; for the rest
those of every way that the routing rules leave open to an instance of its class. An instance is committed when every
destination that may have been required has it, and there is none when every way ends at one that denies it: words that
deny weigh more than a proof from elsewhere. What lies between cannot be told.

What is asked for is asked at most once a minute, a destination that does not answer not sooner either, however many
requests name the instance and however often they are looked at. The destinations are asked at once, each of all that is
wanted of it. Nothing of an answer is kept: whoever asked decides at once or asks again.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence

import trio

from edged.config import Proof
from edged.dicom.reasons import FailureReason
from edged.services.commitment_evidence import Unproven, Witness
from edged.store.commitments import COMMITTED
from edged.store.records import Reference
from edged.telemetry.clock import Clock

AGAIN_S = 60.0
MOST_NOTES = 20_000
"""Questions whose last time is kept: beyond them the oldest is merely asked sooner again."""

Ways = frozenset[frozenset[int]]
"""What an instance may have required: a set of destinations, by their ids, for each way that it may have gone."""


class Inquiry:
    """Asks destinations by their ids; those that do not run cannot be asked and are waited for.

    `required_of` tells the ways of an instance by its SOP Class (`Routing.required_of`).
    """

    def __init__(
        self,
        witnesses: Mapping[int, Witness],
        required_of: Callable[[str], Ways],
        clock: Clock,
        *,
        accepted: Collection[Proof],
    ) -> None:
        self._witnesses = witnesses
        self._required_of = required_of
        self._clock = clock
        self._accepted = accepted
        self._asked: OrderedDict[Reference, float] = OrderedDict()
        self._silent_until: dict[int, float] = {}

    async def ask(self, references: Mapping[Reference, frozenset[int]]) -> dict[Reference, int]:
        """Return what can be answered now, COMMITTED or the reason why not; of the others nothing.

        With each reference come the destinations that are remembered to have committed to it.
        """
        ways = {reference: self._ways(reference, known) for reference, known in references.items()}
        due = {reference: open_ways for reference, open_ways in ways.items() if self._may_ask(reference)}
        said: dict[Reference, dict[int, Proof | Unproven]] = {reference: {} for reference in due}
        wanted: dict[int, list[Reference]] = {}
        for reference, open_ways in due.items():
            for destination in frozenset[int]().union(*open_ways):
                wanted.setdefault(destination, []).append(reference)

        async def one(destination: int) -> None:
            for reference, answer in (await self._ask_at(destination, wanted[destination])).items():
                said[reference][destination] = answer

        async with trio.open_nursery() as nursery:
            for destination in wanted:
                nursery.start_soon(one, destination)
        answers = {reference: self._come_to(said[reference], open_ways) for reference, open_ways in due.items()}
        return {reference: answer for reference, answer in answers.items() if answer is not None}

    def _ways(self, reference: Reference, remembered: frozenset[int]) -> Ways:
        ways = self._required_of(reference.sop_class_uid)
        known = remembered.intersection(frozenset[int]().union(*ways))
        return frozenset({known}) if known else ways

    def _may_ask(self, reference: Reference) -> bool:
        now = self._clock.monotonic()
        if self._asked.get(reference, now) > now:
            return False
        self._asked[reference] = now + AGAIN_S
        self._asked.move_to_end(reference)
        if len(self._asked) > MOST_NOTES:
            self._asked.popitem(last=False)
        return True

    def _come_to(self, said: Mapping[int, Proof | Unproven], ways: Ways) -> int | None:
        if _is_denied(said, ways):
            return FailureReason.NO_SUCH_OBJECT_INSTANCE
        if not {Unproven.UNANSWERED, Unproven.LATER}.isdisjoint(said.values()):
            return None
        return COMMITTED if all(each in self._accepted for each in said.values()) else FailureReason.PROCESSING_FAILURE

    async def _ask_at(self, destination: int, references: Sequence[Reference]) -> Mapping[Reference, Proof | Unproven]:
        answers: dict[Reference, Proof | Unproven] = dict.fromkeys(references, Unproven.UNANSWERED)
        witness = self._witnesses.get(destination)
        if witness is not None and self._clock.monotonic() >= self._silent_until.get(destination, 0.0):
            answers |= await witness.ask(references)
            if Unproven.UNANSWERED in answers.values():
                self._silent_until[destination] = self._clock.monotonic() + AGAIN_S
        return answers


def _is_denied(said: Mapping[int, Proof | Unproven], ways: Ways) -> bool:
    """Whether every way ends at a destination that has none; so does no way at all."""
    return all(any(said.get(each) is Unproven.ABSENT for each in way) for way in ways)
