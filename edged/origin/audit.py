"""The audit log: who asked for what, of which UIDs, and what came of it; one line of JSON each.

What may live here: the making of the lines and the file that they go to. Strategy: `note` never waits; lines wait in a
bounded queue for a worker thread, one at a time; a write that hangs is left behind and taken up again, so that it
ends before the next begins and nothing stands there twice. Invariants: the file and its predecessor are bounded; what
could not be kept is counted, and the count is the next line; a line is whole or not there; a request's lines are taken
all or none, all as long as the queue is below its bound; strangers cannot push the log out by being refused. Lines are
not flushed to the disk one by one: a power cut may cost the last seconds of them. No patient data unless the settings
want it: only UIDs are taken from a request, and nothing that is not of their form.
"""

import logging
import os
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from pathlib import Path

import msgspec
import trio

from edged.config import Access
from edged.config.choices import Role
from edged.origin.requester import Requester
from edged.origin.throttle import Throttle
from edged.telemetry.clock import Clock
from edged.telemetry.conditions import Conditions, Severity

log = logging.getLogger(__name__)

FILE = "audit.log"
OLDER = "audit.log.1"
FAILED = "audit-log-failed"
WAITING_BYTES = 1 << 20
WRITE_BYTES = 64 << 10
INSTANCES_PER_LINE = 100
GATHER_S = 0.2
"""A thread for each line costs as much as a small request."""
AGAIN_S = 10.0
LAST_S = 2.0
"""What the lines of the last moment get at shutdown."""

_UID = re.compile(r"[0-9.]{1,64}")
_NOT_A_UID = "not a UID"
_LONGEST = 128
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one instance of a request: "stored", a Failure Reason, or what else its service says."""

    instance: str
    outcome: str
    patient: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One request; `resource` is the name of its route, "" if there is none, and the UIDs are those of its path.

    `status` is None when the answer did not go out whole. `forwarded_malformed`: what a trusted proxy told of where it
    came from could not be used, so that `address` is the proxy's.
    """

    request: str
    requester: Requester
    address: str
    method: str
    resource: str
    status: HTTPStatus | None
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    transaction: str | None = None
    instances: tuple[Outcome, ...] = ()
    forwarded_malformed: bool = False


