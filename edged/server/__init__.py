"""An ASGI server on Trio: HTTP/1.0, 1.1, 2 and WebSocket over TCP, TLS, Unix sockets and inherited descriptors.

What may live here: connections and their protocols, nothing of DICOM. The connection classes are our own,
because what a client can send must never end more than its own connection. HTTP/1 is read and written here,
and the application pulls its request off the wire; so is HTTP/2, whose streams push into an inbox; hpack and
wsproto know the two compressed and framed parts. Whatever the server refuses by itself is a Status Report.
"""

from edged.server.exchange import Application, Counters
from edged.server.limits import Limits
from edged.server.listeners import Bound, Kind, Listener, ListenerError, inherited_url
from edged.server.serving import Server
from edged.server.tls import TLS
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
    "inherited_url",
]
