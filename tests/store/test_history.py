"""What happened to an instance: written where it is no step forward, told by UID, bounded in rows."""

from functools import partial

from edged.store.counters import taken_back
from edged.store.eviction import evict_oldest
from edged.store.history import MOST_OF_ONE, history_of, note, note_again, trim_history
from edged.store.integrity import check
from edged.store.queue import begin_anew, move
from edged.store.records import Check, Delivery, DeliveryState, Happened, HistoryEntry
from edged.store.schema import HISTORY
from edged.store.standings import read_delivery
from edged.store.store import Store
from edged.store.transaction import Transaction
from tests.support.store_kit import put


async def bring(store: Store, number: int, to: Delivery, *, anew: bool = False) -> Delivery:
    step = begin_anew if anew else move
    assert await store.write(partial(step, number=number, destination=1, expected=tuple(DeliveryState), to=to))
    found = store.read_now(partial(read_delivery, number=number, destination=1))
    assert found is not None
    return found


def told(store: Store, uid: str = "1.1") -> list[Happened]:
    return [entry.what for _, entry in store.read_now(partial(history_of, sop_instance_uid=uid))]


async def test_what_goes_well_costs_nothing(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    await bring(store, number, Delivery(state=DeliveryState.SENT, since=1.0))
    await bring(store, number, Delivery(state=DeliveryState.COMMITTED, since=2.0, proof="dicomweb"))
    assert told(store) == []


async def test_steps_back_are_told_with_their_reasons_in_order(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    other = (await put(store, b"xyz", "1.2")).number
    await bring(store, number, Delivery(state=DeliveryState.PARKED, since=1.0, reason=0xC000, text="no"))
    await bring(store, other, Delivery(state=DeliveryState.STUCK, since=1.5))
    await bring(store, number, Delivery(state=DeliveryState.HELD, since=2.0))
    await store.write(lambda txn: note(txn, number, HistoryEntry(what=Happened.LOOKED, time=3.0, text="not there")))
    entries = store.read_now(partial(history_of, sop_instance_uid="1.1"))
    assert [(each, entry.what, entry.time, entry.reason, entry.text) for each, entry in entries] == [
        (number, Happened.PARKED, 1.0, 0xC000, "no"),
        (number, Happened.HELD, 2.0, None, ""),
        (number, Happened.LOOKED, 3.0, None, "not there"),
    ]


async def test_it_outlasts_the_instance(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    await bring(store, number, Delivery(state=DeliveryState.STUCK, since=1.0))
    await bring(store, number, Delivery(state=DeliveryState.COMMITTED, since=2.0))
    assert await store.write(partial(evict_oldest, committed_before=10.0, least_bytes=0, now=20.0))
    assert told(store) == [Happened.STUCK]


async def test_the_oldest_go_first(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    for time in range(5):
        entry = HistoryEntry(what=Happened.ANSWERED, time=float(time))
        await store.write(partial(note, number=number, entry=entry))
    assert await store.write(partial(trim_history, keep=2)) == 3
    assert await store.write(partial(trim_history, keep=2)) == 0
    assert store.read_now(lambda txn: txn.count(HISTORY)) == 2
    assert [entry.time for _, entry in store.read_now(partial(history_of, sop_instance_uid="1.1"))] == [3.0, 4.0]


async def test_a_second_try_is_counted_until_a_person_begins_anew(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    held = Delivery(state=DeliveryState.HELD, since=1.0, resends=2, check=Check.DIGEST)
    assert (await bring(store, number, held)).resends == 2
    sent = await bring(store, number, Delivery(state=DeliveryState.SENT, since=2.0))
    assert (sent.resends, sent.check) == (2, Check.DIGEST)
    anew = await bring(store, number, Delivery(state=DeliveryState.HELD, since=3.0), anew=True)
    assert (anew.resends, anew.check) == (0, Check.DIGEST)


async def test_commitments_that_were_taken_back_are_counted(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    await bring(store, number, Delivery(state=DeliveryState.COMMITTED, since=1.0))
    await bring(store, number, Delivery(state=DeliveryState.HELD, since=2.0, text="the archive lost it"))
    assert store.read_now(lambda txn: txn.counter(taken_back(1))) == 1
    assert told(store) == [Happened.HELD]


async def test_the_same_again_is_counted_in_one_entry(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number
    for time, text in ((1.0, "no"), (2.0, "no"), (4.0, "no"), (5.0, "never"), (6.0, "no")):
        entry = HistoryEntry(what=Happened.ANSWERED, time=time, status=503, text=text, times=2 if time == 4.0 else 1)
        await store.write(partial(note_again, number=number, entry=entry))
    entries = [entry for _, entry in store.read_now(partial(history_of, sop_instance_uid="1.1"))]
    assert [(each.time, each.until, each.times, each.text) for each in entries] == [
        (1.0, 4.0, 4, "no"),
        (5.0, 0.0, 1, "never"),
        (6.0, 0.0, 1, "no"),
    ]


async def test_of_one_instance_the_latest_entries_stay(store: Store) -> None:
    number = (await put(store, b"abc", "1.1")).number

    def many(txn: Transaction) -> None:
        for time in range(MOST_OF_ONE + 5):
            note_again(txn, number, HistoryEntry(what=Happened.ANSWERED, time=float(time), text=str(time)))

    await store.write(many)
    entries = [entry for _, entry in store.read_now(partial(history_of, sop_instance_uid="1.1"))]
    assert [entry.time for entry in entries] == [float(time) for time in range(5, MOST_OF_ONE + 5)]
    assert not store.read_now(lambda txn: list(check(txn)))
