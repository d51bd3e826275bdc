"""What the tests of following share: a source over any connector, a watcher that notes, a server in memory.

`reports` makes event reports as a box writes them. A `Script` is what one connection of a server does; `in_memory`
gives the source of a server that follows one script after the other, the last one for ever.
"""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, wrap_server_stream

from edged.config import Auth
from edged.dicomweb.event_report import EventHead, EventInstance, EventKind, instances_event
from edged.dicomweb.representation import DICOM_JSON, write_data_set
from edged.upstream.credentials import Credentials, FromFiles
from edged.upstream.dial import Connector, Timeouts
from edged.upstream.endpoint import Endpoint
from edged.upstream.following import follow
from edged.upstream.following_values import Followed, Source, Trouble, Wish
from edged.upstream.redaction import Redactor
from tests.support.memory_wire import Half, connector
from tests.support.trio_clock import TrioClock

ENDPOINT = Endpoint("http", "archive.example", 80, "/dicom-web")
NOBODY = FromFiles(Auth())

Script = Callable[[Half], Awaitable[None]]


class Enough(Exception):
    """What a test wanted to see has come."""


@dataclass(slots=True)
class Seen:
    """Takes reports and watches; raises Enough after so many of one of them."""

    reports: int = 0
    troubles: int = 0
    followed: list[Followed] = field(default_factory=list)
    lost_: list[tuple[Trouble, float]] = field(default_factory=list)
    connections: list[bool] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    async def take(self, followed: Followed) -> None:
        await trio.lowlevel.checkpoint()
        if self.reports and len(self.followed) == self.reports:
            raise Enough
        self.followed.append(followed)

    def connected(self, *, resumed: bool) -> None:
        self.connections.append(resumed)

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        self.lost_.append((trouble, again_in_s))
        if self.troubles and len(self.lost_) == self.troubles:
            raise Enough

    def unreadable(self, text: str) -> None:
        self.refused.append(text)

    @property
    def numbers(self) -> list[tuple[int | None, int | None]]:
        return [(each.report.first, each.report.last) for each in self.followed]

    async def see(self, source: Source, wish: Wish | None = None) -> None:
        """Follow until it is enough."""
        try:
            await follow(source, wish or Wish(), self.take, watcher=self, clock=TrioClock())
        except Enough:
            return


def source_of(connect: Connector, endpoint: Endpoint = ENDPOINT, credentials: Credentials = NOBODY) -> Source:
    """A source that connects in some way, without TLS."""
    context: ssl.SSLContext | None = None
    return Source(endpoint, lambda: connect(endpoint, context, Timeouts()), credentials, Redactor())


def report(first: int, last: int | None = None, *, resume: int | None = None) -> str:
    """A report of some events as a box writes it; of the last of its window unless `resume` says otherwise."""
    last = first if last is None else last
    head = EventHead(EventKind.RECEIVED, last=last, first=first, resume=last if resume is None else resume)
    instance = EventInstance("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.2", f"1.2.3.4.{first}", "EDGED")
    return write_data_set(instances_event(head, [instance]), DICOM_JSON).body.decode()


@asynccontextmanager
async def in_memory(*scripts: Script) -> AsyncIterator[Source]:
    """A server that does one script for each connection."""
    left = list(scripts)

    async def serve(half: Half) -> None:
        script = left.pop(0) if len(left) > 1 else left[0]
        await script(half)

    async with trio.open_nursery() as nursery:
        yield source_of(connector(nursery, serve))
        nursery.cancel_scope.cancel()


@dataclass(slots=True)
class Talk:
    """A script of a server that accepts, sends messages, and notes what it is told; it then closes, if it has a code.

    `content_type`: whether it knows CP-1871. It goes on when all is acknowledged, where that can be.
    """

    messages: Sequence[str | bytes]
    content_type: bool = True
    code: int | None = None
    newest: int | None = None
    asked: list[WebSocketRequest] = field(default_factory=list)
    told: list[str | bytes] = field(default_factory=list)

    async def __call__(self, half: Half) -> None:
        async with trio.open_nursery() as nursery:
            request = await wrap_server_stream(nursery, half)
            self.asked.append(request)
            headers = [(b"content-type", b"application/dicom+json")] if self.content_type else []
            if self.newest is not None:
                headers.append((b"Edged-Event", b"%d" % self.newest))
            session = await request.accept(extra_headers=headers)
            try:
                await self._talk(session)
            except ConnectionClosed:
                return

    async def _talk(self, session: WebSocketConnection) -> None:
        for message in self.messages:
            await session.send_message(message)
            if self.content_type:
                self.told.append(await session.get_message())
        if self.code is not None:
            await session.aclose(self.code, "that was all")
        self.told.append(await session.get_message())

    @property
    def resources(self) -> list[str]:
        return [each.path for each in self.asked]


def octets(answer: bytes, *, then_wait: bool = False) -> Script:
    """A script that reads the request's head and answers some octets, and then closes or waits."""

    async def script(half: Half) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await half.receive_some() or b"\r\n\r\n"
        if answer:
            await half.send_all(answer)
        if then_wait:
            await trio.sleep_forever()
        await half.aclose()

    return script


def refusing(status: int, headers: str = "", body: str = "") -> Script:
    """A script that refuses the handshake."""
    return octets(f"HTTP/1.1 {status} No\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode())


def status_report(acknowledgement: str | bytes) -> dict[str, str]:
    """What a negative acknowledgement says."""
    assert isinstance(acknowledgement, bytes)
    line, _, said = acknowledgement.partition(b"\r\n")
    assert line == b"failure application/problem+json"
    read: dict[str, str] = json.loads(said)
    return read
