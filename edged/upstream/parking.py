"""Setting instances aside for a person: the one way to `parked`, with the guard against parking a whole queue.

A destination that refuses whatever it is given is misconfigured: its entries are not to blame, and none is parked for
it until it takes something. Five parks in a row without an instance accepted between them are taken back (DESIGN §5).
"""

from collections.abc import Iterable

from edged.store.records import Delivery, DeliveryState
from edged.upstream.destination import Destination
from edged.upstream.moves import SENT, UNSENT, bring
from edged.upstream.park_guard import ParkGuard
from edged.upstream.verdict_values import Verdict


class Parking:
    """Parks instances of one destination; `refusing` says that it takes nothing that it is given."""

    def __init__(self, destination: Destination) -> None:
        self.refusing = False
        self._destination = destination
        self._guard = ParkGuard()

    def accepted(self) -> None:
        """Note that the destination took instances: what was parked before stays parked."""
        self._guard.record_accepted()
        self.refusing = False

    def found(self) -> None:
        """Note that the destination has an instance that it was asked for: it does not refuse everything."""
        self.refusing = False

    async def park(self, number: int, verdict: Verdict, *, expected: tuple[DeliveryState, ...] = UNSENT) -> bool:
        """Set an instance aside by a permanent verdict on it; False: it was not, and the destination is to blame.

        Raises StoreError.
        """
        if expected == SENT:
            await self._aside(number, verdict, expected)
            return True
        if self._refuses_all():
            self._destination.notebook.refused(number)
            self._destination.misconfigured(verdict.text)
            return False
        await self._aside(number, verdict, expected)
        if self._refuses_all():  # since the move began
            await self._unpark([number])
            return False
        if (unparked := self._guard.record_parked(str(number))) is not None:
            self.refusing = True
            self._destination.misconfigured(verdict.text)
            await self._unpark(map(int, unparked.uids))
            return False
        return True

    async def exclude(self, number: int, text: str) -> None:
        """Set an instance aside before it is sent, because the settings say that it would not be taken."""
        parked = Delivery(state=DeliveryState.PARKED, since=self._destination.box.clock.wall(), text=text)
        await bring(self._destination, {number: parked})
        self._destination.box.bells.proven.ring()

    def _refuses_all(self) -> bool:
        return self.refusing

    async def _aside(self, number: int, verdict: Verdict, expected: tuple[DeliveryState, ...]) -> None:
        now = self._destination.box.clock.wall()
        parked = Delivery(state=DeliveryState.PARKED, since=now, reason=verdict.reason, text=verdict.text)
        await bring(self._destination, {number: parked}, expected=expected)
        self._destination.box.bells.proven.ring()

    async def _unpark(self, numbers: Iterable[int]) -> None:
        held = Delivery(state=DeliveryState.HELD, since=self._destination.box.clock.wall())
        await bring(self._destination, dict.fromkeys(numbers, held), expected=(DeliveryState.PARKED,))
