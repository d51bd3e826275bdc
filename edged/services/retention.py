"""Deciding what is let go, from recorded proofs only: by age, and by need (DESIGN §1.5, §3).

`keep_committed` is the longest stay; when room runs short the oldest committed go earlier. Nothing goes by age while
the clock is not trusted. Before something goes, the destinations that answer are asked whether they still have it; what
one of them does not show while it shows others stays until that is settled. An outage changes nothing here: what is
committed is committed, and by need it is let go without more asking than a few seconds.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

import trio

from edged.config import Store as Settings
from edged.store.eviction import evict, forget_oldest, next_to_go
from edged.store.queue import read_instance
from edged.store.store import Store
from edged.store.transaction import Transaction
from edged.telemetry.clock import Clock

log = logging.getLogger(__name__)

EVERY_S = 5.0
WANTED_FREE = 0.10
"""The share of the soft cap that is kept free for what arrives, as long as there is something to let go."""


ASKING_S = 10.0
"""How long the destinations may be asked about what is next to go; by need, for all that is let go of in a row."""


class Reprover(Protocol):
    """A destination that can be asked whether it still has what it has committed to."""

    @property
    def doubted(self) -> Collection[int]:
        """The numbers of the instances that it did not show when it was last asked, while it showed others."""

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
        self._patience_s = ASKING_S

    async def keep(self) -> None:
        """Let go of what may go, for ever."""
        while True:
            self._patience_s = ASKING_S
            while await self.step():
                await self._store.wait_swept()
            await self._store.write(partial(forget_oldest, keep=self._remember))
            await trio.sleep(EVERY_S)

    async def step(self) -> int:
        """Evict some instances; return how many."""
        before = self._clock.wall() - self._keep_s if self._clock.trusted() else 0.0
        space = self._store.space
        needed = max(0, int(space.soft_cap * WANTED_FREE) - space.free)
        chosen = partial(next_to_go, committed_before=before, least_bytes=needed, spared=self._doubted())
        going = await self._store.read(chosen)
        if not going:
            return 0
        await self._ask([each.number for each in going], needed=needed > 0)
        doubted = self._doubted()
        sure = [each for each in going if each.number not in doubted]
        evicted = await self._store.write(partial(evict, going=sure, now=self._clock.wall()))
        if evicted:
            log.info("evicted %d committed instances", len(evicted))
            self._store.sweep_soon()
            self._told(sum(evicted.values()))
        return len(evicted)

    def _doubted(self) -> set[int]:
        return {number for reprover in self._reprovers.values() for number in reprover.doubted}

    async def _ask(self, numbers: Sequence[int], *, needed: bool) -> None:
        """Have the destinations asked about what goes next; what cannot be told in time holds nothing up."""
        within_s, began_s = self._patience_s if needed else ASKING_S, self._clock.monotonic()
        required = await self._store.read(partial(_required, numbers=numbers))
        asked = [(self._reprovers[each], gated) for each, gated in required.items() if each in self._reprovers]
        if within_s <= 0 or not asked:
            return
        async with trio.open_nursery() as nursery:
            for reprover, gated in asked:
                nursery.start_soon(partial(reprover.prove_again, gated, within_s=within_s))
        if needed:
            self._patience_s -= self._clock.monotonic() - began_s


def _required(txn: Transaction, numbers: Sequence[int]) -> dict[int, list[int]]:
    """Return the numbers by the destinations that had to commit to them."""
    gated: dict[int, list[int]] = {}
    for number in numbers:
        instance = read_instance(txn, number)
        for destination in instance.required if instance is not None else ():
            gated.setdefault(destination, []).append(number)
    return gated
