"""One HTTP exchange in ASGI terms: what was asked, read lazily; what is answered, whole or streamed.

A body that breaks off is `ClientGone`, never its end: half a request must not look like a short one. It comes here as
it was sent; `bodies` undoes its content coding.
"""

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import trio
from msgspec import Struct

from edged.dicomweb.negotiation import Wishes, wishes_of
from edged.dicomweb.resources import Route
from edged.http.forwarded import NOTHING_SAID, Forwarded
from edged.http.problem import Problem, render
from edged.http.query import Query
from edged.http.ranges import Piece
from edged.origin.audit import Outcome
from edged.origin.requester import NOBODY, Requester
from edged.origin.room import Memory
from edged.telemetry.request import current_request_id

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[str, str], ...]

SKIP_BYTES = 64 << 10
SKIP_WITHIN_S = 1.0
BEGINNING_BYTES = 1024
"""What of an unwanted body is read on so that its connection can be kept: reading more costs more than a new one."""

OUTCOME_BYTES = 200
"""What an outcome takes that the audit log gets to know when the answer has gone out."""

NO_QUERY = Query()

_WITHOUT_LENGTH = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_MOST_DIGITS = 30


class ClientGone(Exception):
    """The connection ended before the request did."""


class Refusal(Exception):
    """A request that is answered with a Status Report (PS3.18 8.6.3)."""

    def __init__(self, problem: Problem, headers: Headers = ()) -> None:
        super().__init__(problem.detail)
        self.problem = problem
        self.headers = headers


class Reply(Struct, frozen=True):
    """An answer; a streamed body gives exactly the bytes that `content-length` says."""

    status: HTTPStatus
    headers: Headers = ()
    body: bytes | Callable[[], AsyncGenerator[Piece, None]] = b""


@dataclass(slots=True)
class Request:
    """A request below the service's base URI, and what is found out about it on its way to its handler.

    `path` is as it was sent, "" outside of the base path; `base_url` is without a slash at its end. `said` is what
    trusted proxies told, `params` are the variables of the path. `query` has the parameters that the resource knows;
    `ignored` names the others. A handler leaves in `outcomes` what the audit log gets to know. From `memory` it takes
    room for what it holds as a whole.
    """

    scope: Scope
    receive: Receive
    path: str
    base_url: str
    said: Forwarded = NOTHING_SAID
    route: Route | None = None
    params: dict[str, str] = field(default_factory=dict)
    query: Query = NO_QUERY
    ignored: tuple[str, ...] = ()
    requester: Requester = NOBODY
    outcomes: tuple[Outcome, ...] = ()
    memory: Memory = field(init=False, repr=False)
    _headers: dict[str, str] = field(default_factory=dict)
    _taken: int = 0
    _ended: bool = False

    def __post_init__(self) -> None:
        for raw_name, raw_value in self.scope["headers"]:
            name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
            self._headers[name] = f"{self._headers[name]}, {value}" if name in self._headers else value

    def header(self, name: str) -> str | None:
        """Return a header field's value by its lower-case name; several are joined by commas."""
        return self._headers.get(name)

    @property
    def fields(self) -> Mapping[str, str]:
        """The header fields by lower-case name."""
        return self._headers

    @property
    def header_names(self) -> Collection[str]:
        """The names of all header fields, in lower case."""
        return self._headers.keys()

    @property
    def wishes(self) -> Wishes:
        """What the answer may look like."""
        return wishes_of(self._headers, self.query)

    @property
    def content_length(self) -> int | None:
        """The announced length of the body in bytes."""
        value = self.header("content-length") or ""
        return int(value[:_MOST_DIGITS]) if value.isascii() and value.isdigit() else None

    def held_bytes(self, body: bytes) -> int:
        """Return what the request keeps in memory while this answer goes out."""
        return len(body) + OUTCOME_BYTES * len(self.outcomes)

    async def body(self) -> AsyncGenerator[bytes, None]:
        """Yield the body as it arrives; raises ClientGone."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ClientGone
            more = message.get("more_body", False)
            self._ended = not more
            if message.get("body"):
                self._taken += len(message["body"])
                yield message["body"]

    async def skip(self) -> None:
        """Drop what is left of the body if that is little and comes soon; then the connection serves a next request."""
        announced = self.content_length
        if self._ended or self.header("expect") is not None:
            return
        if announced is None and self.header("transfer-encoding") is None:
            return
        most = self._taken + SKIP_BYTES
        if announced is not None and announced > most:
            return
        with trio.move_on_after(SKIP_WITHIN_S), suppress(ClientGone):
            async with aclosing(self.body()) as pieces:
                async for _ in pieces:
                    if self._taken > most:
                        return


def refusal(status: HTTPStatus, detail: str, *, temporary: bool = False, retry_after: int | None = None) -> Refusal:
    """Make the Refusal that says this."""
    return Refusal(Problem(status=status, detail=detail, temporary=temporary, retry_after=retry_after))


def report(problem: Problem, accept: str | None, headers: Headers = ()) -> Reply:
    """Render a Status Report for whoever asked."""
    rendered = render(problem, accept, current_request_id() or None)
    return Reply(rendered.status, rendered.headers + headers, rendered.body)


async def answer(reply: Reply, scope: Scope, send: Send) -> None:
    """Send an answer; a HEAD gets the head alone.

    What a streamed body begins with is there before the head goes, so that what cannot be read at all can still be
    answered in another way: whatever the body raises until then is raised before anything was sent.
    """
    headers = list(reply.headers)
    counted = reply.status in _WITHOUT_LENGTH or any(name == "content-length" for name, _ in headers)
    if isinstance(reply.body, bytes) and not counted:
        headers.append(("content-length", str(len(reply.body))))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    start = {"type": "http.response.start", "status": int(reply.status), "headers": raw}
    if isinstance(reply.body, bytes) or scope["method"] == "HEAD":
        await send(start)
        body = reply.body if isinstance(reply.body, bytes) and scope["method"] != "HEAD" else b""
        await send({"type": "http.response.body", "body": body})
        return
    async with aclosing(reply.body()) as pieces:
        beginning = await _beginning(pieces)
        await send(start)
        while beginning:
            await send({"type": "http.response.body", "body": bytes(beginning.popleft()), "more_body": True})
        async for piece in pieces:
            await send({"type": "http.response.body", "body": bytes(piece), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _beginning(pieces: AsyncGenerator[Piece, None]) -> deque[Piece]:
    """Take pieces until more than the head of a part is there; the small ones are joined, a large one is not copied."""
    small = bytearray()
    async for piece in pieces:
        if len(piece) > BEGINNING_BYTES:
            return deque((bytes(small), piece) if small else (piece,))
        small += piece
        if len(small) > BEGINNING_BYTES:
            break
    return deque((bytes(small),))
