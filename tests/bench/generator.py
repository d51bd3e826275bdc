"""The load generator as a section uses it: a load, sent by processes of four connections each, timed by themselves.

Every connection sends the same number of requests, so a load has at least the instances that were asked for. UIDs are
new in every run. What a sender says on its error output ends the bench.
"""

import json
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from subprocess import PIPE, Popen

from tests.bench.sender import Job
from tests.bench.sides import BenchError, Server
from tests.bench.template import PLACEHOLDERS, Template
from tests.bench.wire import Protocol

CONNECTIONS_EACH = 4


@dataclass(frozen=True, slots=True)
class Load:
    """At least so many instances of a template, so many a request, over so many connections."""

    template: Template
    wanted: int
    connections: int
    per_request: int
    protocol: Protocol = Protocol.HTTP1
    chunked: bool = False

    @property
    def requests(self) -> int:
        """Requests that each connection sends."""
        return -(-self.wanted // (self.connections * self.per_request))

    @property
    def instances(self) -> int:
        """Instances in all."""
        return self.requests * self.connections * self.per_request

    @property
    def size(self) -> int:
        """Bytes of all instances."""
        return self.instances * self.template.size


class Generator:
    """Senders that are ready; `send` lets them go and returns the seconds from the first byte to the last answer."""

    def __init__(self, senders: Sequence[Popen[str]]) -> None:
        self._senders = senders
        for sender in senders:
            self._line(sender)

    def send(self) -> float:
        """Send everything; returns when all is answered."""
        for sender in self._senders:
            assert sender.stdin is not None
            sender.stdin.write("\n")
            sender.stdin.flush()
        times = [json.loads(self._line(sender)) for sender in self._senders]
        return float(max(ended for _, ended in times) - min(began for began, _ in times))

    def _line(self, sender: Popen[str]) -> str:
        assert sender.stdout is not None
        line = sender.stdout.readline()
        if not line:
            raise BenchError("a sender failed")
        return line


@contextmanager
def ready(server: Server, load: Load) -> Iterator[Generator]:
    """Start the senders of a load and wait until they could send at once."""
    run = random.randrange(10**9, 10**10)
    with ExitStack() as stack:
        senders = [stack.enter_context(_sender(job)) for job in _jobs(server, load, run)]
        yield Generator(senders)


def _jobs(server: Server, load: Load, run: int) -> Iterator[Job]:
    for first in range(0, load.connections, CONNECTIONS_EACH):
        yield Job(
            port=server.port,
            path=server.path,
            protocol=load.protocol,
            chunked=load.chunked,
            connections=min(CONNECTIONS_EACH, load.connections - first),
            requests=load.requests,
            per_request=load.per_request,
            head=load.template.head.hex(),
            placeholders=astuple(PLACEHOLDERS),
            block_bytes=load.template.block_bytes,
            blocks=load.template.blocks,
            run=run,
            first=first * load.requests * load.per_request,
        )


@contextmanager
def _sender(job: Job) -> Iterator[Popen[str]]:
    with Popen([sys.executable, "-m", "tests.bench.sender"], stdin=PIPE, stdout=PIPE, text=True) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(job.to_line())
            process.stdin.flush()
            yield process
        finally:
            process.kill()
