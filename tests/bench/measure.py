"""What a server costs, read from /proc: the CPU seconds of its processes and their anonymous memory.

Both are summed over the process and its descendants; the load generator is none of them. CPU time is user and system
time with that of children that have ended, in clock ticks of 10 ms. Memory is RssAnon, sampled in a thread.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLE_S = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Peak:
    """The most anonymous memory that was seen, in MiB."""

    mib: float = 0.0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process tree has used."""
    return sum(_ticks(each) for each in _tree(pid)) / _TICKS


def anonymous_mib(pid: int) -> float:
    """Return the anonymous memory of a process tree that is in RAM, in MiB."""
    return sum(_anonymous_kib(each) for each in _tree(pid)) / 1024


@contextmanager
def peak_anonymous(pid: int) -> Iterator[Peak]:
    """Sample the anonymous memory of a process tree while the block runs."""
    peak, ended = Peak(anonymous_mib(pid)), threading.Event()

    def sample() -> None:
        while not ended.wait(SAMPLE_S):
            peak.mib = max(peak.mib, anonymous_mib(pid))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in _read(children).split():
            yield from _tree(int(child))


def _ticks(pid: int) -> int:
    """User, system, and the same of children that have ended: fields 14 to 17, counted behind the name."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _anonymous_kib(pid: int) -> int:
    found = _read(Path(f"/proc/{pid}/status")).partition("RssAnon:")[2].split()
    return int(found[0]) if found else 0


def _read(path: Path) -> str:
    """Return a file's text; of a process that has just ended, nothing."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
