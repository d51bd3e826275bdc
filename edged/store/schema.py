"""The canonical description of every table: key, value, order, bound, invariant.

Numbers in keys are big-endian, so that LMDB's byte order is their order. UIDs in keys are cut to 200 bytes (LMDB's
limit is 511 with what follows them); the record decides. Values are MessagePack arrays of the structs in `records`
unless a row says otherwise. Whoever changes a table changes this file, raises `VERSION` and writes the migration.
"""

import struct
from dataclasses import dataclass

VERSION = 3

CHUNK_BYTES = 65_520
"""With LMDB's 16-byte page header exactly 16 pages of 4 KiB: no page is shared, so churn does not fragment."""

KEY_UID_BYTES = 200


@dataclass(frozen=True, slots=True)
class Table:
    """One LMDB database: its name, and in words its key, value, bound and invariant; `since` is the first version."""

    name: str
    key: str
    value: str
    bound: str
    invariant: str
    since: int = 1


META = Table(
    "meta", "name", "MessagePack", "a handful", "`schema` is VERSION; `created` never changes; `told` is records.Told"
)
COUNTERS = Table("counters", "name", "i64", "13 a destination and 11", "each equals the count or sum it caches")
DESTINATIONS = Table(
    "destinations",
    "name",
    "u32",
    "one a destination ever configured",
    "ids are never reused; removal keeps the row",
)
CHUNKS = Table(
    "chunks",
    "instance number u64, chunk number u32",
    "bytes, CHUNK_BYTES each but the last",
    "capacity",
    "the number is in instances or in unowned, never in neither",
)
UNOWNED = Table(
    "unowned",
    "instance number u64",
    "records.Unowned",
    "running uploads and what the sweeper has not reached",
    "no record in instances has this number",
)
INSTANCES = Table(
    "instances",
    "instance number u64",
    "records.Instance",
    "capacity",
    "all chunks are there and add up to `size`; numbers are never reused; of a UID at most one is no conflict",
)
BY_SOP_INSTANCE = Table(
    "by_sop_instance",
    "SOP Instance UID, NUL, instance number u64",
    "empty",
    "as instances",
    "one row an instance",
)
BY_STUDY = Table(
    "by_study",
    "Study, NUL, Series, NUL, SOP Instance UID, NUL, number u64",
    "empty",
    "as instances",
    "one row an instance that is no conflict",
)
STUDIES = Table("studies", "Study Instance UID", "records.Study", "as instances", "`instances` counts BY_STUDY's rows")
SERIES = Table(
    "series",
    "Series Instance UID",
    "records.Series",
    "as instances",
    "`instances` counts those that name the series and are no conflict",
)
DELIVERIES = Table(
    "deliveries",
    "instance number u64, destination u32",
    "records.Delivery",
    "instances times destinations",
    "one row for each of the instance's destinations; none for a conflict",
)
QUEUE = Table(
    "queue",
    "destination u32, state u8, urgency u8, instance number u64",
    "records.Queued",
    "as deliveries",
    "one row for each delivery that is not committed, in that delivery's state",
)
EVICTABLE = Table(
    "evictable",
    "committed at u64 ms, instance number u64",
    "size u64",
    "as instances",
    "one row for each instance with a required destination whose required deliveries are all committed, if none of its"
    " deliveries is parked or on hold",
)
REMEMBERED = Table(
    "remembered",
    "SOP Instance UID",
    "records.Remembered",
    "`remember` of the settings",
    "written when an instance is evicted; replaces nothing (DICOM.md §2)",
)
REMEMBERED_ORDER = Table(
    "remembered_order", "evicted at u64 ms, instance number u64", "SOP Instance UID", "as remembered", "one row each"
)
EVENTS = Table("events", "event number u64", "records.Event", "1,000,000", "numbered without gaps from first to next-1")
REQUESTS = Table(
    "requests",
    "Transaction UID",
    "records.CommitmentRequest",
    "100,000",
    "storage commitment requests made of us",
)
REFERENCES = Table(
    "references",
    "request number u64, index u32",
    "records.Reference",
    "20,000 a request",
    "`count` rows for each request that is not purged",
)
OPEN_REQUESTS = Table("open_requests", "request number u64", "Transaction UID", "as requests", "those without a result")
ANSWERED = Table(
    "answered", "answered at u64 ms, request number u64", "Transaction UID", "as requests", "those whose result is kept"
)
GONE = Table(
    "gone", "answered at u64 ms, request number u64", "Transaction UID", "as requests", "those whose result was purged"
)
ASKS = Table(
    "asks",
    "destination u32, Transaction UID",
    "records.Ask",
    "one a commitment request that we made and that has no result yet",
    "written before the request leaves; evidence, not work in flight",
)
WAITING_FOR = Table(
    "waiting_for",
    "SOP Instance UID, NUL, request number u64, index u32",
    "empty",
    "the references of open requests",
    "one row for each reference that is not decided",
    since=2,
)
COMMITTED_MEMORY = Table(
    "committed_memory",
    "SOP Instance UID",
    "records.CommitRecord",
    "`memory` of the settings",
    "written when an instance is evicted: what may still be answered of it; the newest of a UID",
    since=2,
)
COMMITTED_MEMORY_ORDER = Table(
    "committed_memory_order",
    "evicted at u64 ms, instance number u64",
    "SOP Instance UID",
    "as committed_memory",
    "one row each",
    since=2,
)
HISTORY = Table(
    "history",
    "instance number u64, entry number u64",
    "records.HistoryEntry",
    "200,000",
    "what happened to an instance and its record no longer tells; it may be gone",
    since=2,
)
HISTORY_ORDER = Table(
    "history_order",
    "entry number u64",
    "instance number u64",
    "as history",
    "one row each; the oldest go first",
    since=2,
)

