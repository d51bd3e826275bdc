"""The handshake of a WebSocket, over HTTP/1.1 and over HTTP/2 (RFC 6455 4.2, RFC 8441 5).

What may live here: what a request has to have to become a session, and the fields of the answer that makes it
one; pure.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from http import HTTPStatus

from wsproto.utilities import generate_accept_token

from edged.http.problem import Problem
from edged.server.exchange import Scope, scope_of
from edged.server.head_gate import Head
from edged.server.http1_answer import AnswerError
from edged.server.http1_body import body_of
from edged.server.peer import Peer
from edged.server.websocket_deflate import Agreed, OfferError, agreed_of

VERSION = b"13"
VERSION_FIELD = (b"sec-websocket-version", VERSION)
KEY_BYTES = 16
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HandshakeError(Exception):
    """A request that cannot become a session."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(status=HTTPStatus.BAD_REQUEST, detail=detail)


def check_handshake(head: Head) -> Agreed | None:
    """Return what of compression was negotiated, None for nothing; raises HandshakeError (RFC 6455 4.2.1)."""
    if _values(head, b"sec-websocket-version") != [VERSION]:
        raise HandshakeError("A WebSocket is opened with Sec-WebSocket-Version: 13.")
    if head.version != "2":
        keys = _values(head, b"sec-websocket-key")
        if len(keys) != 1 or not _is_key(keys[0]):
            raise HandshakeError("A WebSocket is opened with one Sec-WebSocket-Key: 16 bytes in base64.")
        if not body_of(head).complete:
            raise HandshakeError("The request that opens a WebSocket has no body.")
    offered = _offered(head)
    if len(set(offered)) < len(offered) or not all(TOKEN.fullmatch(each) for each in offered):
        raise HandshakeError("Sec-WebSocket-Protocol is a list of names, each of them once.")
    try:
        return agreed_of(_values(head, b"sec-websocket-extensions"))
    except OfferError as error:
        raise HandshakeError(f"Sec-WebSocket-Extensions cannot be read: {error}.") from error


def accept_fields(
    head: Head, subprotocol: str | None, more: Iterable[tuple[bytes, bytes]]
) -> list[tuple[bytes, bytes]]:
    """The fields of the answer that accepts; raises AnswerError for a subprotocol that was not offered."""
    fields = []
    if head.version != "2":
        token = generate_accept_token(_values(head, b"sec-websocket-key")[0])
        fields = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", token)]
    if subprotocol is not None:
        if subprotocol not in _subprotocols(head):
            raise AnswerError("a subprotocol is one of those that the client has offered")
        fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    return [*fields, *more]


def websocket_scope(head: Head, peer: Peer) -> Scope:
    """ASGI's scope of the session: that of its request, but for what a session does not have or has besides."""
    scope = scope_of(head, peer)
    del scope["method"]
    return scope | {
        "type": "websocket",
        "scheme": "wss" if peer.secure else "ws",
        "subprotocols": _subprotocols(head),
        "extensions": {"websocket.http.response": {}, **peer.extensions},
    }


def _values(head: Head, name: bytes) -> list[bytes]:
    return head.named.get(name, [])


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False


def _subprotocols(head: Head) -> list[str]:
    return [each.decode("ascii") for each in _offered(head)]


def _offered(head: Head) -> list[bytes]:
    """The members of a list; empty ones are allowed in it (RFC 9110 5.6.1)."""
    members = b",".join(_values(head, b"sec-websocket-protocol")).split(b",")
    return [member for each in members if (member := each.strip(b" \t"))]
