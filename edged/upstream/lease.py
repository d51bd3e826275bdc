"""Taking work: which instances a worker sends next, and that nobody else takes them meanwhile.

A lease lives in memory and ends with the worker's turn, whatever happens to it. While the breaker of a destination is
open one instance at a time is taken, as a probe, and each time another one.
"""

from collections.abc import AsyncIterator, Iterator, Sequence, Set
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial

import trio

from edged.services.retrieve import WebForm
from edged.store.queue import figures
from edged.store.records import DeliveryState
from edged.store.transaction import Transaction
from edged.store.waiting import Turn, Waiting, waiting, waiting_in_turn
from edged.upstream.batch import choose_batch, choose_probe
from edged.upstream.destination import Destination
from edged.upstream.forms import Forms
from edged.upstream.notes import Notebook
from edged.upstream.retry import BreakerState


@dataclass(frozen=True, slots=True)
class Taken:
    """What a worker sends next: leased rows, and the forms in which they leave, as far as the look foresaw them."""

    rows: Sequence[Waiting] = ()
    seen: Sequence[WebForm] = ()


class Leases:
    """The leases of one destination, shared by its workers."""

    def __init__(self, destination: Destination, forms: Forms) -> None:
        self._destination = destination
        self._forms = forms
        self._turn = Turn()
        self._last_probed = 0
        self._taking = trio.Lock()

    async def take(self) -> Taken:
        """Return what to send now, leased; empty when there is nothing, or it is not the time. Raises StoreError."""
        async with self._taking:  # two that look at once would see the same rows, and one of them go away with nothing
            found = await self._look()
            begins = bool(found.rows) and self._destination.may_begin()
            self._destination.idle.note(is_so=not begins and not self._destination.leased)
            if not begins:
                return Taken()
            return Taken(self._lease(found.rows), found.seen)

    @asynccontextmanager
    async def undisturbed(self) -> AsyncIterator[Set[int]]:
        """Have nothing taken while the block runs, which is short; gives what is leased."""
        async with self._taking:
            yield self._destination.leased

    async def _look(self) -> Taken:
        """Return what may be chosen from: of the study whose turn it is, or for a probe from the whole queue."""
        destination = self._destination
        if not destination.may_begin():
            return Taken()
        leased = destination.leased | destination.notebook.waiting(destination.now())
        if destination.breaker.state is not BreakerState.CLOSED:
            held = partial(waiting, destination=destination.number, state=DeliveryState.HELD, leased=leased)
            return Taken(await destination.box.store.read(held))
        size, turn = destination.size, self._turn

        def look(txn: Transaction) -> tuple[Taken, Turn]:
            most = size.instances.value
            rows, after = waiting_in_turn(txn, destination.number, leased=leased, turn=turn, most=most)
            return Taken(rows, self._forms.load(txn, choose_batch(rows, Notebook(), size))), after

        found, self._turn = await destination.box.store.read(look)
        return found

    def _lease(self, rows: Sequence[Waiting]) -> list[Waiting]:
        destination = self._destination
        if destination.breaker.state is BreakerState.CLOSED:
            chosen = choose_batch(rows, destination.notebook, destination.size)
        else:
            chosen = choose_probe(rows, self._last_probed)
            self._last_probed = chosen[0].number
            destination.breaker = destination.breaker.probe(destination.now())
        destination.leased.update(row.number for row in chosen)
        return chosen

    async def begin_search(self) -> bool:
        """Whether a destination whose breaker is open is to be probed without an instance, because none waits.

        The probe has begun then; it ends with the block of `held`. Raises StoreError.
        """
        destination = self._destination
        if destination.breaker.state is not BreakerState.OPEN or not destination.may_begin():
            return False
        queued = partial(figures, destination=destination.number, state=DeliveryState.HELD)
        if (await destination.box.store.read(queued)).rows or not destination.may_begin():
            return False
        destination.breaker = destination.breaker.probe(destination.now())
        return True

    @contextmanager
    def held(self, rows: Sequence[Waiting] = ()) -> Iterator[None]:
        """End the lease with the block, and a probe that told nothing."""
        destination = self._destination
        probing = destination.breaker.state is BreakerState.PROBING
        try:
            yield
        finally:
            destination.leased.difference_update(row.number for row in rows)
            if probing and destination.breaker.state is BreakerState.PROBING:
                destination.breaker = destination.breaker.abandoned()
            destination.released.ring()
