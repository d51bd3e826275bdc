"""What a request asks to be switched to (RFC 9110 7.8): a WebSocket (RFC 6455) or HTTP/2 (RFC 7540 3.2).

What may live here: reading the Upgrade, Connection and HTTP2-Settings fields of one request; pure.
"""

import base64
import binascii

from edged.server.head_gate import Head
from edged.server.http1_body import body_of

SETTING_BYTES = 6  # of one entry in a SETTINGS frame (RFC 9113 6.5.1)
MAX_SETTINGS = 32


def wants_websocket(head: Head) -> bool:
    """Whether this is the opening handshake of a WebSocket, well-formed or not (RFC 6455 4.1)."""
    return head.method == "GET" and _asks_for(head, b"websocket")


def http2_settings(head: Head) -> bytes | None:
    """The client's settings if it asks for h2c in a request that can be upgraded, else None.

    A request with a body is answered in HTTP/1.1: the body would have to be read before HTTP/2 could begin.
    """
    if not _asks_for(head, b"h2c") or not body_of(head).complete:
        return None
    values = head.named.get(b"http2-settings", [])
    if len(values) != 1 or b"http2-settings" not in head.tokens(b"connection"):
        return None
    try:
        settings = base64.b64decode(values[0] + b"=" * (-len(values[0]) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(settings) % SETTING_BYTES or len(settings) > MAX_SETTINGS * SETTING_BYTES:
        return None
    return base64.urlsafe_b64encode(settings)


def upgrade_fields(protocol: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of the 101 answer."""
    return [(b"connection", b"upgrade"), (b"upgrade", protocol)]


def _asks_for(head: Head, protocol: bytes) -> bool:
    return (
        b"upgrade" in head.named
        and head.version == "1.1"
        and b"upgrade" in head.tokens(b"connection")
        and protocol in head.tokens(b"upgrade")
    )
