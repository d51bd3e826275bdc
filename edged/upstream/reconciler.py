"""Proving again what is committed: a sample all the time, and what is next to be let go, while the destination answers.

An outage proves nothing and blocks nothing (DESIGN §5).
"""

from collections.abc import Sequence

import trio

from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.look import Looker


class Reconciler:
    """Proves again what one destination has committed to."""

    def __init__(self, destination: Destination, looker: Looker, asking: Asking) -> None:
        self._destination = destination
        self._looker = looker
        self._asking = asking

    async def keep(self) -> None:
        """Prove for ever."""
        await trio.sleep_forever()

    async def prove_again(self, numbers: Sequence[int], *, within_s: float) -> None:
        """Ask for what is next to be let go, and take back what is not there any more; no longer than `within_s`."""
