"""A task that runs beside a block and ends with it.

One helper: the nursery whose only child serves the block. When the block ends the child is cancelled; when either fails
the other is cancelled and that one exception comes out bare, so that callers catch `NoAnswer` and not a group of one.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def beside(task: Callable[[], Awaitable[None]] | None = None) -> AsyncGenerator[trio.Nursery, None]:
    """Run `task` while the block runs; the first failure of either is raised as it is."""
    try:
        async with trio.open_nursery() as nursery:
            if task is not None:
                nursery.start_soon(task)
            yield nursery
            nursery.cancel_scope.cancel()
    except ExceptionGroup as group:
        first = group.exceptions[0]
        raise first from first.__cause__
