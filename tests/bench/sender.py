"""One process of the load generator: `python -m tests.bench.sender`, driven by its standard input.

It reads a job as one line of JSON, opens the connections, makes every request ready, says `ready`, waits for a line,
sends, and prints when it began and ended. Each connection is a thread with a blocking socket (or TLS, or h2). The
pixels are one buffer that all instances share; of an instance only the head is its own. An answer other than 200 ends
it with 1.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from tests.bench.wire import Body, Protocol, SendError, connect

BOUNDARY = b"4f1c9d2ab07e4c6f9d35a8e1b2c7d604"
"""As long as what clients make of a UUID: a longer one is found faster."""
_PART = b"--%b\r\nContent-Type: application/dicom\r\n\r\n" % BOUNDARY
_END = b"--%b--\r\n" % BOUNDARY
STUDY_INSTANCES = 100


@dataclass(frozen=True, slots=True)
class Job:
    """What one sender does: `requests` on each of `connections`, with `per_request` instances in each.

    `head` is hexadecimal; `run` makes its UIDs new (10 digits), `first` is the number of its first instance.
    """

    port: int
    path: str
    protocol: Protocol
    chunked: bool
    connections: int
    requests: int
    per_request: int
    head: str
    placeholders: tuple[str, str, str]
    block_bytes: int
    blocks: int
    run: int
    first: int

    def to_line(self) -> str:
        """Write it for the other process."""
        return json.dumps(asdict(self)) + "\n"


class Maker:
    """Makes the bodies of a job; what is shared is made once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._pieces = _split(bytes.fromhex(job.head), [each.encode() for each in job.placeholders])
        self._pixels = [memoryview(os.urandom(job.block_bytes))] * job.blocks

    def bodies(self, connection: int) -> Iterator[Body]:
        """Yield the bodies that one connection sends."""
        first = self._job.first + connection * self._job.requests * self._job.per_request
        for at in range(first, first + self._job.requests * self._job.per_request, self._job.per_request):
            yield Body(
                [piece for number in range(at, at + self._job.per_request) for piece in self._part(number)] + [_END]
            )

    def _part(self, number: int) -> list[bytes | memoryview]:
        study = number // STUDY_INSTANCES
        uids = {0: self._uid(1, number), 1: self._uid(2, study), 2: self._uid(3, study)}
        head = b"".join(piece if isinstance(piece, bytes) else uids[piece] for piece in self._pieces)
        return [_PART + head, *self._pixels, b"\r\n"]

    def _uid(self, kind: int, number: int) -> bytes:
        return b"2.25.%d%010d%07d" % (kind, self._job.run, number)


def _split(head: bytes, placeholders: list[bytes]) -> list[bytes | int]:
    """Cut a template at its placeholders, each of which becomes its index."""
    pieces: list[bytes | int] = [head]
    for index, placeholder in enumerate(placeholders):
        cut: list[bytes | int] = []
        for piece in pieces:
            if isinstance(piece, int):
                cut.append(piece)
                continue
            for between in piece.split(placeholder):
                cut += [between, index]
            del cut[-1]
        pieces = cut
    return pieces


def _connection(job: Job, bodies: list[Body], start: threading.Barrier) -> Callable[[], tuple[float, float]]:
    wire = connect(job.protocol, job.port, chunked=job.chunked)

    def work() -> tuple[float, float]:
        try:
            start.wait()
            began = time.monotonic()
            for body in bodies:
                wire.post(job.path, BOUNDARY, body)
            return began, time.monotonic()
        finally:
            wire.close()

    return work


def main() -> None:
    """Run one job."""
    told = json.loads(sys.stdin.readline())
    job = Job(**{**told, "protocol": Protocol(told["protocol"])})
    maker, start = Maker(job), threading.Barrier(job.connections + 1)
    works = [_connection(job, list(maker.bodies(number)), start) for number in range(job.connections)]
    with ThreadPoolExecutor(job.connections) as pool:
        futures = [pool.submit(work) for work in works]
        print("ready", flush=True)
        sys.stdin.readline()
        start.wait()
        times = [future.result() for future in futures]
    print(json.dumps([min(began for began, _ in times), max(ended for _, ended in times)]), flush=True)


if __name__ == "__main__":
    try:
        main()
    except (SendError, OSError) as error:
        sys.exit(f"the sender failed: {error!r}")
