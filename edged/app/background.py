"""Background jobs that outlive a failed store: the box stops acknowledging, says so, and goes on serving what it can.

A job runs for ever by itself; when the store fails under it, a condition says so and the job begins again later. Any
other exception ends the process: systemd restarts it, and nothing is lost (DESIGN §1.10).
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from edged.store.errors import StoreError, StoreFailed
from edged.telemetry.conditions import Conditions, Severity

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


def _first(group: BaseExceptionGroup[StoreError]) -> StoreError:
    error: StoreError | BaseExceptionGroup[StoreError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
