"""Followers of the event log that have a name: where each one is, durably (PS3.18 8.10, DESIGN §6).

They are few, so that all of them can be looked through; a new one takes the place of one that was away for long.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from msgspec import structs

from edged.store.records import Subscriber, unpack
from edged.store.schema import MAX_SUBSCRIBERS, SUBSCRIBERS
from edged.store.transaction import Transaction


class NoRoomForSubscriber(Exception):
    """There are as many as may be, of all (MAX_SUBSCRIBERS) or of one owner, and none of them was away long enough."""


class Room(NamedTuple):
    """What a new one finds: `most` of its owner may be; who was not seen since `away_before` gives way.

    That is a time in seconds since the epoch.
    """

    away_before: float
    most: int = MAX_SUBSCRIBERS


def subscriber_of(txn: Transaction, name: str) -> Subscriber | None:
    """Return what is known of a requester."""
    return txn.record(SUBSCRIBERS, name.encode(), Subscriber)


def subscribers(txn: Transaction) -> dict[str, Subscriber]:
    """Return all of them by their names."""
    return {bytes(key).decode(): unpack(Subscriber, value) for key, value in txn.rows(SUBSCRIBERS)}


def admit_subscriber(
    txn: Transaction, name: str, new: Subscriber, *, room: Room, here: Collection[str] = ()
) -> Subscriber:
    """Return the requester of a name, `new` if there is none yet; it was seen when `new` was.

    Where there are too many, of all or of its owner, the one of them that was away for the longest goes, if that was
    long enough and it is not `here`. Raises NoRoomForSubscriber.
    """
    known = subscriber_of(txn, name)
    if known is None:
        everybody = subscribers(txn)
        own = {each: one for each, one in everybody.items() if one.owner == new.owner}
        crowded = own if len(own) >= room.most else everybody if len(everybody) >= MAX_SUBSCRIBERS else {}
        away = {each: last.seen for each, last in crowded.items() if each not in here}
        oldest = min(away, key=away.__getitem__, default=None)
        if crowded and (oldest is None or away[oldest] >= room.away_before):
            raise NoRoomForSubscriber
        if oldest is not None:
            txn.delete(SUBSCRIBERS, oldest.encode())
    admitted = new if known is None else structs.replace(known, seen=new.seen)
    txn.put_record(SUBSCRIBERS, name.encode(), admitted)
    return admitted


def note_subscribers(txn: Transaction, noted: Mapping[str, Subscriber]) -> None:
    """Write how far some have come."""
    for name, subscriber in noted.items():
        txn.put_record(SUBSCRIBERS, name.encode(), subscriber)


def forget_subscriber(txn: Transaction, name: str) -> bool:
    """Delete what is known of a requester; return whether there was anything."""
    return bool(txn.delete(SUBSCRIBERS, name.encode()))
