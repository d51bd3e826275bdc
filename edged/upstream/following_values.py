"""The values of following an event stream: what is asked for, what comes, and why a connection is not there.

Values only, and the two things that whoever follows gives: a function that takes reports, and a watcher.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from urllib.parse import quote, urlencode

from edged.dicomweb.event_reading import EventReport
from edged.telemetry.live import Phase
from edged.upstream.credentials import Credentials, Fields
from edged.upstream.endpoint import Endpoint, EndpointError
from edged.upstream.redaction import Redactor
from edged.upstream.transport import Transport

NOT_OFFERED = frozenset(
    {
        HTTPStatus.OK,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
        HTTPStatus.UPGRADE_REQUIRED,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
"""What a service answers to an opening handshake that has no notifications, or none there."""

_SCHEMES = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for: events after the number `after`, or from now on; `name`: as this requester, from its place.

    `kinds` are those that are told, all if there are none; `each`: every event in a report of its own. Other servers
    than edged look at the name alone, if at that (PS3.18 8.10.4.1, CP-1871).
    """

    after: int | None = None
    name: str = ""
    kinds: tuple[str, ...] = ()
    each: bool = False

    @property
    def whole(self) -> bool:
        """Whether the numbers of what comes follow one another."""
        return not self.kinds

    def resource(self, after: int | None) -> str:
        """Return path and query below the Base URI."""
        path = f"/subscribers/{quote(self.name, safe='')}" if self.name else "/"
        query = {
            "after": "" if after is None else str(after),
            "kinds": ",".join(self.kinds),
            "granularity": "instance" if self.each else "",
            "acknowledge": "yes" if self.name else "",
        }
        said = urlencode({name: value for name, value in query.items() if value}, safe=",")
        return f"{path}?{said}" if said else path


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stream comes from: `dial` connects, over HTTP/1.1, and raises NoAnswer.

    `credentials` are asked for with each connection; what they are `redactor` learns.
    """

    endpoint: Endpoint
    dial: Callable[[], Awaitable[Transport]]
    credentials: Credentials
    redactor: Redactor
    headers: Fields = ()


@dataclass(frozen=True, slots=True)
class Followed:
    """A report as it came, and the numbers before it, first and last, that no report has told: a gap."""

    report: EventReport
    message: str | bytes
    missing: tuple[int, int] | None = None


class Trouble(Exception):
    """Why there is no connection: `status` is what was answered instead, `code` how an open one was closed.

    `text` names host and port, never credentials. `not_before_s` is how long the server wants to be left alone.
    """

    def __init__(
        self,
        phase: Phase,
        text: str,
        *,
        status: int | None = None,
        code: int | None = None,
        not_before_s: float | None = None,
    ) -> None:
        super().__init__(text)
        self.phase = phase
        self.text = text
        self.status = status
        self.code = code
        self.not_before_s = not_before_s

    @property
    def not_offered(self) -> bool:
        """Whether there are no notifications there."""
        return self.status in NOT_OFFERED


Take = Callable[[Followed], Awaitable[None]]
"""Takes a report; once it has returned, the report is acknowledged. What it raises ends the following."""


class Watcher(Protocol):
    """Who is told how the connection is; what it raises ends the following."""

    def connected(self, *, resumed: bool) -> None:
        """Take that reports come; `resumed` is False where what has happened before is not told."""

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        """Take why none come, and in how many seconds it is tried again."""

    def unreadable(self, text: str) -> None:
        """Take why a message was refused: it is no report that can be read."""


def endpoint_of(url: str) -> Endpoint:
    """Return where a URL leads, which may begin with ws:// or wss:// too. Raises EndpointError. Source: RFC 6455 3."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise EndpointError(f"not a URL: {url!r}")
    return Endpoint.parse(f"{_SCHEMES.get(scheme, scheme)}:{rest}")
