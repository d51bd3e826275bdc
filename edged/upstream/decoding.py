"""Running the process that decompresses an instance (`services/transcode_worker`), and what its end means.

The process ends with who waits for it. What it says against the instance is for good; that it was ended from outside,
or that the machine failed it, says nothing of the instance: the same is tried again.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from signal import SIGABRT, SIGFPE, SIGILL, SIGSEGV, SIGXCPU, Signals
from subprocess import DEVNULL, PIPE
from typing import IO

import trio

from edged.services.transcode_worker import Ended

_KEPT = ("PATH", "PYTHONPATH", "HOME", "LANG")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_CRASHES = {-each for each in (SIGSEGV, SIGABRT, SIGILL, SIGFPE)}
_LINE_BYTES = 1000


class CannotTranscode(Exception):
    """Why an instance leaves in no other form; for people."""


class NotTranscoded(Exception):
    """Why an instance was not decompressed this time; it says nothing of the instance. For people."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of the process: memory that is its own, and seconds of the processor.

    The memory and the daemon's 200 MB fit into MemoryMax of the unit. The interpreter and the decoders take some 90 MB.
    """

    memory_bytes: int = 512 << 20
    processor_s: int = 1800


LIMITS = Limits()


async def decompress(
    source: IO[bytes], out: IO[bytes], *, limits: Limits, allow: Callable[[int], Awaitable[None]]
) -> None:
    """Have a process decompress `source` into `out`; before it writes, `allow` is told how many bytes it will be.

    Raises CannotTranscode, NotTranscoded, and what `allow` raises.
    """
    descriptors = (source.fileno(), out.fileno())
    arguments = [sys.executable, "-P", "-W", "ignore", "-m", "edged.services.transcode_worker"]
    arguments += [str(each) for each in (*descriptors, limits.memory_bytes, limits.processor_s)]
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ} | _ONE_THREAD
    run = partial(
        trio.run_process, arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, check=False, pass_fds=descriptors
    )
    try:
        async with trio.open_nursery() as nursery:
            process: trio.Process = await nursery.start(partial(run, env=environment, deliver_cancel=_kill))
            said = await _talk(process, allow)
    except ExceptionGroup as group:
        raise _what_counts(group) from None
    _require_done(process.returncode, said.decode(errors="replace"), limits)


async def _talk(process: trio.Process, allow: Callable[[int], Awaitable[None]]) -> bytes:
    """Return the last that it says."""
    assert process.stdin is not None
    assert process.stdout is not None
    async with process.stdin, process.stdout:
        said = await _line(process.stdout)
        if said.isdigit():
            await allow(int(said))
            with suppress(trio.BrokenResourceError):  # it has ended: how, its status says
                await process.stdin.send_all(b"\n")
            said = await _line(process.stdout)
    return said


async def _line(stream: trio.abc.ReceiveStream) -> bytes:
    """What it says next, at most one short line of it; empty at its end."""
    said = bytearray()
    while len(said) < _LINE_BYTES and not said.endswith(b"\n"):
        more = await stream.receive_some(_LINE_BYTES)
        if not more:
            break
        said += more
    return bytes(said).strip()


async def _kill(process: trio.Process) -> None:
    process.kill()


def _what_counts(group: ExceptionGroup[Exception]) -> Exception:
    error = group.exceptions[0]
    if isinstance(error, ExceptionGroup):
        return _what_counts(error)
    return NotTranscoded(f"the decoders could not be started: {error}") if isinstance(error, OSError) else error


def _require_done(status: int | None, said: str, limits: Limits) -> None:
    match status:
        case Ended.DONE:
            return
        case Ended.CANNOT:
            raise CannotTranscode(said or "it could not be decompressed")
        case Ended.NO_MEMORY:
            raise CannotTranscode(f"decompressing it takes more than {limits.memory_bytes >> 20} MiB of memory")
        case Ended.UNREADABLE:
            raise CannotTranscode("the decoders do not understand its pixel data")
        case Ended.UNDONE:
            raise NotTranscoded("the decoders met an error of the disk")
        case _ if status == -SIGXCPU:
            raise CannotTranscode(f"decompressing it takes more than {limits.processor_s} s of the processor")
        case _ if status in _CRASHES:
            raise CannotTranscode(f"the decoder was ended by {Signals(-status).name}")
        case _ if status is not None and status < 0:
            raise NotTranscoded(f"the decoders were ended by {Signals(-status).name}")
        case _:
            raise NotTranscoded(f"the decoders ended with status {status}")
