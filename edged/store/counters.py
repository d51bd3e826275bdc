"""The names of the counters.

Every counter caches a count or a sum over a table and changes in the transaction that changes the table; `integrity`
recounts them. Reading one costs the same at ten and at a million instances.
"""

from edged.store.records import DeliveryState, Standing
from edged.store.schema import u32_key

NEXT_INSTANCE = b"next_instance"
NEXT_EVENT = b"next_event"
FIRST_EVENT = b"first_event"
NEXT_REQUEST = b"next_request"
NEXT_DESTINATION = b"next_destination"
NEXT_HISTORY = b"next_history"


def standing(value: Standing) -> bytes:
    """Name the count of instances of one standing."""
    return b"instances." + value.encode()


def queue_rows(destination: int, state: DeliveryState) -> bytes:
    """Name the count of one destination's deliveries in one state (committed ones: ever, but those taken back)."""
    return b"rows." + u32_key(destination) + bytes([state])


def queue_bytes(destination: int, state: DeliveryState) -> bytes:
    """Name the bytes of one destination's deliveries in one state."""
    return b"bytes." + u32_key(destination) + bytes([state])


def taken_back(destination: int) -> bytes:
    """Name the count of one destination's deliveries that were committed and are not any more: ever."""
    return b"taken_back." + u32_key(destination)
