"""Open Notification Connection and Send Event Report over WebSocket (PS3.18 8.10, CP-1871, DICOM.md §7).

Whoever follows without a name is told what happens from now on, or from the event on that it names. A requester with a
name goes on where it was. When the store fails beneath a connection it is closed with "try again later".
"""

import logging
import re
from http import HTTPStatus
from typing import Final

from edged.config.choices import Role
from edged.dicomweb.close_reason import CloseCode
from edged.origin.event_view import acknowledges_of, after_of, view_of
from edged.origin.exchange import Receive, Request, Send, refusal
from edged.origin.notification_session import Session
from edged.services.event_reports import View
from edged.services.notifications import NotificationService, Position
from edged.services.subscribers import Arrival, NotYours, Seat, Subscribers
from edged.store.errors import StoreError
from edged.store.schema import MAX_SUBSCRIBERS, MAX_SUBSCRIBERS_OF_ONE
from edged.store.subscribers import NoRoomForSubscriber
from edged.telemetry.live import FollowersLive, Live

log = logging.getLogger(__name__)

_NAME: Final = re.compile(r"[A-Za-z0-9._-](?:[A-Za-z0-9._ -]{0,62}[A-Za-z0-9._-])?")
"""Of a requester: an AE title is one."""

RETRY_S: Final = 3600


class NotificationConnection:
    """GET / and GET /subscribers/{requester} with Upgrade."""

    def __init__(self, service: NotificationService, subscribers: Subscribers, ae_title: str, *, live: Live) -> None:
        self._service = service
        self._subscribers = subscribers
        self._ae_title = ae_title
        self._live = live
        self._connected = 0

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Accept the connection and send reports until it is closed; raises Refusal and StoreError instead."""
        view, after, acknowledges = view_of(request, self._ae_title), after_of(request), acknowledges_of(request)
        await receive()
        _, newest = await self._service.extent()
        if after is not None and after > newest:
            detail = f"The newest event is {newest}: the box knows none of number {after}. Was its store made anew?"
            raise refusal(HTTPStatus.CONFLICT, detail)
        name = request.params.get("requester")
        seat = (
            None
            if name is None
            else await self._seat(
                request,
                Arrival(
                    name,
                    owner=request.requester.name,
                    view=view,
                    newest=newest,
                    after=after,
                    acknowledges=acknowledges,
                    may_take=Role.ADMIN in request.requester.roles,
                ),
            )
        )
        begin = Position(newest if after is None else after) if seat is None else seat.position
        self._count(1)
        try:
            headers = [(b"content-type", str(view.media_type).encode()), (b"edged-event", str(newest).encode())]
            await send({"type": "websocket.accept", "headers": headers})
            await self._serve(view, begin, seat, receive=receive, send=send)
        finally:
            if seat is not None:
                await seat.leave()
            self._count(-1)

    def _count(self, more: int) -> None:
        self._connected += more
        self._live.followers = FollowersLive(connected=self._connected, names=self._subscribers.connected)

    async def _serve(self, view: View, begin: Position, seat: Seat | None, *, receive: Receive, send: Send) -> None:
        try:
            await Session(receive, send, seat).run(self._service.follow(view, begin))
        except* StoreError as errors:
            log.info("a notification connection was closed: %s", errors.exceptions[0])
            await send({"type": "websocket.close", "code": int(CloseCode.TRY_AGAIN_LATER)})

    async def _seat(self, request: Request, arrival: Arrival) -> Seat:
        """Give a requester its place; raises Refusal (400, 403, 503) and StoreError."""
        if not _NAME.fullmatch(arrival.name):
            detail = "The name of a requester has 1 to 64 letters, digits, dots, hyphens, underscores and spaces."
            raise refusal(HTTPStatus.BAD_REQUEST, detail)
        try:
            return await self._subscribers.take(arrival)
        except NotYours:
            detail = f"Another credential than {request.requester.name} follows under this name: take another one."
            raise refusal(HTTPStatus.FORBIDDEN, detail) from None
        except NoRoomForSubscriber:
            many = f"{MAX_SUBSCRIBERS:,} requesters have a name here, or {MAX_SUBSCRIBERS_OF_ONE} of this credential"
            detail = f"{many}, all seen lately: follow without a name."
            raise refusal(HTTPStatus.SERVICE_UNAVAILABLE, detail, temporary=True, retry_after=RETRY_S) from None
