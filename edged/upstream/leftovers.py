"""What becomes of instances that a proof was asked for and not given: looked for, sent again, set aside, asked later.

Nothing that is said here moves an instance forward. What is not to be seen for long enough is sent again, three times
at most over all restarts (DICOM.md §5); what a destination will never keep is set aside while it keeps others.
"""

from collections.abc import Iterable
from functools import partial

from edged.store.queue import move, read_instance
from edged.store.records import Delivery, DeliveryState
from edged.store.standings import read_delivery
from edged.upstream.commitment_values import Commitment, CommitmentVerdict
from edged.upstream.comparing import Finding
from edged.upstream.destination import Destination
from edged.upstream.leaving import as_it_left
from edged.upstream.look import Looker
from edged.upstream.looks import Looks
from edged.upstream.moves import SENT, delivery_of
from edged.upstream.outcomes import NOT_VISIBLE, NOT_VISIBLE_HINT, RESENDS
from edged.upstream.parking import Parking
from edged.upstream.telling import Telling
from edged.upstream.verdict_values import ConditionName, Kind, Verdict

DUPLICATE_UIDS = 3  # times in a row that an instance may fail for its Transaction UID before that is told

_DUPLICATE = (
    "It answers every storage commitment request that its Transaction UID is a duplicate (0131H), though each one is "
    "new; the instances are asked for ever more rarely and not evicted. Ask whoever runs the archive."
)
_DIFFERS = "What it shows under an instance's UID is not what was sent. Compare the two at the archive."


class Leftovers:
    """The unproven of one destination."""

    def __init__(self, destination: Destination, looker: Looker, looks: Looks, *, parking: Parking) -> None:
        self._destination = destination
        self._looker = looker
        self._looks = looks
        self._parking = parking
        self._telling = Telling(destination)

    async def tell(self, verdicts: Iterable[tuple[int, CommitmentVerdict]]) -> None:
        """Write into the histories that a commitment was asked for and not given."""
        await self._telling.not_committed({number: (each.kind.value, each.reason) for number, each in verdicts})

    async def left(self, number: int, verdict: CommitmentVerdict) -> None:
        """Do what a commitment result says of an instance that it does not commit (PS3.3 C.14.1.1)."""
        match verdict.kind:
            case Commitment.PARK:
                await self._park(number, verdict)
            case Commitment.RESEND:
                await self._look(number)
            case Commitment.NEW_UID:
                self._ask_anew(number)
            case _:
                self.postpone([number])

    async def unproven(self, number: int, finding: Finding) -> None:
        """Look again later; what is not to be seen within `visible_within` is sent again (DICOM.md §5)."""
        destination, now = self._destination, self._destination.now()
        self._looks.postpone(number, now)
        match finding:
            case Finding.DIFFERS:
                self._looks.seen(number)
                destination.blame(number, "proof-differs", _DIFFERS)
            case Finding.THERE:
                self._looks.seen(number)
            case Finding.ABSENT:
                if self._looks.missed(number, now, within_s=destination.settings.visible_within_s):
                    await self._send_again(number)

    def postpone(self, numbers: Iterable[int]) -> None:
        """Ask for them again later."""
        now = self._destination.now()
        for number in numbers:
            self._looks.postpone(number, now)

    def _ask_anew(self, number: int) -> None:
        """Its Transaction UID was taken: under a new one at once, and later if that is said of every one."""
        if self._looks.at_once(number, self._destination.now()) >= DUPLICATE_UIDS:
            self._destination.blame(number, ConditionName.COMMITMENT_REFUSED.value, _DUPLICATE)

    async def _park(self, number: int, verdict: CommitmentVerdict) -> None:
        text = f"commitment refused: {verdict.reason:04X}H"
        if await self._parking.park(number, Verdict(Kind.PARK, verdict.reason, text=text), expected=SENT):
            self._looks.forget(number)
        else:
            self.postpone([number])

    async def _look(self, number: int) -> None:
        """It says that it does not have the instance: that counts once it cannot be seen for long enough."""
        instance = await self._destination.box.store.read(partial(read_instance, number=number))
        delivery = await delivery_of(self._destination, number)
        if instance is not None:
            sought, purpose = as_it_left(instance, delivery, self._destination.settings)
            await self.unproven(number, await self._looker.look(sought, purpose))

    async def _send_again(self, number: int) -> None:
        """Put an instance that the destination does not have back into the queue, three times at most."""
        destination = self._destination
        sent = await destination.box.store.read(partial(read_delivery, number=number, destination=destination.number))
        if sent is None or sent.state is not DeliveryState.SENT:
            self._looks.forget(number)
            return
        if sent.resends >= RESENDS:
            destination.blame(number, NOT_VISIBLE, NOT_VISIBLE_HINT)
            return
        held = Delivery(
            state=DeliveryState.HELD,
            since=destination.box.clock.wall(),
            resends=sent.resends + 1,
            text="not to be seen; sent again",
        )
        await destination.box.store.write(
            partial(move, number=number, destination=destination.number, expected=SENT, to=held)
        )
        self._looks.forget(number)
        destination.box.bells.arrived.ring()
