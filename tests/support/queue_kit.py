"""A store with an instance in each state at a destination, and decisions about them."""

from collections.abc import Sequence
from functools import partial

from edged.config.choices import Duplicate
from edged.store.queue import destination_id, move
from edged.store.queue_admin import Action, Decision, Done, decide
from edged.store.queue_walk import NOWHERE, EntryState, Place, Selection, walk
from edged.store.records import Delivery, DeliveryState
from edged.store.store import Store
from tests.support.store_kit import put

ARCHIVE, SECOND = 1, 2

WAYS: dict[EntryState, Sequence[DeliveryState]] = {
    EntryState.PENDING: (),
    EntryState.ON_HOLD: (DeliveryState.ON_HOLD,),
    EntryState.STUCK: (DeliveryState.STUCK,),
    EntryState.PARKED: (DeliveryState.PARKED,),
    EntryState.SENT: (DeliveryState.SENT,),
}


async def bring(store: Store, number: int, *states: DeliveryState, destination: int = ARCHIVE) -> None:
    """Move a delivery, whatever it is in."""
    for state in states:
        to = Delivery(state=state, since=2000.0, reason=0xA900 if state is DeliveryState.PARKED else None)
        assert await store.write(
            partial(move, number=number, destination=destination, expected=tuple(DeliveryState), to=to)
        )


async def entry_in(store: Store, state: EntryState, uid: str = "1.1") -> Place:
    """An instance for both destinations, the first of them required, that stands like this at the first."""
    await store.write(partial(destination_id, name="second"))
    number = (await put(store, b"first" + uid.encode(), uid, destinations=(ARCHIVE, SECOND))).number
    if state is EntryState.CONFLICT:
        return await conflict_with(store, uid)
    await bring(store, number, *WAYS[state])
    return Place(number, ARCHIVE, state)


async def conflict_with(store: Store, uid: str) -> Place:
    """Another data set under a UID that is there."""
    data = b"another" + uid.encode()
    number = (await put(store, data, uid, destinations=(ARCHIVE, SECOND), duplicate=Duplicate.KEEP_BOTH)).number
    return Place(number, NOWHERE, EntryState.CONFLICT)


def decision(action: Action, **changes: object) -> Decision:
    """A decision of a test."""
    return Decision(**{"action": action, "who": "uid 0", "time": 3000.0, "why": "because", **changes})  # type: ignore[arg-type]


async def decided(store: Store, place: Place, made: Decision) -> Done:
    """Decide about one entry."""
    return await store.write(partial(decide, place=place, decision=made))


def found(store: Store, selection: Selection, *, limit: int = 500) -> list[Place]:
    """Walk to the end, page by page."""
    places: list[Place] = []
    page = store.read_now(partial(walk, selection=selection, limit=limit))
    while True:
        places += page.places
        if not page.after:
            return places
        page = store.read_now(partial(walk, selection=selection, after=page.after, limit=limit))
