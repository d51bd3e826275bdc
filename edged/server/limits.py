"""The limits of a listener: what one client may hold, and for how long.

What may live here: numbers with their reasons, nothing that acts on them. Times are seconds and end in `_s`,
sizes are octets and end in `_bytes`. Every wait on a client has one of these deadlines; every buffer has one
of these sizes. Tests inject short ones.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines, sizes and counts that hold for every connection of one server."""

    handshake_s: float = 10.0  # TLS
    head_s: float = 30.0  # from the first octet of a request head to its end (RFC 9110 15.5.9)
    idle_s: float = 75.0  # between requests on a kept connection; the same as nginx
    body_s: float = 60.0  # the application waits for the body and no octet comes
    write_s: float = 60.0  # not one piece of an answer could be handed over
    linger_s: float = 5.0  # reading on after the last answer, so that it is not lost (RFC 9112 9.6)
    drain_s: float = 10.0  # what running requests get at shutdown

    connections: int = 512
    head_bytes: int = 32 * KIB  # a request line and header section; Apache 8, nginx 32
    message_bytes: int = 1 * MIB  # one WebSocket message
    streams: int = 100  # concurrent HTTP/2 streams of one connection (RFC 9113 6.5.2)
    stream_window_bytes: int = 1 * MIB  # an HTTP/2 stream whose body is being read
    connection_window_bytes: int = 16 * MIB  # what all the streams of one connection may have queued
    windows_bytes: int = 32 * MIB  # what all connections may have beyond their streams' first windows
