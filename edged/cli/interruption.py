"""Running a command's work so that Ctrl-C or SIGTERM ends it without a traceback, and so does a reader that leaves.

The work is cancelled and its blocks end in order; what to say then, and with which exit status, is the command's part.
"""

import errno
import os
import signal
from collections.abc import Awaitable, Callable

import trio

from edged.upstream.beside import beside


def run_interruptible(work: Callable[[], Awaitable[None]]) -> bool:
    """Do `work` in an event loop of its own; return True when a signal cut it short.

    Raises what `work` raises, and BrokenPipeError alone where nobody reads the output any more: click ends on it.
    """
    try:
        return trio.run(_interruptible, work, strict_exception_groups=True)
    except ExceptionGroup as group:
        if group.subgroup(BrokenPipeError) is not None:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        raise


async def _interruptible(work: Callable[[], Awaitable[None]]) -> bool:
    interrupted = False

    async def watch(everything: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal interrupted
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                interrupted = True
                everything.cancel()

    async with beside() as nursery:
        await nursery.start(watch, nursery.cancel_scope)
        await work()
    return interrupted


def leaves(error: BaseException) -> list[BaseException]:
    """Return what a group of exceptions consists of in the end."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in leaves(inner)]
