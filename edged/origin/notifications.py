"""Open Notification Connection and Send Event Report over WebSocket (PS3.18 8.10): events from now on.

Each report is one text frame in the negotiated form, DICOM JSON by default (8.10.4, DICOM.md §7). A follower that reads
slowly is served as fast as it reads; one that leaves is noticed by the frame that no longer goes out, or by its close.
"""

from contextlib import aclosing
from http import HTTPStatus

import trio

from edged.dicomweb.representation import DICOM_JSON, DICOM_XML, write_data_set
from edged.http.accept import choose
from edged.http.media_type import MediaType
from edged.origin.exchange import Receive, Request, Send, refusal
from edged.services.notifications import NotificationService, Place

_OFFERED = (DICOM_JSON, DICOM_XML)


class NotificationConnection:
    """GET / and GET /subscribers/{requester} with Upgrade."""

    def __init__(self, service: NotificationService, ae_title: str) -> None:
        self._service = service
        self._ae_title = ae_title

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Accept the connection and send reports until it is closed; raises Refusal (406) instead."""
        media_type = _negotiated(request)
        await receive()
        after = await self._service.now()
        await send({"type": "websocket.accept", "headers": [(b"content-type", str(media_type).encode())]})
        place = Place(self._ae_title, request.base_url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_closed, receive, nursery.cancel_scope)
            async with aclosing(self._service.follow(place, after)) as reports:
                async for report in reports:
                    await send({"type": "websocket.send", "text": write_data_set(report, media_type).body.decode()})


def _negotiated(request: Request) -> MediaType:
    """Return the form of the reports: by Accept, without it by Content-Type (PS3.18 Table 8.10.4-1), else JSON."""
    accept = request.header("accept")
    if accept is None:
        return choose(request.header("content-type"), _OFFERED) or DICOM_JSON
    media_type = choose(accept, _OFFERED)
    if media_type is None:
        available = " and ".join(str(each) for each in _OFFERED)
        raise refusal(HTTPStatus.NOT_ACCEPTABLE, f"Event reports are available as {available}.")
    return media_type


async def _until_closed(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue
    scope.cancel()
