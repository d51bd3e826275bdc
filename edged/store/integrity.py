"""Checks of the invariants that hold across tables; `schema` states them. Reads only.

Every check yields sentences that name the row; an empty result means that the store is whole. One pass over each
table, each row compared with its partners by key: memory does not grow with the number of instances, but for a count
of each series and each open queue. `check_deep` reads every stored byte.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby

from edged.store.chunks import chunk_count, stored_digest
from edged.store.counters import FIRST_EVENT, NEXT_EVENT, NEXT_INSTANCE, queue_bytes, queue_rows, standing
from edged.store.errors import InstanceGone
from edged.store.instances import all_instances, place_of
from edged.store.records import (
    CommitmentRequest,
    CommitRecord,
    Delivery,
    DeliveryState,
    Instance,
    Queued,
    Reference,
    Remembered,
    Series,
    Standing,
    Study,
    unpack,
)
from edged.store.schema import (
    ANSWERED,
    BY_SOP_INSTANCE,
    BY_STUDY,
    CHUNK_BYTES,
    COMMITTED_MEMORY,
    COMMITTED_MEMORY_ORDER,
    DELIVERIES,
    DESTINATIONS,
    EVENTS,
    EVICTABLE,
    GONE,
    HISTORY,
    HISTORY_ORDER,
    INSTANCES,
    OPEN_REQUESTS,
    QUEUE,
    REFERENCES,
    REMEMBERED,
    REMEMBERED_ORDER,
    REQUESTS,
    SERIES,
    STUDIES,
    UNOWNED,
    WAITING_FOR,
    Table,
    delivery_key,
    history_key,
    number_at_end,
    queue_key,
    read_chunk_key,
    read_delivery_key,
    read_moment_key,
    read_queue_key,
    read_u32,
    read_u64,
    read_waiting_key,
    reference_key,
    sop_instance_key,
    study_prefix,
    u64_key,
    uid_key,
)
from edged.store.standings import evictable_key, is_evictable, read_deliveries, standing_of
from edged.store.transaction import Transaction

Check = Callable[[Transaction], Iterator[str]]


def check(txn: Transaction) -> Iterator[str]:
    """Yield one sentence for each broken invariant."""
    for one in (
        _chunks,
        _sizes,
        _instances,
        _addressed,
        _studies,
        _deliveries,
        _queue,
        _evictable,
        _remembered,
        _counters,
        _events,
        _requests,
    ):
        yield from one(txn)
    for table, one in ((WAITING_FOR, _waiting_for), (COMMITTED_MEMORY, _committed_memory), (HISTORY, _history)):
        if table.name in txn.tables:  # or the store is of an older schema, and only looked at
            yield from one(txn)


def check_deep(txn: Transaction, advance: Callable[[int], None]) -> Iterator[str]:
    """Read every instance and yield one sentence for each whose bytes are not those that were stored.

    `advance` is told of the bytes of each instance when it has been read.
    """
    for number, instance in all_instances(txn):
        try:
            if stored_digest(txn, number, instance) != instance.file_digest:
                yield f"{_named(number, instance)} holds other bytes than were stored"
        except InstanceGone as error:
            yield f"{_named(number, instance)} cannot be read: {error}"
        advance(instance.size)


def _named(number: int, instance: Instance) -> str:
    return f"instance {number} ({instance.sop_instance_uid})"


def _chunks(txn: Transaction) -> Iterator[str]:
    """Every chunk belongs to a record or is unowned."""
    for number, _ in groupby(txn.chunk_keys(), lambda key: read_chunk_key(key)[0]):
        recorded = txn.get(INSTANCES, u64_key(number)) is not None
        if recorded == (txn.get(UNOWNED, u64_key(number)) is not None):
            yield f"chunks of number {number} are {'both recorded and' if recorded else 'neither recorded nor'} unowned"


def _sizes(txn: Transaction) -> Iterator[str]:
    """A record's chunks are all there, all but the last are full, and they have its size."""
    for number, instance in all_instances(txn):
        count = size = 0
        whole = True
        for count, key in enumerate(txn.chunk_keys(u64_key(number)), start=1):
            whole &= size == (count - 1) * CHUNK_BYTES and read_chunk_key(key)[1] == count - 1
            size += txn.chunk_bytes(key) or 0
        if not whole or size != instance.size or count != chunk_count(size):
            yield f"{_named(number, instance)} has {size} bytes in {count} chunks; its record says {instance.size}"


