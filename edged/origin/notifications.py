"""Open Notification Connection and Send Event Report over WebSocket (PS3.18 8.10): events from now on.

Each report is one text frame in the negotiated form, DICOM JSON by default (8.10.4, DICOM.md §7). A follower that reads
slowly is served as fast as it reads; one that leaves is noticed by the frame that no longer goes out, or by its close.
When the store fails beneath a connection it is closed with "try again later".
"""

import logging
from contextlib import aclosing
from enum import IntEnum

import trio

from edged.dicomweb.negotiation import Wishes
from edged.dicomweb.representation import DICOM_JSON, DICOM_XML, write_data_set
from edged.http.media_type import MediaType
from edged.origin.exchange import Receive, Request, Send
from edged.origin.forms import chosen, chosen_leniently
from edged.services.notifications import NotificationService, Place
from edged.store.errors import StoreError

log = logging.getLogger(__name__)

_OFFERED = (DICOM_JSON, DICOM_XML)


class CloseCode(IntEnum):
    """Why a connection is closed by the box. Source: IANA's WebSocket Close Code Number Registry."""

    TRY_AGAIN_LATER = 1013


class NotificationConnection:
    """GET / and GET /subscribers/{requester} with Upgrade."""

    def __init__(self, service: NotificationService, ae_title: str) -> None:
        self._service = service
        self._ae_title = ae_title

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Accept the connection and send reports until it is closed; raises Refusal (406) and StoreError instead."""
        media_type = _negotiated(request)
        await receive()
        after = await self._service.now()
        await send({"type": "websocket.accept", "headers": [(b"content-type", str(media_type).encode())]})
        place = Place(self._ae_title, request.base_url)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_closed, receive, nursery.cancel_scope)
                await self._report(place, after, media_type, send=send)
        except* StoreError as errors:
            log.info("a notification connection was closed: %s", errors.exceptions[0])
            await send({"type": "websocket.close", "code": CloseCode.TRY_AGAIN_LATER})

    async def _report(self, place: Place, after: int, media_type: MediaType, *, send: Send) -> None:
        async with aclosing(self._service.follow(place, after)) as reports:
            async for report in reports:
                await send({"type": "websocket.send", "text": write_data_set(report, media_type).body.decode()})


def _negotiated(request: Request) -> MediaType:
    """Return the form of the reports: by Accept, without it by Content-Type (PS3.18 Table 8.10.4-1), else JSON."""
    if request.header("accept") is None:
        return chosen_leniently(Wishes(accept=request.header("content-type")), _OFFERED)
    return chosen(request.wishes, _OFFERED)


async def _until_closed(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue
    scope.cancel()
