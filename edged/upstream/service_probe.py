"""Whether a destination offers storage commitment: what it says of itself, then what an honest request shows.

It is asked for its capabilities (OPTIONS on the base URI, PS3.18 8.9) before the first request, and again now and then,
because archives are upgraded. What it says decides nothing by itself: descriptions are often wrong or absent, so that a
request is made all the same. But where it lists the service, a refusal is a passing one (a proxy's 404) until repeated.
"""

from contextlib import suppress
from http import HTTPStatus

import trio

from edged.config import CredentialError
from edged.services.bell import Bell
from edged.telemetry.live import Service
from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.message import NoAnswer, Request, Response

BELIEVED_S = 600.0
"""How long "not offered" is believed before the service is tried again."""

DESCRIBED_S = 24 * 3600.0
"""How long a description is believed of a destination that serves."""

PATIENCE_S = 15.0
"""For a description, which is not needed."""

REST_S = 60.0
"""After a refusal that is not believed yet."""

REFUSALS = {Service.OFFERED: 3, Service.NOT_OFFERED: 1, Service.UNKNOWN: 1}
"""Refusals, each after a rest, that are believed, by what the destination says of itself."""

_ACCEPT = (("accept", "application/vnd.sun.wadl+xml, application/json;q=0.9"),)


def described(response: Response) -> Service:
    """Return what an answer to OPTIONS says of the service; UNKNOWN where it is no whole description of resources."""
    body = response.body.lower()
    if response.status != HTTPStatus.OK or response.truncated or b"resource" not in body or b"studies" not in body:
        return Service.UNKNOWN
    return Service.OFFERED if b"commitment-requests" in body else Service.NOT_OFFERED


def notifies(response: Response) -> bool:
    """Whether an answer to OPTIONS lists what may be notification connections (PS3.18 8.10); to ask does no harm."""
    return described(response) is not Service.UNKNOWN and b"subscribers" in response.body.lower()


class ServiceProbe:
    """What is believed of one destination's storage commitment service; in memory, begun anew at each start.

    `notifies`: it describes notifications too; `described` rings with each description that comes.
    `until_s` is until when it is believed not to be offered, `rest_s` until when nothing is asked after a refusal.
    """

    def __init__(self, destination: Destination, asking: Asking) -> None:
        self.until_s = 0.0
        self.rest_s = 0.0
        self.notifies = False
        self.described = Bell()
        self._destination = destination
        self._asking = asking
        self._said = Service.UNKNOWN
        self._told = Service.UNKNOWN
        self._next_s = 0.0
        self._refusals = 0

    def offered(self) -> bool:
        """Whether the destination is worth asking: it offers the service as far as is known."""
        return self._destination.now() >= self.until_s

    def resting(self) -> bool:
        """Whether it was refused just now, which may have been in passing."""
        return self._destination.now() < self.rest_s

    def due(self) -> bool:
        """Whether to ask the destination what it offers before the service is used."""
        return self._destination.now() >= self._next_s

    async def ask(self) -> None:
        """Ask the destination what it offers; that it does not say holds nothing up."""
        self._next_s = self._destination.now() + BELIEVED_S
        with trio.move_on_after(PATIENCE_S), suppress(NoAnswer, CredentialError):
            response = await self._asking.request(Request("OPTIONS", self._asking.target("/"), _ACCEPT))
            self._said = described(response)
            self._next_s = self._destination.now() + DESCRIBED_S
            self._tell(self._said)
            self.notifies = notifies(response)
            self.described.ring()

    def refused(self) -> None:
        """Note that a request was answered as by one that does not offer the service."""
        now = self._destination.now()
        if now < self.rest_s:  # it was asked beside another
            return
        self._refusals += 1
        self.rest_s = now + REST_S
        if self._refusals >= REFUSALS[self._said]:
            self.until_s = now + BELIEVED_S
            self._next_s = self.until_s
            self._tell(Service.NOT_OFFERED)

    def served(self) -> None:
        """Note that it accepted or answered a request."""
        self._refusals = 0
        self.until_s = self.rest_s = 0.0
        self._tell(Service.OFFERED)

    def _tell(self, service: Service) -> None:
        if service is not self._told:
            self._told = service
            self._destination.tell(service=service)
