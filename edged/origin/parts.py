"""The instances of one Store request, in the order of its parts: each received, handed over, and its outcome kept.

Parts are received one after the other and admitted side by side, so that many small ones share a commit. Invariants:
what was begun is brought to its end or let go of, whatever ends the request; how many wait is bounded.
"""

from functools import lru_cache, partial

import outcome
import trio

from edged.dicom.names import decode_text
from edged.dicom.reasons import FailureReason
from edged.origin.audit import Outcome
from edged.services.routing import Source
from edged.services.store_instance import Accepted, FrontDoor, Receiving, Refused
from edged.store.errors import StoreFailed
from edged.store.space import Reservation
from edged.store.writer import ANSWER_WITHIN_S

ADMISSIONS = 128
"""Parts of one request that may wait for their commit; their bytes are bounded by the intake budget."""

PARTS_A_TURN = 16
"""Parts that are begun before others have their turn: small ones cost time, not bytes."""

DICOM = "application/dicom"

Result = Accepted | Refused

_NO_ANSWER = Refused(FailureReason.OUT_OF_RESOURCES, "the store did not answer in time", passing=True)
"""What a part is told until there is an answer."""


class Parts:
    """The instances of one request, in the order of its parts."""

    def __init__(self, door: FrontDoor, source: Source, reservation: Reservation) -> None:
        self._door = door
        self._source = source
        self._reservation = reservation
        self._admissions = 0
        self._admitted = trio.lowlevel.ParkingLot()
        self._outcomes: list[outcome.Outcome[Result]] = []
        self._current: Receiving | None = None

    async def begin(self, head: tuple[tuple[str, str], ...]) -> None:
        """Begin a part; one that is not DICOM by its own word is refused, one that says nothing is looked at."""
        if self._admissions >= ADMISSIONS:
            await self._wait_room()
        if self._outcomes and len(self._outcomes) % PARTS_A_TURN == 0:
            await trio.lowlevel.checkpoint()
        self._outcomes.append(outcome.Value(_NO_ANSWER))
        self._current = self._door.receive(self._source, self._reservation)
        declared = _declared_type(head)
        if declared not in {DICOM, "application/octet-stream", ""}:
            text = f"a part of media type {declared[:80]} where application/dicom is stored"
            self._current.refuse(Refused(FailureReason.NOT_A_DICOM_FILE, text))

    async def data(self, data: memoryview | bytes) -> None:
        """Take bytes of the current part."""
        if self._current is not None:
            await self._current.feed(data)

    async def end(self, *, complete: bool) -> None:
        """End the current part; its admission goes on beside the next part."""
        receiving, self._current = self._current, None
        if receiving is None:
            return
        index = len(self._outcomes) - 1
        if complete:
            await self._hand_over(receiving, index)
        else:
            self._outcomes[index] = outcome.Value(receiving.cut())
            await receiving.close()

    async def _hand_over(self, receiving: Receiving, index: int) -> None:
        is_handed_over = False
        self._admissions += 1
        try:
            await receiving.hand_over(partial(self._answered, index))
            is_handed_over = True
        finally:
            if not is_handed_over:
                self._admissions -= 1
                await receiving.close()

    def broken(self, text: str) -> None:
        """Note a failure that belongs to no instance."""
        self._outcomes.append(outcome.Value(Refused(FailureReason.CANNOT_UNDERSTAND, text)))

    async def close(self) -> None:
        """Let go of a part that was left open by an exception, and bring to its end what was handed over."""
        if self._current is not None:
            self._outcomes[-1] = outcome.Value(self._current.cut())
            await self._current.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_WITHIN_S):
            await self._wait_admitted(0)

    def outcomes(self) -> list[Result]:
        """What became of each part, once closed."""
        return [each.unwrap() for each in self._outcomes]

    def audited(self, *, with_patients: bool) -> tuple[Outcome, ...]:
        """What the audit log is told of each part."""
        known = [each.value for each in self._outcomes if isinstance(each, outcome.Value)]
        return tuple(_audited(each, with_patients=with_patients) for each in known)

    def _answered(self, index: int, result: outcome.Outcome[Result]) -> None:
        self._outcomes[index] = result
        self._admissions -= 1
        self._admitted.unpark_all()

    async def _wait_room(self) -> None:
        with trio.move_on_after(ANSWER_WITHIN_S) as waiting:
            await self._wait_admitted(ADMISSIONS - 1)
        if waiting.cancelled_caught:
            raise StoreFailed("the store does not answer")

    async def _wait_admitted(self, most: int) -> None:
        """Wait until at most so many parts wait for their commit."""
        while self._admissions > most:
            await self._admitted.park()


@lru_cache(maxsize=64)
def _declared_type(head: tuple[tuple[str, str], ...]) -> str:
    """The media type that a part's head tells, DICOM when it tells none."""
    return dict(head).get("content-type", DICOM).partition(";")[0].strip().lower()


def _audited(result: Result, *, with_patients: bool) -> Outcome:
    if isinstance(result, Refused):
        return Outcome(result.sop_instance_uid or "", f"{result.reason:04X}H")
    text = "stored already" if result.again else "stored" if result.addressed else "kept beside another"
    patient = decode_text(result.patient_id, result.character_set) if with_patients else None
    return Outcome(result.sop_instance_uid, text, patient)
