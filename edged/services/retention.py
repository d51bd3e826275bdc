"""Deciding what is let go, from recorded proofs only: by age, and by need (DESIGN §1.5, §3).

`keep_committed` is the longest stay; when room runs short the oldest committed go earlier. Nothing goes by age while
the clock is not trusted. An outage of a destination changes nothing here: what is committed is committed.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import trio

from edged.config import Store as Settings
from edged.store.eviction import AT_ONCE, evict_oldest, forget_oldest
from edged.store.store import Store
from edged.telemetry.clock import Clock

log = logging.getLogger(__name__)

EVERY_S = 5.0
WANTED_FREE = 0.10
"""The share of the soft cap that is kept free for what arrives, as long as there is something to let go."""


class Reprover(Protocol):
    """A destination that can be asked whether it still has what it has committed to."""

    async def prove_again(self, numbers: Sequence[int], *, within_s: float) -> None:
        """Ask for what is next to be let go, and take back what is not there any more; no longer than `within_s`."""


class Retention:
    """Evicts in small transactions, never in the way of intake; `told` gets the bytes of each.

    `reprovers` are the destinations that run, by their ids.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: Settings,
        *,
        told: Callable[[int], None],
        reprovers: Mapping[int, Reprover],
    ) -> None:
        self._store = store
        self._clock = clock
        self._told = told
        self._keep_s = settings.keep_committed_s
        self._remember = settings.remember
        self._reprovers = reprovers

    async def keep(self) -> None:
        """Let go of what may go, for ever."""
        while True:
            while await self.step() == AT_ONCE:
                await self._store.wait_swept()
            await self._store.write(partial(forget_oldest, keep=self._remember))
            await trio.sleep(EVERY_S)

    async def step(self) -> int:
        """Evict some instances; return how many."""
        now = self._clock.wall()
        before = now - self._keep_s if self._clock.trusted() else 0.0
        space = self._store.space
        needed = max(0, int(space.soft_cap * WANTED_FREE) - space.free)
        evicted = await self._store.write(partial(evict_oldest, committed_before=before, least_bytes=needed, now=now))
        if evicted:
            log.info("evicted %d committed instances", len(evicted))
            self._store.sweep_soon()
            self._told(sum(evicted.values()))
        return len(evicted)
