"""An ASGI server on Trio: HTTP/1.0, 1.1, 2 and WebSocket over TCP, TLS, Unix sockets and inherited descriptors.

What may live here: connections and their protocols, nothing of DICOM. hypercorn's ASGI state machines
(`HTTPStream`, `WSStream`) run behind connection classes of our own on h11, h2 and wsproto, because what a
client can send must never end more than its own connection.
"""

from edged.server.exchange import Application, Counters
from edged.server.limits import Limits
from edged.server.listeners import TLS, Bound, Kind, Listener, ListenerError
from edged.server.serving import Server
from edged.server.wire import Disconnected

__all__ = [
    "TLS",
    "Application",
    "Bound",
    "Counters",
    "Disconnected",
    "Kind",
    "Limits",
    "Listener",
    "ListenerError",
    "Server",
]
