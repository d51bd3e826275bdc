"""Explaining an instance: its whole life, from the records of it, what is remembered of it, and its history.

Reads only. Under one SOP Instance UID there may be an instance, conflicts with it and the memory of one that was let
go; all of them are told. What comes next is asked of the destinations that run (`queue_values.Hand`). A study is
another question (`explaining_study`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from msgspec import structs

from edged.dicom.reasons import reason_text
from edged.services.destinations import Routes
from edged.services.explain_values import Asked, At, Evicted, Explained, Life, Moment
from edged.services.queue_values import Hand
from edged.store.commit_memory import recall
from edged.store.commitments import asks, waiting_for
from edged.store.history import history_of
from edged.store.instances import instances_under
from edged.store.queue import destination_names
from edged.store.queue_walk import STATES, EntryState, Selection, conflict_id, is_conflict_id, read_entries, walk
from edged.store.records import Delivery, DeliveryState, HistoryEntry, Instance, Remembered
from edged.store.schema import REMEMBERED, uid_key
from edged.store.standings import is_evictable, read_deliveries, standing_of
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

MOST_LIVES = 50
"""Of one UID: the instance and its first conflicts."""

MOST_REQUESTS = 100

NOT_CONFIGURED = "the destination to be in the settings again, or a person: move or discard it"


@dataclass(frozen=True, slots=True)
class Teller:
    """Puts what is stored into words, by the names of the destinations."""

    names: Mapping[int, str]
    routes: Routes

    def at(self, instance: Instance, destination: int, delivery: Delivery | None) -> At:
        """Tell how far an instance is at a destination, but for what it waits for."""
        name = self.names.get(destination, str(destination))
        configured, required = name in self.routes.ids, destination in instance.required
        if delivery is None:
            return At(destination=name, configured=configured, required=required, state=None, committed=False)
        return At(
            destination=name,
            configured=configured,
            required=required,
            state=STATES.get(delivery.state),
            committed=delivery.state is DeliveryState.COMMITTED,
            since=delivery.since,
            urgent=delivery.urgency == 0,
            evidence=delivery.evidence or None,
            sent=delivery.sent_at or None,
            proof=delivery.proof or None,
            transaction_uid=delivery.transaction_uid or None,
            doubted_since=delivery.doubted or None,
            reason=None if delivery.reason is None else reason_text(delivery.reason),
            text=delivery.text,
            decided=delivery.answer,
            batch=delivery.batch or None,
            resends=delivery.resends,
        )

    def moment(self, entry: HistoryEntry) -> Moment:
        """Tell an entry of a history."""
        return Moment(
            time=entry.time,
            what=entry.what.value,
            destination=self.names.get(entry.destination),
            batch=entry.batch or None,
            status=entry.status or None,
            reason=None if entry.reason is None else reason_text(entry.reason),
            text=entry.text,
            times=entry.times,
            until=entry.until or None,
        )


@dataclass(frozen=True, slots=True)
class Planner:
    """Asks the destinations that run what comes next; only on the event loop, where what they know is."""

    routes: Routes
    hands: Mapping[int, Hand]

    def planned(self, at: At, number: int, delivery: Delivery | None) -> At:
        """Add what an instance waits for at a destination."""
        if at.state is None or delivery is None:
            return at
        if not at.configured:
            return structs.replace(at, waits_for=NOT_CONFIGURED)
        hand = self.hands.get(self.routes.ids[at.destination])
        if hand is None:
            return structs.replace(at, waits_for="forwarding to begin")
        plan = hand.plan(number, at.state, delivery)
        return structs.replace(at, waits_for=plan.waits_for, next_try_s=plan.next_try_s)


_Deliveries = Mapping[tuple[int, str], Delivery]
"""By instance number and the name of the destination."""


class Explaining:
    """Explains instances; `hands` are the destinations that run, by their ids."""

    def __init__(self, store: Store, routes: Routes, clock: Clock, *, hands: Mapping[int, Hand]) -> None:
        self._store = store
        self._routes = routes
        self._clock = clock
        self._planner = Planner(routes, hands)

    async def instance(self, uid: str) -> Explained | None:
        """Tell all that is known under a SOP Instance UID or a conflict id; None if that is nothing."""
        found = await self._store.read(partial(self._explained, uid=uid))
        if found is None:
            return None
        explained, deliveries = found
        lives = tuple(self._planned(life, deliveries) for life in explained.instances)
        return structs.replace(explained, instances=lives)

    def _planned(self, life: Life, deliveries: _Deliveries) -> Life:
        planned = (
            self._planner.planned(at, life.number, deliveries.get((life.number, at.destination)))
            for at in life.destinations
        )
        return structs.replace(life, destinations=tuple(planned))

    def _explained(self, txn: Transaction, uid: str) -> tuple[Explained, _Deliveries] | None:
        teller = Teller(destination_names(txn), self._routes)
        found = list(_under(txn, uid))
        sop_instance_uid = found[0][1].sop_instance_uid if found and is_conflict_id(uid) else uid
        evicted = _evicted(txn, sop_instance_uid, teller.names)
        told = [(number, entry) for number, entry in history_of(txn, sop_instance_uid) if _is_of(number, uid, found)]
        if not found and evicted is None and not told:
            return None
        deliveries: dict[tuple[int, str], Delivery] = {}
        lives = tuple(
            _life(txn, number, instance, teller=teller, deliveries=deliveries)
            for number, instance in found[:MOST_LIVES]
        )
        moments = [*(teller.moment(entry) for _, entry in told), *_known(lives, evicted)]
        explained = Explained(
            uid=uid,
            time=self._clock.wall(),
            instances=lives,
            untold=len(found) - len(lives),
            evicted=evicted,
            moments=tuple(sorted(moments, key=lambda moment: moment.time)),
        )
        return explained, deliveries


def _under(txn: Transaction, uid: str) -> Iterator[tuple[int, Instance]]:
    """What is stored under a UID, or the one conflict that is named."""
    selection = Selection(uids=(uid,), states=frozenset({EntryState.CONFLICT}))
    if not is_conflict_id(uid):
        yield from instances_under(txn, uid)
        return
    for entry in read_entries(txn, walk(txn, selection).places):
        yield entry.place.number, entry.instance


def _is_of(number: int, uid: str, found: Sequence[tuple[int, Instance]]) -> bool:
    """Whether an entry of a UID's history belongs to what is asked about: of a conflict only its own do."""
    return not is_conflict_id(uid) or number in {each for each, _ in found}