def _instances(txn: Transaction) -> Iterator[str]:
    """Each record has its index rows and its deliveries; its number was given out. A conflict is in no study."""
    conflicts = 0
    for number, instance in all_instances(txn):
        conflicts += instance.conflict
        if txn.get(BY_SOP_INSTANCE, sop_instance_key(instance.sop_instance_uid, number)) is None:
            yield f"{_named(number, instance)} is missing in by_sop_instance"
        if (txn.get(BY_STUDY, place_of(number, instance)) is None) != instance.conflict:
            yield f"{_named(number, instance)} is missing in by_study, or is a conflict and there"
        for destination in {*instance.destinations, *instance.required}:
            if (txn.get(DELIVERIES, delivery_key(number, destination)) is None) != instance.conflict:
                yield f"{_named(number, instance)} has no delivery to {destination}, or is a conflict and has one"
        if number > txn.counter(NEXT_INSTANCE):
            yield f"{_named(number, instance)} has a number that was never given out"
    instances = txn.count(INSTANCES)
    for table, expected in ((BY_SOP_INSTANCE, instances), (BY_STUDY, instances - conflicts)):
        if txn.count(table) != expected:
            yield f"{table.name} has {txn.count(table)} rows for {expected} instances"


def _addressed(txn: Transaction) -> Iterator[str]:
    """A UID addresses at most one instance."""
    for _, rows in groupby(txn.rows(BY_SOP_INSTANCE), lambda row: bytes(row[0][:-8])):
        found = [number_at_end(key) for key, _ in rows]
        if len(found) == 1:
            continue
        present = ((number, txn.record(INSTANCES, u64_key(number), Instance)) for number in found)
        uids = Counter(each.sop_instance_uid for _, each in present if each is not None and not each.conflict)
        yield from (f"{count} instances are addressed by {uid}" for uid, count in uids.items() if count > 1)


def _studies(txn: Transaction) -> Iterator[str]:
    """Studies and series count their instances."""
    rows = sum(unpack(Study, value).instances for _, value in txn.rows(STUDIES))
    if rows != txn.count(BY_STUDY):
        yield f"the studies count {rows} instances; by_study has {txn.count(BY_STUDY)}"
    for key, value in txn.rows(STUDIES):
        rows = sum(1 for _ in txn.rows(BY_STUDY, study_prefix(bytes(key).decode())))
        if rows != unpack(Study, value).instances:
            yield f"study {bytes(key).decode()} counts {unpack(Study, value).instances} instances and has {rows}"
    counted = Counter(
        uid_key(instance.series_instance_uid) for _, instance in all_instances(txn) if not instance.conflict
    )
    for key, value in txn.rows(SERIES):
        if counted.pop(bytes(key), 0) != unpack(Series, value).instances:
            yield f"series {bytes(key).decode()} does not count its instances"
    for missing in counted:
        yield f"series {missing.decode()} has no row"


def _deliveries(txn: Transaction) -> Iterator[str]:
    """Each delivery belongs to an instance and a destination and stands in the queue, unless it is committed."""
    known = {int(read_u32(value)[0]) for _, value in txn.rows(DESTINATIONS)}
    for key, value in txn.rows(DELIVERIES):
        number, destination = read_delivery_key(key)
        delivery = unpack(Delivery, value)
        if destination not in known or txn.get(INSTANCES, u64_key(number)) is None:
            yield f"delivery of {number} to {destination} has no instance or no destination"
        queued = txn.get(QUEUE, queue_key(destination, delivery.state, delivery.urgency, number)) is not None
        if queued == (delivery.state is DeliveryState.COMMITTED):
            yield f"delivery of {number} to {destination} is {delivery.state.name} and {'' if queued else 'not '}queued"


def _queue(txn: Transaction) -> Iterator[str]:
    """Each queue row has a delivery in the same state."""
    for key, _ in txn.rows(QUEUE):
        destination, state, urgency, number = read_queue_key(key)
        delivery = txn.record(DELIVERIES, delivery_key(number, destination), Delivery)
        if delivery is None or (delivery.state, delivery.urgency) != (state, urgency):
            yield f"queue row of {number} to {destination} in state {state} has no such delivery"


def _evictable(txn: Transaction) -> Iterator[str]:
    """Exactly the committed instances that are neither parked nor on hold are in the order of eviction."""
    evictable = 0
    for number, instance in all_instances(txn):
        deliveries = read_deliveries(txn, number, instance)
        if is_evictable(instance, deliveries):
            evictable += 1
            if txn.get(EVICTABLE, evictable_key(number, instance, deliveries)) is None:
                yield f"{_named(number, instance)} is committed and not in its place in the order of eviction"
    if txn.count(EVICTABLE) != evictable:
        yield f"{txn.count(EVICTABLE)} instances are in the order of eviction, {evictable} may be evicted"


def _remembered(txn: Transaction) -> Iterator[str]:
    """Each remembered digest stands once in the order of forgetting."""
    return _in_order(txn, REMEMBERED, REMEMBERED_ORDER, kind=Remembered, what="digests")


