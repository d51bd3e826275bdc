"""Keeping the tables that only grow within their bounds (DESIGN §3).

The event log is trimmed by age and by rows, what happened to instances and what is known of commitments by rows.
"""

import logging
from functools import partial

import trio

from edged.services.event_windows import MOST_EVENTS
from edged.store.commit_memory import TRIM_RECORDS, most_records, trim_memory
from edged.store.errors import StoreError
from edged.store.events import TRIM_EVENTS, trim_events
from edged.store.history import TRIM_ENTRIES, trim_history
from edged.store.store import Store
from edged.telemetry.clock import Clock

log = logging.getLogger(__name__)

EVERY_S = 60.0


async def keep_trimmed(store: Store, clock: Clock, *, keep_s: float, memory: int) -> None:
    """Trim events older than `keep_s` seconds, never by age while the clock is not trusted; runs until cancelled.

    Of commitments `memory` records are kept, or as many as a tenth of the store holds.
    """
    keep = most_records(memory, store.space.capacity)
    while True:
        before = clock.wall() - keep_s if clock.trusted() else 0.0
        try:
            while await store.write(partial(trim_events, before=before, step=MOST_EVENTS)) > TRIM_EVENTS - MOST_EVENTS:
                pass
            while await store.write(trim_history) == TRIM_ENTRIES:
                pass
            while await store.write(partial(trim_memory, keep=keep)) == TRIM_RECORDS:
                pass
        except StoreError as error:
            log.info("tables could not be trimmed: %s", error)
        await trio.sleep(EVERY_S)
