"""Checks of the invariants that hold across tables; `schema` states them. Reads only.

Every check yields sentences that name the row; an empty result means that the store is whole. One pass over each
table; memory does not grow with the number of instances but for the sets of numbers that a check compares.
"""

from collections import Counter
from collections.abc import Callable, Iterator

from edged.store.chunks import chunk_count
from edged.store.counters import FIRST_EVENT, NEXT_EVENT, NEXT_INSTANCE, queue_bytes, queue_rows, standing
from edged.store.queue import standing_of
from edged.store.records import (
    CommitmentRequest,
    Delivery,
    DeliveryState,
    Instance,
    Queued,
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
    CHUNKS,
    DELIVERIES,
    DESTINATIONS,
    EVENTS,
    EVICTABLE,
    GONE,
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
    chunk_key,
    delivery_key,
    queue_key,
    read_chunk_key,
    read_delivery_key,
    read_moment_key,
    read_queue_key,
    read_u32,
    read_u64,
    sop_instance_key,
    study_prefix,
    u64_key,
    uid_key,
)
from edged.store.transaction import Transaction

Check = Callable[[Transaction], Iterator[str]]


def check(txn: Transaction) -> Iterator[str]:
    """Yield one sentence for each broken invariant."""
    for one in (
        _chunks,
        _instances,
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


def _all_instances(txn: Transaction) -> Iterator[tuple[int, Instance]]:
    for key, value in txn.rows(INSTANCES):
        yield read_u64(key), unpack(Instance, value)


def _chunks(txn: Transaction) -> Iterator[str]:
    """Every chunk belongs to a record or is unowned; a record's chunks are all there and have its size."""
    seen: int | None = None
    for key, _ in txn.rows(CHUNKS):
        number = read_chunk_key(key)[0]
        if number == seen:
            continue
        seen = number
        recorded = txn.get(INSTANCES, u64_key(number)) is not None
        if recorded == (txn.get(UNOWNED, u64_key(number)) is not None):
            yield f"chunks of number {number} are {'both' if recorded else 'neither'} recorded and unowned"
    for number, instance in _all_instances(txn):
        sizes = [len(value) for _, value in txn.rows(CHUNKS, u64_key(number))]
        whole = len(sizes) == chunk_count(instance.size) and all(size == CHUNK_BYTES for size in sizes[:-1])
        if sum(sizes) != instance.size or not whole:
            yield f"instance {number} has {sum(sizes)} bytes in {len(sizes)} chunks; its record says {instance.size}"
        if instance.size and txn.get(CHUNKS, chunk_key(number, 0)) is None:
            yield f"instance {number} has no first chunk"


def _instances(txn: Transaction) -> Iterator[str]:
    """Each record has its index rows and its deliveries; its number was given out."""
    for number, instance in _all_instances(txn):
        place = study_prefix(instance.study_instance_uid, instance.series_instance_uid, instance.sop_instance_uid)
        if txn.get(BY_SOP_INSTANCE, sop_instance_key(instance.sop_instance_uid, number)) is None:
            yield f"instance {number} is missing in by_sop_instance"
        if txn.get(BY_STUDY, place + u64_key(number)) is None:
            yield f"instance {number} is missing in by_study"
        for destination in {*instance.destinations, *instance.required}:
            if txn.get(DELIVERIES, delivery_key(number, destination)) is None:
                yield f"instance {number} has no delivery to destination {destination}"
        if number > txn.counter(NEXT_INSTANCE):
            yield f"instance {number} has a number that was never given out"
    for table in (BY_SOP_INSTANCE, BY_STUDY):
        if txn.count(table) != txn.count(INSTANCES):
            yield f"{table.name} has {txn.count(table)} rows for {txn.count(INSTANCES)} instances"


def _studies(txn: Transaction) -> Iterator[str]:
    """Studies and series count their instances."""
    for key, value in txn.rows(STUDIES):
        rows = sum(1 for _ in txn.rows(BY_STUDY, study_prefix(bytes(key).decode())))
        if rows != unpack(Study, value).instances:
            yield f"study {bytes(key).decode()} counts {unpack(Study, value).instances} instances and has {rows}"
    counted = Counter(uid_key(instance.series_instance_uid) for _, instance in _all_instances(txn))
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
    """Exactly the committed instances are in the order of eviction."""
    rows = {read_moment_key(key)[1] for key, _ in txn.rows(EVICTABLE)}
    for number, instance in _all_instances(txn):
        committed = bool(instance.required) and standing_of(txn, number, instance) is Standing.COMMITTED
        if committed != (number in rows):
            yield f"instance {number}: committed is {committed}, in the order of eviction is {number in rows}"
        rows.discard(number)
    for number in rows:
        yield f"number {number} is evictable and has no record"


def _remembered(txn: Transaction) -> Iterator[str]:
    """Each remembered digest stands once in the order of forgetting."""
    for key, uid in txn.rows(REMEMBERED_ORDER):
        known = txn.record(REMEMBERED, bytes(uid), Remembered)
        if known is None or known.number != read_moment_key(key)[1]:
            yield f"the order of forgetting names {bytes(uid).decode()}, which is not remembered so"
    if txn.count(REMEMBERED) != txn.count(REMEMBERED_ORDER):
        yield f"{txn.count(REMEMBERED)} digests are remembered, {txn.count(REMEMBERED_ORDER)} have an order"


def _counters(txn: Transaction) -> Iterator[str]:
    """Each counter equals what it caches."""
    standings = Counter(standing_of(txn, number, instance) for number, instance in _all_instances(txn))
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
        if (txn.get(OPEN_REQUESTS, u64_key(request.number)) is None) != bool(request.answered):
            yield f"request {bytes(key).decode()} is answered and open, or neither"
    if txn.count(OPEN_REQUESTS) != unanswered:
        yield f"{txn.count(OPEN_REQUESTS)} requests are open, {unanswered} have no result"
    answered = txn.count(REQUESTS) - unanswered - purged
    if (txn.count(ANSWERED), txn.count(GONE)) != (answered, purged):
        yield f"{txn.count(ANSWERED)} results are kept, {txn.count(GONE)} purged; the records say {answered}, {purged}"
