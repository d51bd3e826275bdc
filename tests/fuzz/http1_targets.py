"""What the server reads of HTTP/1: heads, what they ask to be switched to, chunks, and who they say forwarded them.

What may live here: for each the function that holds its invariant. Where h11, a parser that shares no line with ours,
reads the same octets as well, it must read the same: two readings of one request are what smuggling is made of.
"""

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from functools import partial
from ipaddress import ip_network

import h11

from edged.http.forwarded import MALFORMED, NOTHING_SAID, TrustedProxies, read_forwarded
from edged.http.origin_policy import OriginPolicy
from edged.origin.base_url import base_url
from edged.origin.credentials import find_token, read_basic
from edged.origin.provenance import host_name, is_loopback_name, is_loopback_origin
from edged.server.answers import refusal
from edged.server.head_gate import Head, HeadError, check_head, head_length, hints_in, is_host
from edged.server.http1_answer import AnswerError
from edged.server.http1_body import BodyError, Chunked, body_of
from edged.server.http2_codec import Codec
from edged.server.http2_frames import ConnectionFault
from edged.server.limits import DEFAULT, Limits
from edged.server.peer import Peer
from edged.server.upgrade import http2_settings, wants_websocket
from edged.server.websocket_handshake import HandshakeError, accept_fields, check_handshake, websocket_scope
from tests.fuzz.corpus import gunicorn_corpus
from tests.fuzz.target import Target, fields_of, however_cut, text

