"""Background jobs that outlive a failed store: the box stops acknowledging, says so, and goes on serving what it can.

A job runs for ever by itself; when a StoreError comes out of it, it begins again later. One that is of no use to a
store that cannot write ends with the first failure: what could not be recorded as sent would be sent again and again.
Any other exception ends the process: systemd restarts it, and nothing is lost (DESIGN §1.10).
"""

import logging
from collections.abc import Awaitable, Callable

import trio
from msgspec import structs

from edged.store.errors import StoreError, StoreFailed
from edged.store.failure import Failure
from edged.telemetry.conditions import Conditions, Severity
from edged.telemetry.live import DestinationState, Live

log = logging.getLogger(__name__)

AGAIN_S = 30.0
STORE_FAILED = "store-failed"


async def keep_going(job: Callable[[], Awaitable[None]], conditions: Conditions) -> None:
    """Run a job until cancelled; a StoreError is a condition and a pause."""
    while True:
        try:
            await job()
        except* StoreError as group:
            error = _first(group)
            log.info("a background job stopped: %s", error)
            if isinstance(error, StoreFailed):
                conditions.raise_(STORE_FAILED, Severity.CRITICAL, str(error))
        await trio.sleep(AGAIN_S)


async def while_it_writes(
    job: Callable[[], Awaitable[None]], failure: Failure, *, then: Callable[[], None] | None = None
) -> None:
    """Run a job until cancelled, but no longer than its store can write; `then` is called when it ends for that."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(job)
        await failure.wait()
        nursery.cancel_scope.cancel()
    if then is not None:
        then()
    await trio.sleep_forever()


def tell_paused(live: Live) -> None:
    """Say of every destination that nothing is forwarded to it."""
    for name, destination in live.destinations.items():
        live.publish_destination(name, structs.replace(destination, state=DestinationState.PAUSED))


def tell_failure(conditions: Conditions, text: str) -> None:
    """Say that the store has failed."""
    log.error("%s", text)
    conditions.raise_(STORE_FAILED, Severity.CRITICAL, text)


def _first(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error: StoreError | BaseExceptionGroup[StoreError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
