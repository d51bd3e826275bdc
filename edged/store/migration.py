"""Bringing a store of an older schema up to date, in steps: one for each version, each repeatable from its beginning.

Tables that are new are made when the environment is opened for writing; records get new fields at their end, with
defaults, and are not rewritten. What remains is done here, in bounded transactions. The version is raised by the last
one of a step: a power cut before it leaves the older schema, and the step is done again.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType

import msgspec

from edged.store.records import Instance, Reference, unpack
from edged.store.schema import (
    EVICTABLE,
    INSTANCES,
    META,
    OPEN_REQUESTS,
    REFERENCES,
    VERSION,
    WAITING_FOR,
    number_at_end,
    read_u64,
    u64_key,
    waiting_key,
)
from edged.store.standings import is_evictable, read_deliveries
from edged.store.transaction import Transaction

log = logging.getLogger(__name__)

ROWS = 5000
"""Rows that one transaction looks at."""

Writing = Callable[[], AbstractContextManager[Transaction]]


def migrate(writing: Writing, schema: int) -> None:
    """Bring a store of an older `schema` to VERSION; raises lmdb.Error, and what was done by then is no harm."""
    for version in range(schema, VERSION):
        _STEPS[version](writing)
        with writing() as txn:
            txn.put(META, b"schema", msgspec.msgpack.encode(version + 1))
        log.info("the store was brought from schema %d to %d", version, version + 1)


def _to_2(writing: Writing) -> None:
    """The references that open requests wait for get their index."""
    with writing() as txn:
        numbers = [read_u64(key) for key, _ in txn.rows(OPEN_REQUESTS)]
    for number in numbers:
        with writing() as txn:  # a request has at most 20,000 references
            for key in list(_undecided(txn, number)):
                txn.put(WAITING_FOR, key)
    _keep_what_is_parked(writing)


def _keep_what_is_parked(writing: Writing) -> None:
    """What an optional destination keeps parked leaves the order of eviction."""
    after = b""
    while True:
        with writing() as txn:
            keys = [bytes(key) for (key, _), _ in zip(txn.rows(EVICTABLE, start=after), range(ROWS), strict=False)]
            for key in keys:
                number = number_at_end(key)
                instance = txn.record(INSTANCES, u64_key(number), Instance)
                if instance is not None and not is_evictable(instance, read_deliveries(txn, number, instance)):
                    txn.delete(EVICTABLE, key)
        if len(keys) < ROWS:
            return
        after = keys[-1]


def _undecided(txn: Transaction, number: int) -> Iterator[bytes]:
    for index, (_, value) in enumerate(txn.rows(REFERENCES, u64_key(number))):
        reference = unpack(Reference, value)
        if reference.reason is None:
            yield waiting_key(reference.sop_instance_uid, number, index)


def _to_3(writing: Writing) -> None:
    """Followers get a table, which is made when it is opened."""
    del writing


_STEPS: Mapping[int, Callable[[Writing], None]] = MappingProxyType({1: _to_2, 2: _to_3})
