"""Taking work: which instances a worker sends next, and that nobody else takes them meanwhile.

A lease lives in memory and ends with the worker's turn, whatever happens to it. While the breaker of a destination is
open one instance at a time is taken, as a probe, and each time another one.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from edged.store.queue import figures
from edged.store.records import DeliveryState
from edged.store.waiting import Waiting, waiting
from edged.upstream.batch import choose_batch, choose_probe
from edged.upstream.destination import Destination
from edged.upstream.retry import BreakerState


class Leases:
    """The leases of one destination, shared by its workers."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._last_study: str | None = None
        self._last_probed = 0

    async def take(self) -> list[Waiting]:
        """Return what to send now, leased; empty when there is nothing, or it is not the time. Raises StoreError."""
        destination = self._destination
        if not destination.may_begin():
            return []
        excluded = destination.leased | destination.notebook.waiting(destination.now())
        rows = await destination.box.store.read(
            partial(waiting, destination=destination.number, state=DeliveryState.HELD, leased=excluded)
        )
        rows = [row for row in rows if row.number not in destination.leased]
        if not rows or not destination.may_begin():
            return []
        if destination.breaker.state is BreakerState.CLOSED:
            chosen = choose_batch(rows, destination.notebook, destination.size, last_study=self._last_study)
            self._last_study = chosen[0].study
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
