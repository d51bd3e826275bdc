"""The handshake of a WebSocket, over HTTP/1.1 and over HTTP/2 (RFC 6455 4.2, RFC 8441 5).

What may live here: what a request has to have to become a session, and the fields of the answer that makes it
one; pure.
"""

import base64
import binascii
from collections.abc import Iterable
from http import HTTPStatus

from wsproto.utilities import generate_accept_token

from edged.http.problem import Problem
from edged.server.exchange import Scope, scope_of
from edged.server.head_gate import Head
from edged.server.http1_answer import AnswerError
from edged.server.peer import Peer

VERSION = b"13"
VERSION_FIELD = (b"sec-websocket-version", VERSION)
KEY_BYTES = 16
MALFORMED = Problem(status=HTTPStatus.BAD_REQUEST, detail="This is not an opening handshake of WebSocket, version 13.")


def handshake_problem(head: Head) -> Problem | None:
    """Why a request cannot become a session; None if it can."""
    keys = _values(head, b"sec-websocket-key")
    has_key = len(keys) == 1 and _is_key(keys[0])
    if _values(head, b"sec-websocket-version") != [VERSION] or not (has_key or head.version == "2"):
        return MALFORMED
    return None


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
    offered = b",".join(_values(head, b"sec-websocket-protocol")).split(b",")
    return [each.strip().decode("ascii") for each in offered if each.strip() and each.isascii()]
