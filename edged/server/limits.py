"""The limits of a listener: what one client may hold, and for how long.

What may live here: numbers with their reasons, nothing that acts on them. Times are seconds and end in `_s`,
sizes are octets and end in `_bytes`. Every wait on a client has one of these deadlines; every buffer has one
of these sizes. Tests inject short ones.

Stalls and floors go together. A stall is a wait without any progress. A floor is for those who make a little,
so as to never stall: what was moved in `pace_window_s` of waiting, and only of waiting, must come up to
`floor_bytes_per_s`; of a body that is what came, of an answer what the other end's kernel has taken. A line of
64 kbit/s carries 8 KB/s; eight transfers at once have 1 KB/s each, and with half of the time lost to a stall on a
radio link still twice the floor.
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
    write_s: float = 60.0  # the client takes not one octet of an answer
    pace_window_s: float = 120.0  # twice the stalls, which must not count as slowness
    floor_bytes_per_s: int = 256  # of a body that is waited for, and of an answer that is not taken
    linger_s: float = 5.0  # reading on after the last answer, so that it is not lost (RFC 9112 9.6)
    drain_s: float = 10.0  # what running requests get at shutdown
    websocket_ping_s: float = 30.0  # of silence, until a WebSocket client is asked whether it is there
    websocket_pong_s: float = 30.0  # until it has to have said anything
    connection_age_s: float = 3600.0  # of an HTTP/2 connection until the client is asked for a new one

    connections: int = 768  # in all, but for those that have become WebSockets
    connections_per_address: int = 384  # half of all, so that no single one shuts the others out; not on loopback
    websockets: int = 1024  # over HTTP/1.1, beside the others: each keeps its connection for as long as it lasts
    websockets_per_address: int = 512  # half of all, as above
    leaving: int = 16  # beyond either cap: connections that are ending to make room
    crowd: int = 16  # of one address; beyond them, those without a whole request head make room for others
    refusals: int = 16  # connections beyond the caps that are told so at the same time, the others just end
    head_bytes: int = 32 * KIB  # a request line and header section; Apache 8, nginx 32
    target_bytes: int = 8 * KIB  # of it the request target; RFC 9110 4.1 asks for 8,000 at least
    fields: int = 100  # of a header section, and of a trailer section; the same as Apache
    message_bytes: int = 64 * KIB  # one WebSocket message from a client: what an acknowledgement may have
    streams: int = 100  # concurrent HTTP/2 streams of one connection (RFC 9113 6.5.2)
    stream_window_bytes: int = 1 * MIB  # an HTTP/2 stream whose body is being read; of more than 8 less, an equal share
    connection_requests: int = 10_000  # of an HTTP/2 connection until the client is asked for a new one
    connection_window_bytes: int = 16 * MIB  # what all the streams of one connection may have queued
    windows_bytes: int = 16 * MIB  # what those of all connections may have queued, half of it for first windows
    websocket_windows_bytes: int = 4 * MIB  # the same of WebSockets over HTTP/2: 64 of them


DEFAULT = Limits()
