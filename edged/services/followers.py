"""Who follows the event log, as the state object tells it (DESIGN §6): how many now, and how far the named ones are."""

from typing import Final

from edged.store.events import first_event, last_event
from edged.store.records import Subscriber
from edged.store.subscribers import subscribers
from edged.store.transaction import Transaction
from edged.telemetry.live import FollowersLive

MOST_NAMED: Final = 100
"""Of those who have a name: the state object stays short."""


def followers(txn: Transaction, live: FollowersLive) -> dict[str, object]:
    """Return the part of the state object: of the named ones those that are here, then those seen last."""
    newest, known = last_event(txn), subscribers(txn)
    first = sorted(known.items(), key=lambda item: (item[0] not in live.names, -item[1].seen, item[0]))[:MOST_NAMED]
    return {
        "newest_event": newest,
        "oldest_event": first_event(txn),
        "connected": live.connected,
        "named_total": len(known),
        "named": [_named(name, each, newest, here=name in live.names) for name, each in first],
    }


def _named(name: str, subscriber: Subscriber, newest: int, *, here: bool) -> dict[str, object]:
    return {
        "name": name,
        "connected": here,
        "acknowledges": subscriber.acknowledges,
        "after": subscriber.after,
        "behind": max(0, newest - subscriber.after),
        "seen": subscriber.seen,
        "refused": subscriber.refused,
        "refuses": subscriber.refuses,
        "refusal": subscriber.refusal or None,
    }
