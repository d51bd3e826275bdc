"""Listening to a destination's event stream, for results of storage commitment (PS3.18 8.10, PS3.4 J.3.3).

A result that comes as an event settles its request at once, by the same function as one that was asked for; what is
asked for goes on all the same, so that nothing depends on this. The box follows under its own name, so that an archive
that keeps the places of its requesters tells it what happened while it was away; not what happened before it came for
the first time. A service that does not know names, or
query parameters, is followed as the plain 8.10 has it.

Invariant: whatever goes wrong here is told as the destination's `notifications`, and holds nothing up.
"""

import re
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from itertools import cycle

import trio

from edged.config.choices import Proof
from edged.dicomweb.commitment_report import CommitmentResult, read_commitment_result
from edged.dicomweb.event_report import EventKind
from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.endpoint import Endpoint
from edged.upstream.following import follow
from edged.upstream.following_values import Followed, Source, Trouble, Wish
from edged.upstream.opening import HTTP_1_1, Opener
from edged.upstream.reaching import client_settings
from edged.upstream.service_probe import BELIEVED_S, ServiceProbe

AUTO, OFF = "auto", "off"
LISTENING = "listening"
NOT_OFFERED = "not-offered"

MOST_CHARACTERS = 64
"""Of a requester's name."""

Hear = Callable[[str, CommitmentResult], Awaitable[None]]
"""Takes the result of a transaction, by its UID."""

_ODD = re.compile(r"[^A-Za-z0-9._ -]")


class _NotThere(Exception):
    """It cannot be followed like this."""


class Listener:
    """Listens to one destination."""

    def __init__(self, destination: Destination, asking: Asking, service: ServiceProbe, *, hear: Hear) -> None:
        self._destination = destination
        self._credentials = asking.credentials
        self._service = service
        self._hear = hear

    async def listen(self) -> None:
        """Listen for ever, if the settings want it and the destination offers it."""
        settings = self._destination.settings
        if settings.notifications == OFF or Proof.DICOMWEB not in settings.commitment:
            return
        source = self._source()
        for wish in cycle(self._wishes()):
            await self._offered()
            try:
                await follow(source, wish, self.take, watcher=self, clock=self._destination.box.clock)
            except _NotThere:
                await trio.sleep(BELIEVED_S if wish == Wish() else 0)

    async def take(self, followed: Followed) -> None:
        """Take a report: what is no result of storage commitment, or none of ours, is not for the box."""
        report, message = followed.report, followed.message
        if report.kind is EventKind.COMMITMENT_RESULT and report.transaction_uid:
            result = read_commitment_result(message.encode() if isinstance(message, str) else message, None)
            if result is not None:
                await self._hear(report.transaction_uid, result)

    def connected(self, *, resumed: bool) -> None:
        """Tell that it is listened to."""
        self._destination.tell(notifications=LISTENING)

    def lost(self, trouble: Trouble, again_in_s: float) -> None:
        """Tell why it is not."""
        self._destination.tell(notifications=NOT_OFFERED if trouble.not_offered else trouble.text)
        if trouble.not_offered or trouble.status == HTTPStatus.BAD_REQUEST:
            raise _NotThere

    def unreadable(self, text: str) -> None:
        """Tell nothing: what the archive says beside does no harm."""

    async def _offered(self) -> None:
        """Wait until the destination says that it has notifications; where the settings name the service, do not."""
        while self._destination.settings.notifications == AUTO and not self._service.notifies:
            await self._service.described.next.wait()
            if not self._service.notifies:
                self._destination.tell(notifications=NOT_OFFERED)

    def _source(self) -> Source:
        destination = self._destination
        settings, client = destination.settings, client_settings(destination)
        named = settings.notifications != AUTO
        endpoint = Endpoint.parse(settings.notifications if named else settings.url)
        opener = Opener(endpoint, client.tls, client.timeouts, connector=client.connector)
        dial = partial(opener.open, HTTP_1_1)
        return Source(endpoint, dial, self._credentials, destination.redactor, settings.headers)

    def _wishes(self) -> tuple[Wish, Wish]:
        name = _ODD.sub("_", self._destination.box.requester)[:MOST_CHARACTERS].strip()
        return Wish(name=name or "edged", kinds=(EventKind.COMMITMENT_RESULT,)), Wish()
