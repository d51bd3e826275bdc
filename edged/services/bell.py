"""Telling tasks in memory that something changed, without saying what: whoever wakes up looks in the store.

A bell rung while nobody listens is not lost when the listener took its `next` before it looked.
"""

import trio


class Bell:
    """Wakes everybody who waits; rung from the event loop only."""

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    def ring(self) -> None:
        """Wake everybody."""
        if self._event is not None:
            self._event.set()
            self._event = None

    @property
    def next(self) -> trio.Event:
        """The event of the next ring: take it, look, then wait for it."""
        if self._event is None:
            self._event = trio.Event()
        return self._event

    async def wait(self, within_s: float) -> bool:
        """Wait for the next ring, at most `within_s` seconds; return whether it rang."""
        event = self.next
        with trio.move_on_after(within_s):
            await event.wait()
        return event.is_set()


class Bells:
    """The box's bells: `arrived` new in a queue, `proven` committed or parked, `logged` a new event."""

    def __init__(self) -> None:
        self.arrived = Bell()
        self.proven = Bell()
        self.logged = Bell()
