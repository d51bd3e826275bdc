"""A box that forwards, with a scrub over its store, and the means to turn what is stored there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from edged.dicomweb.event_report import EventKind
from edged.services.repair import FAILED, Repairer
from edged.services.scrub import Scrub, Verdict
from edged.store.queue import read_instance
from edged.store.records import Instance
from edged.store.schema import CHUNKS, chunk_key
from edged.store.store import Store
from edged.store.transaction import Transaction
from tests.conftest import ExpectedLogs
from tests.support.forwarding_kit import Forwarding, forwarding
from tests.support.store_kit import stored_bytes


def flip(txn: Transaction, number: int, index: int = 0) -> None:
    """Turn the bits of a stored chunk, as a failing disk does."""
    key = chunk_key(number, index)
    stored = txn.get(CHUNKS, key)
    assert stored is not None
    txn.put(CHUNKS, key, bytes(each ^ 0xFF for each in bytes(stored)))


def instance_at(store: Store, number: int) -> Instance:
    """The record of an instance."""
    found = store.read_now(partial(read_instance, number=number))
    assert found is not None
    return found


class Scrubbed:
    """The box and its scrub."""

    def __init__(self, box: Forwarding, expected_logs: ExpectedLogs) -> None:
        self.box = box
        self.repairer = Repairer(box.store, box.clock, box.bells, holders=box.holders)
        self.scrub = Scrub(box.store, box.clock, box.conditions, bells=box.bells, repairer=self.repairer)
        self._logs = expected_logs

    async def committed(self, *files: bytes) -> list[int]:
        """Take files and wait until each destination has committed to them; their numbers."""
        uids = await self.box.take(*files)
        wanted = {"committed": len(uids)}
        await self.box.until(lambda: all(self.box.at(name) == wanted for name in self.box.routes.ids), step_s=1.0)
        return self.box.numbers(*uids)

    async def damage(self, number: int, *indexes: int) -> None:
        """Turn chunks of an instance, the first if none is named."""
        self._logs.expect(f"instance number {number} holds other bytes")
        for index in indexes or (0,):
            await self.box.store.write(partial(flip, number=number, index=index))

    async def see_to(self, number: int) -> None:
        """Let the scrub come by an instance."""
        await self.scrub.see_to(number, instance_at(self.box.store, number))

    async def repaired(self, number: int) -> Instance:
        """Let the scrub come by an instance and repair it; its record."""
        self._logs.expect(f"instance number {number} is repaired")
        await self.see_to(number)
        instance = instance_at(self.box.store, number)
        assert await self.scrub.verify(number, instance) is Verdict.GOOD
        return instance

    async def stored(self, number: int) -> bytes:
        """The bytes of an instance."""
        return await stored_bytes(self.box.store, number, instance_at(self.box.store, number).size)

    @property
    def hint(self) -> str:
        """What the condition says; empty while there is none."""
        return next((each.hint for each in self.box.conditions.snapshot() if each.name == FAILED), "")

    def told(self) -> list[tuple[EventKind, str]]:
        """The events of the condition."""
        return [(each.kind, each.text) for each in self.box.events() if each.destination == FAILED]


@asynccontextmanager
async def scrubbed(folder: Path, config: str, logs: ExpectedLogs, **how: Any) -> AsyncIterator[Scrubbed]:
    """A box that forwards as `config` says, and its scrub."""
    async with forwarding(folder, config, **how) as box:
        yield Scrubbed(box, logs)
