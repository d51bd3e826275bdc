"""Open Notification Connection and Send Event Report over WebSocket (PS3.18 8.10): events from now on.

Each report is one text frame of DICOM JSON (8.10.5.1.1). A follower that reads slowly is served as fast as it reads;
one that leaves is noticed by the frame that no longer goes out, or by its close.
"""

from contextlib import aclosing

import trio

from edged.dicomweb.json_model import to_json
from edged.origin.exchange import Receive, Request, Send
from edged.services.notifications import NotificationService, Place

_CONTENT_TYPE = [(b"content-type", b"application/dicom+json")]


class NotificationConnection:
    """GET / and GET /subscribers/{requester} with Upgrade."""

    def __init__(self, service: NotificationService, ae_title: str) -> None:
        self._service = service
        self._ae_title = ae_title

    async def __call__(self, request: Request, receive: Receive, send: Send) -> None:
        """Accept the connection and send reports until it is closed."""
        await receive()
        await send({"type": "websocket.accept", "headers": _CONTENT_TYPE})
        place = Place(self._ae_title, request.base_url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_closed, receive, nursery.cancel_scope)
            async with aclosing(self._service.follow(place)) as reports:
                async for report in reports:
                    await send({"type": "websocket.send", "text": to_json(report).decode()})


async def _until_closed(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        continue
    scope.cancel()
