"""Following an event stream: connected for ever, resumed where it was, acknowledged (PS3.18 8.10, CP-1871 8.10.5.3).

One function, for `edged watch`, for the listener to a destination, and for whoever else follows a box or an archive.
A report is acknowledged when its taker has returned, so that what was not taken comes again: by its name a requester
is resumed by the server, without one by the number after which it left off. A server that has no numbers is followed
from now on each time. A message that is no report is refused, and the next one waited for.

Invariants: one message is in memory, and part of the next; nothing is acknowledged that was not taken; no failure of
the other side ends the following, unless the watcher says so.
"""

import random
from http import HTTPStatus

import msgspec
import trio

from edged.config import CredentialError
from edged.dicomweb.acknowledgement import Acknowledgement, write_acknowledgement
from edged.dicomweb.data_set import DataSetError
from edged.dicomweb.event_reading import read_event_report
from edged.telemetry.clock import Clock
from edged.telemetry.live import Phase
from edged.upstream.credentials import Fields
from edged.upstream.following_place import Place
from edged.upstream.following_socket import Session, open_session
from edged.upstream.following_values import Followed, Source, Take, Trouble, Watcher, Wish
from edged.upstream.message import NoAnswer
from edged.upstream.retry import Backoff, Pace

PACE = Pace(base_s=1.0, factor=2.0, cap_s=300.0)
STEADY_S = 60.0
"""A connection that stood for so long, or brought a report, was a good one: the next one is tried for soon."""

MEDIA_TYPE = "application/dicom+json"

_TAKEN = write_acknowledgement(Acknowledgement(taken=True))


async def follow(source: Source, wish: Wish, take: Take, *, watcher: Watcher, clock: Clock) -> None:
    """Give the reports of a stream to `take`, one after the other, for ever.

    Returns never; raises what `take` and `watcher` raise. `clock` reads a Retry-After. Source: PS3.18 8.10.
    """
    await _Follower(source, wish, take, watcher=watcher, clock=clock).run()


class _Follower:
    """One following."""

    def __init__(self, source: Source, wish: Wish, take: Take, *, watcher: Watcher, clock: Clock) -> None:
        self._source = source
        self._wish = wish
        self._take = take
        self._watcher = watcher
        self._clock = clock
        self._place = Place(wish.after, whole=wish.whole)
        self._connected = False
        self._taken = 0

    async def run(self) -> None:
        backoff = Backoff(PACE)
        while True:
            taken, began = self._taken, trio.current_time()
            try:
                await self._once()
            except Trouble as trouble:
                trouble.text = self._source.redactor.text(trouble.text)
                now = trio.current_time()
                if self._taken > taken or now - began >= STEADY_S:
                    backoff = backoff.recovered()
                self._see_anew(trouble)
                jitter = random.random()  # noqa: S311
                backoff = backoff.failed(now, retry_after_s=trouble.not_before_s, random01=jitter)
                self._watcher.lost(trouble, backoff.due_s - now)
            await trio.sleep_until(backoff.due_s)

    def _see_anew(self, trouble: Trouble) -> None:
        """Begin at the beginning where a number that came from there is not known there any more."""
        if trouble.status == HTTPStatus.CONFLICT and self._connected and not self._wish.name:
            self._place.begin_anew()

    async def _once(self) -> None:
        """Follow over one connection; raises Trouble when it ends. A credential that is refused is renewed once."""
        try:
            credential = await self._source.credentials.fields()
            try:
                await self._over_one(credential)
            except Trouble as trouble:
                if trouble.status != HTTPStatus.UNAUTHORIZED:
                    raise
                if not await self._source.credentials.refused(credential, HTTPStatus.UNAUTHORIZED):
                    raise
            await self._over_one(await self._source.credentials.fields())
        except CredentialError as error:
            raise Trouble(Phase.AUTH, str(error)) from None
        except NoAnswer as error:
            raise Trouble(error.phase, error.text) from None

    async def _over_one(self, credential: Fields) -> None:
        source = self._source
        source.redactor.learn_fields(credential)
        endpoint = source.endpoint
        after = None if self._wish.name and self._connected else self._place.after
        resource = endpoint.base_path + self._wish.resource(after)
        origin = f"{endpoint.scheme}://{endpoint.authority}"
        headers = {"accept": MEDIA_TYPE, "content-type": MEDIA_TYPE, "origin": origin}
        headers |= dict(source.headers) | dict(credential)
        transport = await source.dial()
        wall = self._clock.wall()
        async with open_session(transport, endpoint, resource=resource, headers=headers, wall=wall) as session:
            self._connected = True
            if not self._wish.name:
                self._place.begin(session.newest)
            self._watcher.connected(resumed=bool(self._wish.name) or after is not None)
            while True:
                await self._step(session, await session.message())

    async def _step(self, session: Session, message: str | bytes) -> None:
        """Take one message and answer it."""
        try:
            report = read_event_report(message.encode() if isinstance(message, str) else message)
        except DataSetError as error:
            self._watcher.unreadable(str(error))
            await self._answer(session, _refusal(str(error)))
            return
        if not self._place.knows(report):
            await self._take(Followed(report, message, self._place.missing(report)))
        self._taken += 1
        self._place.taken(report)
        await self._answer(session, _TAKEN)

    async def _answer(self, session: Session, acknowledgement: bytes) -> None:
        if session.acknowledges:
            await session.send(acknowledgement)


def _refusal(why: str) -> bytes:
    """Return a negative acknowledgement with a Status Report (PS3.18 8.6.3, RFC 9457)."""
    report = msgspec.json.encode({"title": "The event report cannot be read", "detail": why})
    return write_acknowledgement(
        Acknowledgement(taken=False, media_type="application/problem+json", status_report=report)
    )
