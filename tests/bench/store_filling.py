"""Filling a store without a server: instances of a few bytes, admitted by the very transaction that serves requests.

For what depends on how many instances there are and not on how large they are. Many admissions share a commit, which
is all that sets them apart from those of a daemon.
"""

import hashlib
from functools import partial

from msgspec import structs

from edged.store.admission import Tail, admit
from edged.store.queue import destination_id
from edged.store.records import Instance
from edged.store.store import Store
from edged.store.transaction import Transaction
from tests.support.store_kit import instance_of

TOGETHER = 1000
DATA = bytes(64)
STUDY_INSTANCES = 100
ROW_BYTES = 4096
"""What an instance of a few bytes takes in all tables, generously: to size a store."""


async def fill(store: Store, destination: str, count: int) -> None:
    """Admit so many instances that wait for a destination."""
    await store.write(partial(destination_id, name=destination))
    base = instance_of(DATA, "1.2")
    for at in range(0, count, TOGETHER):
        await store.write(partial(admit_some, store, base, count=min(TOGETHER, count - at)))


def admit_some(store: Store, base: Instance, txn: Transaction, *, count: int) -> list[int]:
    """Admit some instances like `base`, each under UIDs of its own; return their numbers."""
    return [admit(txn, *_numbered(base, number)).number for number in (_next(store) for _ in range(count))]


def _next(store: Store) -> int:
    number = store.new_number()
    store.finish(number, swept=False)
    return number


def _numbered(base: Instance, number: int) -> tuple[Instance, Tail]:
    study = f"2.25.{number // STUDY_INSTANCES + 10**9}"
    instance = structs.replace(
        base,
        sop_instance_uid=f"2.25.{number + 10**20}",
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        dataset_digest=hashlib.sha256(number.to_bytes(8, "big")).digest(),
    )
    return instance, Tail(number, 0, [DATA])