TIGHT = Limits(head_bytes=600, target_bytes=200, fields=8)
INCOMPLETE = "incomplete"
PEER = Peer(None, None, secure=False)
PROXIES = TrustedProxies(networks=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8")), unix=True)
PAGES = OriginPolicy(("https://viewer.example",))
CHUNKED = b"POST / HTTP/1.1\r\nHost: box\r\nTransfer-Encoding: chunked\r\n\r\n"


def head(data: bytes) -> None:
    """The same head or HeadError however it is cut; no further octets mend it; h11 reads it the same."""
    for limits in (DEFAULT, TIGHT):
        found = however_cut(data, partial(_read, limits))
        if isinstance(found, tuple):
            _sound(found[1])
            _compare(data[: found[0]], found[1])


def _read(limits: Limits, pieces: list[bytes]) -> tuple[int, Head] | str:
    """The head with its length, which do not change with what follows; or how far it is."""
    octets = b""
    told: tuple[int, Head] | str = INCOMPLETE
    for piece in pieces:
        octets += piece
        now = _read_so_far(octets, limits)
        assert told in (INCOMPLETE, now)
        told = now
    return told


def _read_so_far(octets: bytes, limits: Limits) -> tuple[int, Head] | str:
    try:
        length = head_length(octets, limits)
        return INCOMPLETE if length is None else (length, check_head(octets[:length], limits))
    except HeadError as error:
        _refused(octets, error)
        return "refused"


def _refused(data: bytes, error: HeadError) -> None:
    answer = refusal(error.refusal.problem, hints_in(data), request_id="a-b", origins=PAGES)
    assert answer.startswith(b"HTTP/1.1 %d " % error.refusal.status)
    assert 400 <= error.refusal.status < 600


def _sound(found: Head) -> None:
    hosts = found.named.get(b"host", [])
    assert len(hosts) == 1 or (not hosts and found.version == "1.0")
    assert all(map(is_host, hosts))
    assert found.target[:1] == b"/" or (found.target, found.method) == (b"*", "OPTIONS")
    assert all(name == name.lower() and not {10, 13} & set(value) for name, value in found.fields)
    body_of(found)


def _compare(data: bytes, ours: Head) -> None:
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(data)
    try:
        event = theirs.next_event()
    except h11.RemoteProtocolError:
        return
    assert isinstance(event, h11.Request)
    assert (event.method, event.http_version) == (ours.method.encode(), ours.version.encode())
    if event.target == ours.target:
        assert [(bytes(name), bytes(value)) for name, value in event.headers] == ours.fields
    else:
        assert event.target.endswith(ours.target.removeprefix(b"/"))


def upgrade(data: bytes) -> None:
    """What a sound head asks to be switched to is told without an error, and its settings are read or refused."""
    try:
        found = check_head(b"GET /a%20b?c HTTP/1.1\r\nHost: box\r\n" + data.strip(b"\r\n") + b"\r\n\r\n")
    except HeadError:
        return
    wants_websocket(found)
    settings = http2_settings(found)
    if settings is not None:
        codec = Codec(DEFAULT)
        try:
            codec.begin(urlsafe_b64decode(settings))
        except ConnectionFault:
            assert codec.out.size
    try:
        check_handshake(found)
    except HandshakeError:
        return
    for subprotocol in websocket_scope(found, PEER)["subprotocols"]:
        assert accept_fields(found, subprotocol, ())
    try:
        accept_fields(found, "never offered", ())
    except AnswerError:
        return
    raise AssertionError("a subprotocol was accepted that was not offered")


def chunked(data: bytes) -> None:
    """The same body however it is cut, and the same that h11 reads; else BodyError."""
    found = however_cut(data, _unchunked)
    if found is None:
        return
    body, rest = found
    assert len(body) + len(rest or b"") <= len(data)
    if rest is not None:
        _compare_body(data, body, rest)


def _unchunked(pieces: list[bytes]) -> tuple[bytes, bytes | None] | None:
    """The body, and what follows once it is complete; None if it is none."""
    reader, taken = Chunked(), bytearray()
    try:
        for number, piece in enumerate(pieces):
            taken += reader.take(piece)
            while reader.interrupted:
                taken += reader.take(b"")
            if reader.complete:
                return bytes(taken), reader.rest + b"".join(pieces[number + 1 :])
    except BodyError:
        return None
    return bytes(taken), None


def _compare_body(data: bytes, body: bytes, rest: bytes) -> None:
    theirs, taken = h11.Connection(h11.SERVER), b""
    theirs.receive_data(CHUNKED + data)
    try:
        while not isinstance(event := theirs.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                raise AssertionError("h11 waits for more of a body that is complete")
            taken += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError:
        return
    assert taken == body
    assert theirs.trailing_data[0] == rest


def forwarded(data: bytes) -> None:
    """Nothing is believed of who is not trusted, all or nothing of who is; what is said makes a URL."""
    fields = fields_of(data)
    assert read_forwarded(fields, "192.0.2.1", PROXIES) == NOTHING_SAID
    for peer in ("127.0.0.1", "::ffff:10.1.2.3", None):
        said = read_forwarded(fields, peer, PROXIES)
        if said.malformed:
            assert said == MALFORMED
        url = base_url("http", "box:8080", ("::1", 8080), said=said)
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
        assert said.port is None or 0 < said.port < 65_536


def authorization(data: bytes) -> None:
    """User and password or nothing of any credential; of any origin or host whether it is of this machine."""
    credential = text(data)
    pair = read_basic(credential)
    assert pair is None or ":" not in pair[0]
    assert find_token((), credential) is None
    is_loopback_origin(credential)
    is_loopback_name(host_name(credential))


def _heads(corpus: Sequence[bytes]) -> tuple[bytes, ...]:
    own = (
        b"GET /a?b=c HTTP/1.1\r\nHost: box\r\nAccept: text/plain\r\n\r\n",
        b"HEAD http://box:80?q HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET",
        b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 05\r\n\r\nabcde",
    )
    return (*own, *corpus)


WEBSOCKET = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: a, b,,c\r\n"
    b'Sec-WebSocket-Extensions: x; a, permessage-deflate; client_max_window_bits; server_max_window_bits="12"'
)
CUSTOMARY = (
    b"x-forwarded-for: 192.0.2.1, 10.0.0.1\nx-forwarded-proto: https\nx-forwarded-host: a.example\n"
    b"x-forwarded-port: 444\nx-forwarded-prefix: /pacs/a"
)

TARGETS = (
    Target("http1-head", head, _heads(gunicorn_corpus())),
    Target(
        "http1-upgrade",
        upgrade,
        (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA",
            WEBSOCKET,
        ),
    ),
    Target(
        "http1-chunked",
        chunked,
        (
            b'5;a=b; c="\\"" \r\nabcde\r\n1\r\nf\r\n0\r\nT: u\r\n\r\nGET',
            b"a\r\n0123456789\r\n00\r\n\r\n",
            b"ffffffffffffffff\r\n",
        ),
    ),
    Target(
        "forwarded",
        forwarded,
        (
            b'forwarded: for=192.0.2.1;proto=https;host="box.example:8443", for="[2001:db8::1]:80";by=_hidden',
            CUSTOMARY,
            b"forwarded: for=unknown\nx-forwarded-for: 10.0.0.1",
        ),
    ),
    Target(
        "authorization",
        authorization,
        (b"dXNlcjpwYXNzOndvcmQ=", b"dXPpOuk=", b"https://[::1]:443", b"localhost:80", b"127.0.0.1"),
    ),
)
