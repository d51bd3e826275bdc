"""The one table of limits: the numbers of every part, each with what happens beyond it.

It stands in the capabilities description and, with the defaults, in docs/limits.md. Every field of the server's limits
has its sentence here; numbers are taken from where they are kept, never written again.
"""

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from edged.config import Settings
from edged.dicom.nesting import DEEPEST
from edged.dicomweb.data_set import MAX_BYTES, MAX_DEPTH, MAX_NODES
from edged.dicomweb.limits import Limit, Unit
from edged.dicomweb.routing import MAX_PATH
from edged.http.content_decoding import MAX_MEMBERS, DecodeLimits
from edged.http.multipart import MultipartLimits
from edged.http.zstandard import WINDOW_BYTES
from edged.origin.commitment import MAX_REFERENCES
from edged.origin.room import ROOM_BYTES
from edged.origin.turns import LENT_FOR_EACH, WAITING
from edged.server.head_gate import MAX_LENGTH_DIGITS
from edged.server.limits import DEFAULT, Limits
from edged.store.budget import INTAKE_BYTES
from edged.store.read_ahead import MOST_CHUNKS
from edged.store.schema import CHUNK_BYTES, MAX_KEPT_REFERENCES, MAX_OPEN_REQUESTS

_SERVER: Final = MappingProxyType(
    {
        "handshake_s": "A TLS handshake that takes longer is cut.",
        "head_s": "Over HTTP/1, a request head that takes longer from its first octet on is answered 408; the "
        "connection is closed.",
        "idle_s": "A connection without a request is closed.",
        "body_s": "A body of which no octet comes, nor of another one on its connection, is answered 408; over "
        "HTTP/1 the connection is closed.",
        "write_s": "A client is cut that takes not one byte of an answer, or over HTTP/2 opens no window for it.",
        "pace_window_s": "The time over which a body, and the taking of an answer, is measured.",
        "floor_bytes_per_s": "A slower body is answered 408, a slower reader is cut; only waits for the client count.",
        "linger_s": "How long a closing connection is read on, six times that if it sends; for its last answer.",
        "drain_s": "What running requests get when the box shuts down; then they are cut.",
        "websocket_ping_s": "A WebSocket that sends nothing is sent a ping.",
        "websocket_pong_s": "A WebSocket that does not answer a ping is cut.",
        "connection_age_s": "An older HTTP/2 connection is ended by GOAWAY; what runs on it is finished.",
        "connections": "A further one takes the place of an idle one, or see `crowd`; else it gets 503 if it is not "
        "TLS, and ends.",
        "connections_per_address": "For one address, as above; loopback and Unix sockets are exempt, all with a proxy.",
        "websockets": "Sessions over HTTP/1.1, which are no longer among `connections`; a further one is answered 503.",
        "websockets_per_address": "For one address, as above.",
        "leaving": "Beyond the caps, of connections that are ending to make room, first those of who has most.",
        "crowd": "Of an address with more, connections without a whole request head make room for others, if no "
        "idle one can.",
        "refusals": "Further connections beyond the caps are closed without an answer.",
        "head_bytes": "A longer request head is answered 431; over HTTP/1, and from twice the length on, the "
        "connection is closed.",
        "target_bytes": "A longer request target is answered 414; over HTTP/1 the connection is closed.",
        "fields": "A head with more is answered 431, trailers with more 400 or a reset stream; over HTTP/1 the "
        "connection is closed.",
        "message_bytes": "A WebSocket that gets a longer message is closed with 1009.",
        "streams": "A further HTTP/2 stream of a connection is refused with REFUSED_STREAM.",
        "connection_requests": "An HTTP/2 connection that had so many is ended by GOAWAY; what runs on it is finished.",
        "stream_window_bytes": "Less while more than 8 bodies are read: each has an equal share of half of "
        "`windows_bytes`, and 64 KiB. A client that does not wait for credit is cut with FLOW_CONTROL_ERROR.",
        "connection_window_bytes": "The same for all streams of one connection.",
        "windows_bytes": "Half of it for first windows of 64 KiB; a further HTTP/2 request with a body is answered "
        "503. Part of `intake`.",
        "websocket_windows_bytes": "A further WebSocket over HTTP/2 is answered 503; part of `intake`.",
    }
)
"""What happens beyond a field of `server.Limits`."""


def server_limits(settings: Settings) -> Limits:
    """Return the limits of the box's server; a trusted proxy is one address, through which all may come."""
    proxied = bool(settings.origin.trusted_proxies.networks)
    if not proxied:
        return DEFAULT
    return replace(DEFAULT, connections_per_address=DEFAULT.connections, websockets_per_address=DEFAULT.websockets)


