"""Writing what happens to the box itself into the event log: conditions raised and cleared, destinations up and down.

Whoever notices is synchronous and must not wait for a commit; the changes pass through here in order. The queue is
bounded: when the store cannot write, the newest changes are dropped, since the state object still shows them.
Conditions live as long as the daemon: what one before this one has told to stand is told to be cleared when it begins.
"""

import logging

import trio

from edged.dicomweb.event_report import EventKind
from edged.services.bell import Bells
from edged.store.errors import StoreError
from edged.store.events import append_change, told_standing
from edged.store.records import Event
from edged.store.store import Store
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Condition, Turn
from edged.telemetry.live import DestinationLive, DestinationState

log = logging.getLogger(__name__)

WAITING = 1000

ANEW = "The box was started anew: what still holds is raised again."


class Journal:
    """Takes changes synchronously, writes them as events."""

    def __init__(self, store: Store, clock: Clock, bells: Bells) -> None:
        self._store = store
        self._clock = clock
        self._bells = bells
        self._send, self._receive = trio.open_memory_channel[Event](WAITING)
        told = store.read_now(told_standing)
        self._up = dict.fromkeys(told.down, False)
        for name in told.conditions:
            self._note(Event(kind=EventKind.CONDITION_CLEARED, time=clock.wall(), destination=name, text=ANEW))

    def condition_turned(self, turn: Turn, condition: Condition) -> None:
        """Note that a condition was raised or cleared."""
        kind = EventKind.CONDITION_RAISED if turn is Turn.RAISED else EventKind.CONDITION_CLEARED
        self._note(Event(kind=kind, time=self._clock.wall(), destination=condition.name, text=condition.hint))

    def destination_changed(self, name: str, live: DestinationLive) -> None:
        """Note that a destination went up or down."""
        up = live.state is DestinationState.UP
        if self._up.setdefault(name, True) == up:
            return
        self._up[name] = up
        kind = EventKind.DESTINATION_UP if up else EventKind.DESTINATION_DOWN
        text = live.last_error.text if live.last_error and not up else ""
        self._note(Event(kind=kind, time=self._clock.wall(), destination=name, text=text))

    async def keep(self) -> None:
        """Write what was noted; runs until cancelled."""
        async for event in self._receive:
            try:
                await self._store.write(lambda txn, event=event: append_change(txn, event))  # type: ignore[misc]
            except StoreError as error:
                log.info("an event could not be written: %s", error)
            self._bells.logged.ring()

    def _note(self, event: Event) -> None:
        try:
            self._send.send_nowait(event)
        except trio.WouldBlock:
            log.info("the event log lags; not written: %s %s", event.kind, event.destination)