def _counters(txn: Transaction) -> Iterator[str]:
    """Each counter equals what it caches."""
    standings = Counter(
        standing_of(instance, read_deliveries(txn, number, instance)) for number, instance in all_instances(txn)
    )
    for value in Standing:
        if txn.counter(standing(value)) != standings[value]:
            yield f"{txn.counter(standing(value))} instances are counted as {value}, {standings[value]} are"
    rows: Counter[tuple[int, int]] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for key, row in txn.rows(QUEUE):
        destination, state, _, _ = read_queue_key(key)
        rows[destination, state] += 1
        sizes[destination, state] += unpack(Queued, row).size
    for _, identifier in txn.rows(DESTINATIONS):
        destination = int(read_u32(identifier)[0])
        for state in DeliveryState:
            place = destination, int(state)
            counted = (
                txn.counter(queue_rows(destination, state)),
                txn.counter(queue_bytes(destination, state)),
            )
            if state is not DeliveryState.COMMITTED and counted != (rows[place], sizes[place]):
                yield f"queue {destination} {state.name} counts {counted} and has {rows[place], sizes[place]}"


def _events(txn: Transaction) -> Iterator[str]:
    """Events are numbered without gaps."""
    expected = txn.counter(FIRST_EVENT) + 1
    for key, _ in txn.rows(EVENTS):
        if read_u64(key) != expected:
            yield f"event {expected} is missing"
            return
        expected += 1
    if expected != txn.counter(NEXT_EVENT) + 1:
        yield f"the last event is {expected - 1}; {txn.counter(NEXT_EVENT)} were given out"


def _requests(txn: Transaction) -> Iterator[str]:
    """Each request has its references, and is open exactly while it has no result."""
    unanswered, purged = 0, 0
    for key, value in txn.rows(REQUESTS):
        request = unpack(CommitmentRequest, value)
        rows = sum(1 for _ in txn.rows(REFERENCES, u64_key(request.number)))
        unanswered += not request.answered
        purged += request.purged
        if rows != request.count:
            yield f"request {bytes(key).decode()} has {rows} references; its record says {request.count}"
        left = sum(unpack(Reference, row).reason is None for _, row in txn.rows(REFERENCES, u64_key(request.number)))
        if not request.purged and request.left not in {left, -1}:
            yield f"request {bytes(key).decode()} has {left} undecided references; its record says {request.left}"
        if (txn.get(OPEN_REQUESTS, u64_key(request.number)) is None) != bool(request.answered):
            yield f"request {bytes(key).decode()} is answered and open, or neither"
    if txn.count(OPEN_REQUESTS) != unanswered:
        yield f"{txn.count(OPEN_REQUESTS)} requests are open, {unanswered} have no result"
    answered = txn.count(REQUESTS) - unanswered - purged
    if (txn.count(ANSWERED), txn.count(GONE)) != (answered, purged):
        yield f"{txn.count(ANSWERED)} results are kept, {txn.count(GONE)} purged; the records say {answered}, {purged}"


def _waiting_for(txn: Transaction) -> Iterator[str]:
    """Exactly the undecided references of open requests are in the index by SOP Instance UID."""
    for key, _ in txn.rows(WAITING_FOR):
        number, index = read_waiting_key(key)
        reference = txn.record(REFERENCES, reference_key(number, index), Reference)
        if reference is None or reference.reason is not None:
            yield f"reference {index} of request {number} is waited for and decided, or not there"
    numbers = [bytes(key) for key, _ in txn.rows(OPEN_REQUESTS)]
    rows = (unpack(Reference, value) for number in numbers for _, value in txn.rows(REFERENCES, number))
    undecided = sum(reference.reason is None for reference in rows)
    if undecided != txn.count(WAITING_FOR):
        yield f"{undecided} references of open requests are not decided, {txn.count(WAITING_FOR)} are waited for"


def _committed_memory(txn: Transaction) -> Iterator[str]:
    """Each record of a commitment stands once in the order of forgetting."""
    return _in_order(txn, COMMITTED_MEMORY, COMMITTED_MEMORY_ORDER, kind=CommitRecord, what="commitments")


def _in_order(
    txn: Transaction, table: Table, order: Table, *, kind: type[Remembered] | type[CommitRecord], what: str
) -> Iterator[str]:
    """What is kept by SOP Instance UID stands once in the order in which it is forgotten."""
    for key, uid in txn.rows(order):
        known = txn.record(table, bytes(uid), kind)
        if known is None or known.number != read_moment_key(key)[1]:
            yield f"the order of forgetting {what} names {bytes(uid).decode()}, of which none is known so"
    if txn.count(table) != txn.count(order):
        yield f"{txn.count(table)} {what} are remembered, {txn.count(order)} have an order"


def _history(txn: Transaction) -> Iterator[str]:
    """Each entry of a history stands once in the order of forgetting."""
    for serial, number in txn.rows(HISTORY_ORDER):
        if txn.get(HISTORY, history_key(read_u64(number), read_u64(serial))) is None:
            yield f"entry {read_u64(serial)} of a history is not there"
    if txn.count(HISTORY) != txn.count(HISTORY_ORDER):
        yield f"{txn.count(HISTORY)} entries of histories are there, {txn.count(HISTORY_ORDER)} have an order"