def _life(
    txn: Transaction,
    number: int,
    instance: Instance,
    *,
    teller: Teller,
    deliveries: dict[tuple[int, str], Delivery],
) -> Life:
    """Tell of an instance; its deliveries are left for whoever asks what comes next."""
    destinations, found = [], read_deliveries(txn, number, instance)
    for destination in instance.destinations:
        delivery = found.get(destination)
        at = _asked(txn, number, destination, at=teller.at(instance, destination, delivery))
        destinations.append(at)
        if delivery is not None:
            deliveries[number, at.destination] = delivery
    return Life(
        number=number,
        sop_instance_uid=instance.sop_instance_uid,
        sop_class_uid=instance.sop_class_uid,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        size_bytes=instance.size,
        standing=standing_of(instance, found).value,
        conflict=conflict_id(number) if instance.conflict else None,
        received=instance.received,
        intake=instance.intake,
        sender=instance.sender or None,
        address=instance.address or None,
        rule=instance.rule or None,
        destinations=tuple(destinations),
        requests=tuple(uid for uid, _ in waiting_for(txn, instance.sop_instance_uid)[:MOST_REQUESTS]),
        may_go=is_evictable(instance, found),
    )


def _asked(txn: Transaction, number: int, destination: int, *, at: At) -> At:
    """Add the open storage commitment requests of ours that name it."""
    if at.state is not EntryState.SENT:
        return at
    open_ones = ((uid, ask) for uid, ask in asks(txn, destination).items() if number in ask.numbers)
    asked = tuple(Asked(transaction_uid=uid, created=ask.created) for uid, ask in open_ones)
    return structs.replace(at, asked=asked)


def _evicted(txn: Transaction, sop_instance_uid: str, names: Mapping[int, str]) -> Evicted | None:
    known = recall(txn, sop_instance_uid)
    digest = txn.record(REMEMBERED, uid_key(sop_instance_uid), Remembered)
    if known is not None:
        return Evicted(
            number=known.number,
            sop_class_uid=known.sop_class_uid,
            study_instance_uid=known.study_instance_uid,
            series_instance_uid=known.series_instance_uid,
            evicted=known.evicted,
            committed=known.committed,
            proofs={names.get(destination, str(destination)): proof for destination, proof in known.proofs.items()},
            lost=known.lost,
        )
    if digest is None:
        return None
    return Evicted(
        number=digest.number,
        sop_class_uid=digest.sop_class_uid,
        study_instance_uid=None,
        series_instance_uid=None,
        evicted=digest.evicted,
        committed=None,
        proofs={},
        lost=False,
    )


def _known(lives: Sequence[Life], evicted: Evicted | None) -> Iterator[Moment]:
    """What the records themselves tell of the past: the history leaves it out."""
    for life in lives:
        yield Moment(time=life.received, what="received", text=life.conflict or "")
        for at in life.destinations:
            if at.sent is not None:
                text = at.evidence or ""
                yield Moment(time=at.sent, what="sent", destination=at.destination, batch=at.batch, text=text)
            if at.committed and at.since is not None:
                yield Moment(time=at.since, what="committed", destination=at.destination, text=at.proof or "")
    if evicted is not None:
        if evicted.committed is not None:
            yield Moment(time=evicted.committed, what="committed", text=", ".join(evicted.proofs))
        yield Moment(time=evicted.evicted, what="evicted")