SUBSCRIBERS = Table(
    "subscribers",
    "name of a requester",
    "records.Subscriber",
    "1,000",
    "where each one is in the event log that follows it under a name of its own",
    since=3,
)

TABLES = (
    META,
    COUNTERS,
    DESTINATIONS,
    CHUNKS,
    UNOWNED,
    INSTANCES,
    BY_SOP_INSTANCE,
    BY_STUDY,
    STUDIES,
    SERIES,
    DELIVERIES,
    QUEUE,
    EVICTABLE,
    REMEMBERED,
    REMEMBERED_ORDER,
    EVENTS,
    REQUESTS,
    REFERENCES,
    OPEN_REQUESTS,
    ANSWERED,
    GONE,
    ASKS,
    WAITING_FOR,
    COMMITTED_MEMORY,
    COMMITTED_MEMORY_ORDER,
    HISTORY,
    HISTORY_ORDER,
    SUBSCRIBERS,
)

MAX_EVENTS = 1_000_000
MAX_REQUESTS = 100_000
MAX_OPEN_REQUESTS = 20_000
MAX_KEPT_REFERENCES = 2_000_000
MAX_HISTORY = 200_000
MAX_SUBSCRIBERS = 1_000
MAX_SUBSCRIBERS_OF_ONE = 250

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_CHUNK = struct.Struct(">QI")
_DELIVERY = struct.Struct(">QI")
_QUEUE = struct.Struct(">IBBQ")
_QUEUE_STATE = struct.Struct(">IB")
_TWO_U64 = struct.Struct(">QQ")

u32_key, read_u32 = _U32.pack, _U32.unpack
u64_key = _U64.pack
chunk_key, read_chunk_key = _CHUNK.pack, _CHUNK.unpack
delivery_key, read_delivery_key = _DELIVERY.pack, _DELIVERY.unpack
queue_key, read_queue_key = _QUEUE.pack, _QUEUE.unpack
queue_state_prefix = _QUEUE_STATE.pack
moment_key, read_moment_key = _TWO_U64.pack, _TWO_U64.unpack
history_key, read_history_key = _TWO_U64.pack, _TWO_U64.unpack
reference_key = _CHUNK.pack


def read_u64(key: bytes | memoryview) -> int:
    """Return the number that a `u64_key` holds."""
    return int(_U64.unpack(key)[0])


def uid_key(uid: str) -> bytes:
    """Return the key form of one UID."""
    return uid.encode("ascii", "replace")[:KEY_UID_BYTES]


def sop_instance_key(uid: str, number: int) -> bytes:
    """Return the key of BY_SOP_INSTANCE."""
    return uid_key(uid) + b"\0" + _U64.pack(number)


def waiting_key(uid: str, request: int, index: int) -> bytes:
    """Return the key of WAITING_FOR."""
    return uid_key(uid) + b"\0" + _CHUNK.pack(request, index)


def read_waiting_key(key: bytes | memoryview) -> tuple[int, int]:
    """Return the request number and the index that end a key of WAITING_FOR."""
    request, index = _CHUNK.unpack(key[-_CHUNK.size :])
    return int(request), int(index)


def study_prefix(*uids: str) -> bytes:
    """Return the prefix of BY_STUDY for a study, a series or an instance."""
    return b"".join(uid.encode("ascii", "replace")[:64] + b"\0" for uid in uids)


def number_at_end(key: bytes | memoryview) -> int:
    """Return the instance number that ends an index key."""
    return int(_U64.unpack(key[-8:])[0])
