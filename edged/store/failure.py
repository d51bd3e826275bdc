"""The one failure of a store: said once, at the moment at which the writer finds out, and standing until a restart.

Belongs to the event loop's thread. Whoever listens has heard of it before anybody gets the answer to an operation that
failed, so that a sender that is refused finds the reason in the box's state.
"""

from collections.abc import Callable

import trio


class Failure:
    """Whether a store can no longer write, and why."""

    def __init__(self) -> None:
        self.text: str | None = None
        self._happened = trio.Event()
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the reason when the store fails, at once when it has."""
        self._listeners.append(listener)
        if self.text is not None:
            listener(self.text)

    def happened(self, text: str) -> None:
        """Say that the store has failed; only the first reason counts."""
        if self.text is not None:
            return
        self.text = text
        self._happened.set()
        for listener in self._listeners:
            listener(text)

    async def wait(self) -> None:
        """Wait until the store fails."""
        await self._happened.wait()
