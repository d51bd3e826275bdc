"""Reading chunks without any index: what can be got out of a store whose other tables are damaged. Reads only.

Every chunk is looked up by its key: a walk from row to row ends the process where LMDB finds a page of the wrong kind
beside the one it stands on, a look-up only fails, and with it its transaction. So each number has a transaction of its
own, and a damaged page costs the instances on it and no others. Which chunks belonged to an instance is told by their
numbers alone: what comes out must prove that it is whole.
"""

from collections.abc import Iterator
from itertools import count

import lmdb

from edged.store.chunks import has_chunk
from edged.store.counters import NEXT_INSTANCE
from edged.store.environment import Environment
from edged.store.errors import InstanceGone, InstanceUnreadable
from edged.store.schema import CHUNK_BYTES, CHUNKS, COUNTERS, Table, chunk_key
from edged.store.transaction import Value

NEEDED: tuple[Table, ...] = (CHUNKS,)
USEFUL: tuple[Table, ...] = (COUNTERS,)
EMPTY_NUMBERS = 10_000_000
"""Without the counter that tells the last number: so many in a row without a chunk, and there are no more."""


def numbers_with_chunks(environment: Environment) -> Iterator[int]:
    """Yield in order every instance number that has a first chunk, or one that cannot be read."""
    last = _last_number(environment)
    empty = 0
    for number in count(1):
        if empty >= EMPTY_NUMBERS if last is None else number > last:
            return
        empty += 1
        if _is_there(environment, number):
            empty = 0
            yield number


def leading_chunks(environment: Environment, number: int) -> Iterator[Value]:
    """Yield views of a number's chunks from the first on up to a gap or a short one.

    A view is valid until the next one is asked for. Raises InstanceGone for damage, InstanceUnreadable where the disk
    cannot give the bytes back.
    """
    with environment.reading() as txn:
        for index in count():
            try:
                chunk = txn.get(CHUNKS, chunk_key(number, index))
            except lmdb.Error as error:
                raise InstanceGone(f"chunk {index} of instance number {number} cannot be read: {error}") from error
            if chunk is None:
                return
            yield chunk
            if len(chunk) < CHUNK_BYTES:
                return


def chunk_bytes(environment: Environment) -> int:
    """Return about how many bytes all chunks have."""
    with environment.reading() as txn:
        return txn.count(CHUNKS) * CHUNK_BYTES


def _is_there(environment: Environment, number: int) -> bool:
    try:
        with environment.reading() as txn:
            return has_chunk(txn, number, 0)
    except (lmdb.Error, InstanceUnreadable):
        return True


def _last_number(environment: Environment) -> int | None:
    try:
        with environment.reading() as txn:
            return txn.counter(NEXT_INSTANCE) or None
    except (lmdb.Error, KeyError):
        return None
