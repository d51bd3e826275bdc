"""Asking a destination for an instance that it has committed to: WADO-RS retrieve (PS3.18 10.4).

The body goes into the copy as it comes. The first part of a multipart answer counts, also a body that is the instance
itself. Everything that is no answer, an answer in another form, or an instance that breaks off is silence: it is asked
again another time. The destination's state is not touched: its own traffic decides that.
"""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Protocol

import trio

from edged.config import CredentialError
from edged.http.media_type import MediaTypeError, parse_media_type
from edged.http.multipart import (
    Event,
    MultipartError,
    MultipartParser,
    PartBegin,
    PartData,
    PartEnd,
    boundary_of,
)
from edged.services.repair import Copy, Retrieved
from edged.store.records import Instance
from edged.telemetry.live import DestinationState
from edged.upstream.asking import Asking
from edged.upstream.destination import Destination
from edged.upstream.message import NoAnswer, Request, Response
from edged.upstream.retry import BreakerState

log = logging.getLogger(__name__)

ACCEPT = (("accept", 'multipart/related; type="application/dicom"; transfer-syntax=*'),)
"""As it is stored there: a conversion would cost both sides and prove no more. Source: PS3.18 8.7.3.5.2."""

OVERHEAD_BYTES = 64 << 10
"""Taken of an answer beside its first part."""

PATIENCE_S = 600.0
LEAST_BYTES_PER_S = 2000
"""What is asked of the slowest link, beyond a fixed time: a peer that trickles does not hold the scrub for ever."""

NOT_THERE = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class Retriever:
    """Asks one destination for instances."""

    def __init__(self, destination: Destination, asking: Asking) -> None:
        self._destination = destination
        self._asking = asking

    async def retrieve(self, instance: Instance, copy: Copy) -> Retrieved:
        """Ask for an instance unless the destination is down or held; raises what the copy raises."""
        if not self._is_up():
            return Retrieved.SILENT
        part = FirstPart(copy)
        patience_s = PATIENCE_S + copy.limit / LEAST_BYTES_PER_S
        try:
            with trio.move_on_after(patience_s):
                return _judged(await self._ask(instance, part), part)
        except (NoAnswer, CredentialError, MultipartError) as error:
            log.info("asking %s for an instance: %s", self._destination.name, error)
            return Retrieved.SILENT
        log.info("asking %s for an instance: not done within %.0f s", self._destination.name, patience_s)
        return Retrieved.SILENT

    def _is_up(self) -> bool:
        destination = self._destination
        live = destination.box.live.destinations[destination.name]
        return live.state is DestinationState.UP and destination.breaker.state is BreakerState.CLOSED

    async def _ask(self, instance: Instance, part: "FirstPart") -> Response:
        target = self._asking.target(target_of(instance))
        response = await self._asking.request(Request("GET", target, ACCEPT, sink=part))
        await part.finish()
        return response


class Taker(Protocol):
    """What an instance goes into: a `Copy`."""

    limit: int
    """Bytes that it takes at most."""

    async def add(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""


class FirstPart:
    """The sink of one answer: gives the copy the first part of it; `whole` once all of that has come.

    What follows the first part is counted and not looked at. So the verdict, and what the copy gets, depend on the
    bytes alone and not on the pieces they come in.
    """

    def __init__(self, copy: Taker) -> None:
        self.whole = False
        self._copy = copy
        self._left = copy.limit + OVERHEAD_BYTES
        self._parser: MultipartParser | None = None
        self._parts = 0
        self._is_bare = False

    def wants(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether the answer carries an instance."""
        if status != HTTPStatus.OK:
            return False
        try:
            media_type = parse_media_type(headers.get("content-type", ""))
            if media_type.essence == "multipart/related":
                self._parser = MultipartParser(boundary_of(media_type))
        except (MediaTypeError, MultipartError):
            return False
        self._is_bare = media_type.essence == "application/dicom"
        return self._parser is not None or self._is_bare

    async def add(self, data: bytes | bytearray) -> None:
        """Take the next bytes; raises MultipartError for what is none or too long, and what the copy raises."""
        taken = bytes(data)[: self._left]
        self._left -= len(taken)
        await self._read(taken)
        if len(taken) < len(data):
            raise MultipartError("the answer is longer than an instance of this size can be")

    async def finish(self) -> None:
        """Say that the answer is complete; raises as `add`."""
        self.whole |= self._is_bare
        if self._parser is not None and not self.whole:
            for event in self._parser.finish():
                await self._take(event)

    async def _read(self, data: bytes) -> None:
        if self._parser is None:
            await self._copy.add(data)
        elif not self.whole:
            for event in self._parser.feed(data):
                await self._take(event)

    async def _take(self, event: Event) -> None:
        match event:
            case PartBegin():
                self._parts += 1
            case PartData() if self._parts == 1:
                await self._copy.add(event.data)
            case PartEnd() if self._parts == 1:
                self.whole = event.complete
            case _:
                pass


def _judged(response: Response, part: FirstPart) -> Retrieved:
    if response.status in NOT_THERE:
        return Retrieved.ABSENT
    return Retrieved.GIVEN if part.whole else Retrieved.SILENT


def target_of(instance: Instance) -> str:
    """Return the resource of an instance, below the Base URI. Source: PS3.18 10.4.1."""
    return (
        f"/studies/{instance.study_instance_uid}/series/{instance.series_instance_uid}"
        f"/instances/{instance.sop_instance_uid}"
    )
