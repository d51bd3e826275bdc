"""Followers as processes of their own, that can be killed for real, and the one process that they are forked from.

`python -m tests.support.notifying.nest` reads one line of JSON for each life from its standard input, forks a process
that follows, and says its number. A fork costs nothing, where an interpreter costs half a second. What a follower takes
it writes to its book, a file of lines, before it acknowledges: a kill loses nothing that was written.
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from edged.dicomweb.event_reading import EventReport, read_event_report
from edged.telemetry.clock import SystemClock
from edged.upstream import following
from edged.upstream.dial import Timeouts, dial
from edged.upstream.endpoint import Endpoint
from edged.upstream.following_values import Followed, Source, Trouble, Wish
from edged.upstream.redaction import Redactor
from edged.upstream.retry import Pace
from tests.support.following_kit import NOBODY

SOON = Pace(base_s=0.05, cap_s=0.3)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a book: a connection that opened, or a report that was taken then."""

    at: float
    report: EventReport | None


class Writer:
    """One life of a follower; also the watcher of its following."""

    def __init__(self, book: Path) -> None:
        self._file = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.write("")  # the life before may have died in the middle of a line

    def write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())

    async def take(self, followed: Followed) -> None:
        """Take a report."""
        await trio.lowlevel.checkpoint()
        self.write(json.dumps([time.monotonic(), followed.message]))

    def connected(self, *, resumed: bool) -> None:
        """As Watcher."""
        self.write(json.dumps([time.monotonic(), None]))

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        """As Watcher."""

    def unreadable(self, text: str) -> None:
        """As Watcher."""
        raise AssertionError(text)


def read_book(book: Path) -> list[Line]:
    """Read what was taken; half a line was not."""
    found = []
    for line in book.read_bytes().splitlines() if book.exists() else ():
        try:
            at, message = json.loads(line)
        except ValueError:
            continue
        found.append(Line(at, None if message is None else read_event_report(message.encode())))
    return found


def _live(said: dict[str, Any]) -> None:
    """Follow until killed."""
    vars(following)["PACE"] = SOON  # of this process, which ends with it
    endpoint = Endpoint.parse(said["url"])
    wish = Wish(name=said["name"], after=said["after"], kinds=tuple(said["kinds"]), each=said["each"])
    source = Source(endpoint, lambda: dial(endpoint, None, Timeouts()), NOBODY, Redactor())
    writer = Writer(Path(said["book"]))

    async def follow() -> None:
        await following.follow(source, wish, writer.take, watcher=writer, clock=SystemClock())

    trio.run(follow)


def main() -> None:
    """Fork a life for each line, until the end of the input."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that the dead are gone at once
    living = []
    while line := sys.stdin.readline():
        pid = os.fork()
        if not pid:
            os.close(sys.stdin.fileno())
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _live(json.loads(line))
            os._exit(1)
        living.append(pid)
        print(pid, flush=True)
    for pid in living[-100:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    main()
