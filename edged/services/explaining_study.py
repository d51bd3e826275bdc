"""Explaining a study or a series: how far its instances are, and which are not committed to, what is worst first.

The study is walked page by page, each a read of its own, so that one of 100,000 instances holds nobody up; only counts
and the places that the page may show are kept meanwhile. What moves meanwhile is told as it was when it was met.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec import structs

from edged.services.destinations import Routes
from edged.services.explain_values import Standing, StudyExplained, Uncommitted
from edged.services.explaining import Planner, Teller
from edged.services.queue_values import Hand
from edged.store.instances import page_of, study_of
from edged.store.queue import destination_names, read_instance
from edged.store.records import Delivery, DeliveryState
from edged.store.standings import read_deliveries, read_delivery
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

AT_ONCE = 500
"""Instances of one read."""

MOST_SHOWN = 500
MOST_OFFSET = 10_000

_DOUBTED = 3
_RANKS = {DeliveryState.PARKED: 0, DeliveryState.STUCK: 1, DeliveryState.ON_HOLD: 2}
_REFUSED, _HELD, _SENT = 4, 5, 6

_Place = tuple[int, int, int]
"""Rank, instance number, destination."""


@dataclass(slots=True)
class _Walked:
    """What a walk has found so far; `worst` are the first places by rank, `most` of them at the end."""

    most: int
    instances: int = 0
    size_bytes: int = 0
    received: list[float] = field(default_factory=list)
    states: Counter[tuple[int, DeliveryState]] = field(default_factory=Counter)
    worst: list[_Place] = field(default_factory=list)

    def add(self, place: _Place) -> None:
        """Keep a place, as long as it may be shown."""
        self.worst.append(place)
        if len(self.worst) > 2 * self.most + AT_ONCE:
            self.cut()

    def cut(self) -> None:
        """Forget what cannot be shown."""
        self.worst = sorted(self.worst)[: self.most]

    @property
    def uncommitted(self) -> int:
        """How many deliveries are not committed."""
        return sum(count for (_, state), count in self.states.items() if state is not DeliveryState.COMMITTED)


class ExplainingStudy:
    """Explains studies and series; `hands` are the destinations that run, by their ids."""

    def __init__(self, store: Store, routes: Routes, clock: Clock, *, hands: Mapping[int, Hand]) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._planner = Planner(routes, hands)

    async def study(self, uid: str, *, offset: int = 0, limit: int = MOST_SHOWN) -> StudyExplained | None:
        """Tell of the study or series; None if nothing is stored of one with this UID."""
        of = await self._store.read(partial(study_of, uid=uid))
        if of is None:
            return None
        offset, limit = min(offset, MOST_OFFSET), min(limit, MOST_SHOWN)
        walked, after = _Walked(offset + limit), b""
        while page := await self._store.read(partial(page_of, study=of[0], series=of[1], after=after, limit=AT_ONCE)):
            after = page[-1][0]
            await self._store.read(partial(_look, numbers=[number for _, number in page], walked=walked))
        walked.cut()
        names = await self._store.read(destination_names)
        teller = Teller(names, self._routes)
        shown = await self._store.read(partial(_shown, places=walked.worst[offset:], teller=teller))
        return StudyExplained(
            uid=uid,
            time=self._clock.wall(),
            study_instance_uid=of[0],
            series_instance_uid=of[1],
            instances=walked.instances,
            size_bytes=walked.size_bytes,
            first_received=min(walked.received, default=None),
            last_received=max(walked.received, default=None),
            destinations=_standings(walked, teller),
            uncommitted_total=walked.uncommitted,
            offset=offset,
            uncommitted=tuple(self._planned(each) for each in shown),
        )

    def _planned(self, shown: "_Shown") -> Uncommitted:
        told, number, delivery = shown
        return structs.replace(told, at=self._planner.planned(told.at, number, delivery))


_Shown = tuple[Uncommitted, int, Delivery]
"""What is told of a place, its instance number, and the delivery that it is told of."""


def _look(txn: Transaction, numbers: list[int], walked: _Walked) -> None:
    for number in numbers:
        instance = read_instance(txn, number)
        if instance is None:
            continue
        walked.instances += 1
        walked.size_bytes += instance.size
        walked.received = [min([*walked.received, instance.received]), max([*walked.received, instance.received])]
        for destination, delivery in read_deliveries(txn, number, instance).items():
            walked.states[destination, delivery.state] += 1
            if delivery.state is not DeliveryState.COMMITTED:
                walked.add((_rank(delivery), number, destination))


def _rank(delivery: Delivery) -> int:
    """How much it wants to be looked at, least first."""
    if delivery.state is DeliveryState.SENT:
        return _DOUBTED if delivery.doubted else _SENT
    refused = delivery.reason is not None or delivery.text or delivery.resends
    return _RANKS.get(delivery.state, _REFUSED if refused else _HELD)


def _shown(txn: Transaction, places: list[_Place], teller: Teller) -> list[_Shown]:
    found = []
    for _, number, destination in places:
        instance, delivery = read_instance(txn, number), read_delivery(txn, number, destination)
        if instance is not None and delivery is not None:
            at = teller.at(instance, destination, delivery)
            uid, series = instance.sop_instance_uid, instance.series_instance_uid
            found.append((Uncommitted(sop_instance_uid=uid, series_instance_uid=series, at=at), number, delivery))
    return found


def _standings(walked: _Walked, teller: Teller) -> tuple[Standing, ...]:
    return tuple(
        Standing(
            destination=teller.names.get(destination, str(destination)),
            configured=teller.names.get(destination) in teller.routes.ids,
            committed=walked.states[destination, DeliveryState.COMMITTED],
            sent=walked.states[destination, DeliveryState.SENT],
            pending=walked.states[destination, DeliveryState.HELD],
            on_hold=walked.states[destination, DeliveryState.ON_HOLD],
            stuck=walked.states[destination, DeliveryState.STUCK],
            parked=walked.states[destination, DeliveryState.PARKED],
        )
        for destination in sorted({each for each, _ in walked.states})
    )