class _Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line as it is written; `clock` stands there when the time cannot be believed."""

    time: str
    clock: str | None = None
    request: str | None = None
    who: str | None = None
    proof: str | None = None
    address: str | None = None
    forwarded: str | None = None
    method: str | None = None
    resource: str | None = None
    study: str | None = None
    series: str | None = None
    instance: str | None = None
    transaction: str | None = None
    instances: tuple[Outcome, ...] = ()
    status: int | None = None
    lost: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Batch:
    """What is written at once: `lines` of the queue, and the counts that its last line tells."""

    octets: bytes
    lines: int
    lost: int
    refused: int
    written: bool = False

    def write(self, path: Path, limit_bytes: int) -> None:
        """Append it to the file, the first time; blocks. Raises OSError."""
        if not self.written:
            append(path, self.octets, limit_bytes)
            self.written = True


def is_audited(roles: frozenset[Role], status: HTTPStatus | None) -> bool:
    """Return whether a request is noted: what is refused, and whatever not everybody who monitors may do.

    `roles` are those of its route, of which none or monitor means a mere look at how the box is.
    """
    return status in _REFUSED or (bool(roles) and Role.MONITOR not in roles and status != HTTPStatus.TOO_MANY_REQUESTS)


class Audit:
    """The audit log of one box."""

    def __init__(self, folder: Path, access: Access, *, clock: Clock, conditions: Conditions) -> None:
        """Write into `folder`, as the settings say."""
        self._path = folder / FILE
        self._access = access
        self._clock = clock
        self._conditions = conditions
        self._refusals = Throttle(clock.monotonic)
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._refused = 0
        self._some = trio.Event()
        self._batch: _Batch | None = None  # under way, or left behind
        self._one = trio.CapacityLimiter(1)

    def note(self, entry: Entry) -> None:
        """Have a request written down, whole; if the queue is full its lines are counted instead."""
        if not self._access.audit:
            return
        if entry.status in _REFUSED and self._refusals.failed(entry.address):
            self._refused += 1
            return
        starts = range(0, max(1, len(entry.instances)), INSTANCES_PER_LINE)
        if self._waiting_bytes >= WAITING_BYTES:
            self._lost += len(starts)
            return
        for start in starts:
            instances = tuple(map(self._seemly, entry.instances[start : start + INSTANCES_PER_LINE]))
            self._queue(self._line(entry, instances))

    async def keep(self) -> None:
        """Write what was noted, for ever; when cancelled, what is left."""
        try:
            while True:
                await self._some.wait()
                if self._waiting_bytes < WRITE_BYTES:
                    await trio.sleep(GATHER_S)
                if not await self._write():
                    await trio.sleep(AGAIN_S)
        finally:
            with trio.move_on_after(LAST_S, shield=True):
                while (self._waiting or self._lost or self._refused) and await self._write():
                    pass

    def _seemly(self, outcome: Outcome) -> Outcome:
        patient = outcome.patient[:_LONGEST] if self._access.audit_patient and outcome.patient else None
        return Outcome(_uid(outcome.instance) or _NOT_A_UID, outcome.outcome[:_LONGEST], patient)

    def _line(self, entry: Entry, instances: tuple[Outcome, ...]) -> _Line:
        return _Line(
            time=self._now(),
            clock=self._mark(),
            request=entry.request,
            who=entry.requester.name,
            proof=entry.requester.proof.value,
            address=entry.address[:_LONGEST],
            forwarded="malformed" if entry.forwarded_malformed else None,
            method=entry.method[:_LONGEST],
            resource=entry.resource,
            study=_uid(entry.study),
            series=_uid(entry.series),
            instance=_uid(entry.instance),
            transaction=_uid(entry.transaction),
            instances=instances,
            status=None if entry.status is None else int(entry.status),
        )

    def _queue(self, line: _Line) -> None:
        octets = msgspec.json.encode(line) + b"\n"
        self._waiting.append(octets)
        self._waiting_bytes += len(octets)
        self._some.set()

    def _next(self) -> _Batch:
        """What to write now."""
        octets, lines = bytearray(), 0
        for line in self._waiting:
            if octets and len(octets) + len(line) > WRITE_BYTES:
                break
            octets += line
            lines += 1
        if self._lost or self._refused:
            counts = _Line(time=self._now(), clock=self._mark(), lost=self._lost, refused=self._refused)
            octets += msgspec.json.encode(counts) + b"\n"
        return _Batch(bytes(octets), lines, self._lost, self._refused)

    async def _write(self) -> bool:
        """Write some of the queue; whether that went well. What was not written stays there."""
        batch = self._batch = self._batch or self._next()
        write = partial(batch.write, self._path, self._access.audit_size_bytes)
        try:
            await trio.to_thread.run_sync(write, abandon_on_cancel=True, limiter=self._one)
        except OSError as error:
            self._batch = None
            text = f"The audit log cannot be written ({error.strerror}): look at the disk of the data directory."
            if self._conditions.raise_(FAILED, Severity.WARNING, text):
                log.warning("%s", text)
            return False
        self._conditions.clear(FAILED)
        self._batch = None
        for _ in range(batch.lines):
            self._waiting_bytes -= len(self._waiting.popleft())
        self._lost -= batch.lost
        self._refused -= batch.refused
        if not self._waiting:
            self._some = trio.Event()
        return True

    def _now(self) -> str:
        second, part = divmod(self._clock.wall(), 1.0)
        return f"{_to_the_second(second)}.{int(part * 1000):03d}+00:00"

    def _mark(self) -> str | None:
        return None if self._clock.trusted() else "not trusted"


def append(path: Path, octets: bytes, limit_bytes: int) -> None:
    """Append whole lines to a file, all or nothing; a file that would grow beyond the limit becomes the older one.

    Blocks. Raises OSError. It is opened anew each time, so that somebody may move it away.
    """
    size = path.stat().st_size if path.exists() else 0
    if size and size + len(octets) > limit_bytes:
        path.replace(path.with_name(OLDER))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        before = os.fstat(descriptor).st_size
        if before and os.pread(descriptor, 1, before - 1) != b"\n":  # power went in the middle of a line
            octets = b"\n" + octets
        try:
            left = memoryview(octets)
            while left:
                left = left[os.write(descriptor, left) :]
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _to_the_second(seconds: float) -> str:
    """Return the time of day in UTC; what happens at once happens within a second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _uid(text: str | None) -> str | None:
    return text if text is None or _UID.fullmatch(text) else _NOT_A_UID