def limits_of(settings: Settings, server: Limits | None = None) -> tuple[Limit, ...]:
    """Return the table, settings first; `server` are its server's limits if not those of the settings."""
    server = server or server_limits(settings)
    return (
        *_of_settings(settings),
        *_of_payloads(),
        *(Limit(name, getattr(server, name), _unit(name), beyond) for name, beyond in _SERVER.items()),
    )


def _of_settings(settings: Settings) -> tuple[Limit, ...]:
    origin = settings.origin
    return (
        Limit(
            "max_requests", origin.max_requests, Unit.COUNT, "Further requests wait for a minute, then they get 503."
        ),
        Limit("waiting_requests", WAITING, Unit.COUNT, "While more wait, a further request gets 503 at once."),
        Limit(
            "lent_turns",
            LENT_FOR_EACH * origin.max_requests,
            Unit.COUNT,
            "Of more requests that only wait for their clients, the one that waits longest is cut when another comes.",
        ),
        Limit(
            "max_instance",
            origin.max_instance_bytes,
            Unit.BYTES,
            "A larger instance alone is answered 413 before its payload, among others it fails with 0110H.",
        ),
    )


def _of_payloads() -> tuple[Limit, ...]:
    count, octets = Unit.COUNT, Unit.BYTES
    return (
        Limit("intake", INTAKE_BYTES, octets, "Of uploads and HTTP/2 windows; beyond, senders wait for a commit."),
        Limit(
            "room_bytes",
            ROOM_BYTES,
            octets,
            "Of payloads that are read as a whole, of answers, and of zstd windows: others wait 15 s, then get 503.",
        ),
        Limit(
            "read_ahead_bytes", MOST_CHUNKS * CHUNK_BYTES, octets, "What is read ahead for the slowest is read again."
        ),
        Limit(
            "expansion",
            DecodeLimits(0).ratio,
            count,
            "An encoded payload that decodes to more than 64 MiB and to more times its size is answered 413.",
        ),
        Limit("coding_members", MAX_MEMBERS, count, "A payload of more gzip members or zstd frames is answered 413."),
        Limit(
            "zstd_window_bytes",
            WINDOW_BYTES,
            octets,
            "A zstd payload with a larger window is answered 400.",
        ),
        *_of_instances(),
        Limit("document_bytes", MAX_BYTES, octets, "A larger payload in JSON or XML is answered 413."),
        Limit("document_values", MAX_NODES, count, "A payload in JSON or XML with more is answered 400."),
        Limit("document_depth", MAX_DEPTH, count, "A payload in JSON or XML with deeper sequences is answered 400."),
        Limit("references", MAX_REFERENCES, count, "A storage commitment request with more is answered 413."),
        Limit("open_requests", MAX_OPEN_REQUESTS, count, "While more commitment requests wait, a new one gets 503."),
        Limit(
            "kept_references",
            MAX_KEPT_REFERENCES,
            count,
            "Of commitment requests and results, or 5 % of the store: the oldest results go first, then it is 503.",
        ),
        Limit(
            "length_digits",
            MAX_LENGTH_DIGITS,
            count,
            "A Content-Length with more, zeros before it included, is 400; so is a chunk as large. Over HTTP/1 the "
            "connection is closed.",
        ),
        Limit("path_characters", MAX_PATH, count, "A longer path names nothing: 404."),
    )


def _of_instances() -> tuple[Limit, ...]:
    multipart = MultipartLimits()
    count = Unit.COUNT
    broken = "the rest of the request fails with C000H, what came before is stored."
    broken_first = f"400 if it is the first, else {broken}"
    return (
        Limit("parts", multipart.parts, count, f"A multipart payload with more: {broken}"),
        Limit("part_head_bytes", multipart.head_bytes, Unit.BYTES, f"A longer head of a part: {broken_first}"),
        Limit("part_fields", multipart.headers, count, f"A part with more header fields: {broken_first}"),
        Limit(
            "instance_depth",
            (DEEPEST - 1) // 2,  # a sequence and an item of it are two frames within the one of the data set
            count,
            "Sequences within each other. A deeper instance is stored and leaves as it came; in Implicit VR, Big "
            "Endian, deflated or without a file head it fails with C000H.",
        ),
    )


def _unit(name: str) -> Unit:
    """Return the unit that a field's name ends in."""
    units = {"_bytes_per_s": Unit.BYTES_PER_SECOND, "_bytes": Unit.BYTES, "_s": Unit.SECONDS}
    return next((unit for suffix, unit in units.items() if name.endswith(suffix)), Unit.COUNT)
