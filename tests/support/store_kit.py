"""Instances to put into a real store, and what tests ask of one."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from edged.config.choices import Duplicate
from edged.store.admission import Admitted
from edged.store.integrity import check
from edged.store.readers import Readers
from edged.store.records import Instance
from edged.store.store import Store
from edged.store.upload import upload
from tests.support.dicom_samples import digest_of

CAPACITY = 256 << 20


def instance_of(data: bytes, uid: str, **changes: object) -> Instance:
    """A record for made-up bytes: the store never looks inside them."""
    fields: dict[str, object] = {
        "sop_instance_uid": uid,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.4",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "size": len(data),
        "dataset_offset": 0,
        "body_offset": len(data),
        "exit_length": len(data),
        "file_digest": digest_of(data, len(data)),
        "dataset_digest": hashlib.sha256(data).digest(),
        "received": 1000.0,
        "intake": "test",
        "destinations": (1,),
        "required": (1,),
        "attributes": {"PatientID": b"P1"},
    }
    return Instance(**{**fields, **changes})  # type: ignore[arg-type]


async def put(
    store: Store, data: bytes, uid: str, *, duplicate: Duplicate = Duplicate.REFUSE, **changes: object
) -> Admitted:
    """Upload bytes in uneven pieces and admit them."""
    reservation = store.space.open()
    try:
        async with upload(store, reservation) as begun:
            for at in range(0, len(data), 100_003):
                await begun.add(data[at : at + 100_003])
            return await begun.admit(instance_of(data, uid, **changes), duplicate=duplicate)
    finally:
        reservation.close()


async def stored_bytes(store: Store, number: int, size: int) -> bytes:
    """Read an instance back."""
    return b"".join([chunk async for chunk in store.stream(number, size)])


def problems(store: Store) -> list[str]:
    """What the integrity check says."""
    return store.read_now(lambda txn: list(check(txn)))


def wait_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    """Have nothing be in memory."""
    patch.setattr(Readers, "at_once", lambda _, view: None)


@dataclass
class Reads:
    """How often a reader had to wait for one."""

    count: int = 0


@contextmanager
def counted_reads() -> Iterator[Reads]:
    """Count what is only read when it is asked for, in a thread."""
    reads, read = Reads(), Readers.read

    async def counted(self: Readers, view: Any) -> Any:
        reads.count += 1
        return await read(self, view)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Readers, "read", counted)
        yield reads
